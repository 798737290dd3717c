"""From what range of real values a tensor's integers are taken: calibration, in plain numpy.

`minmax` takes all that was seen. `percentile` leaves out the outermost values at both ends.
`entropy` clips where the clipped and quantised distribution tells least apart from the true one
(S. Migacz, "8-bit inference with TensorRT", GTC 2017), at the same distance on both sides of zero.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from .job import Array, Job, JobError

METHODS = ("minmax", "percentile", "entropy")
Ranges = dict[str, tuple[float, float]]

_BINS = 4096
_LEVELS = 128  # of one sign
_VALUES_PER_BIN = 16
_STEP = 16  # bins between two clipping points that are tried


def once(job: Job, find: Callable[[], Ranges]) -> Ranges:
    """The ranges that an earlier job found for the same file and cases, or those of `find()`.

    Option `ranges` names the file that keeps them; without it nothing is kept.
    """
    kept = Path(job.options.get("ranges", ""))
    if kept.is_file():
        return {name: (low, high) for name, (low, high) in json.loads(kept.read_text()).items()}
    found = find()
    if kept.name:
        beside = kept.with_name(f".{kept.name}.part")
        beside.write_text(json.dumps(found), encoding="utf-8")
        os.replace(beside, kept)  # noqa: PTH105
    return found


def measure(
    runs: Callable[[], Iterable[Mapping[str, Array]]], method: str, percentile: float = 99.99
) -> Ranges:
    """The range of each float tensor over all runs; every range holds 0.

    `runs()` gives the tensors of each case by name; it is called twice unless the method is
    minmax. Raises JobError for an unknown method, and names a tensor that is not finite.
    """
    if method not in METHODS:
        raise JobError(f"calibration {method!r} is not one of {', '.join(METHODS)}")
    bounds = _bounds(runs())
    if not bounds:
        raise JobError("calibration needs at least one case")
    if method == "minmax":
        return bounds
    counts = {name: np.zeros(_BINS, np.int64) for name in bounds}
    for tensors in runs():
        for name, tensor in tensors.items():
            counts[name] += np.histogram(tensor, _BINS, _span(bounds[name]))[0]
    return {
        name: _percentile(counts[name], bounds[name], percentile)
        if method == "percentile"
        else _entropy(counts[name], bounds[name])
        for name in bounds
    }


def _bounds(runs: Iterable[Mapping[str, Array]]) -> Ranges:
    bounds: Ranges = {}
    for case, tensors in enumerate(runs):
        for name, tensor in tensors.items():
            low, high = bounds.get(name, (0.0, 0.0))
            if tensor.size:
                low, high = min(low, float(tensor.min())), max(high, float(tensor.max()))
            if not np.isfinite((low, high)).all() or np.isnan(tensor).any():
                raise JobError(
                    f"tensor {name} is not finite in calibration case {case}: no integers hold "
                    "that; look for a division by zero, or a mask of infinities in the model"
                )
            bounds[name] = (low, high)
    return bounds


def _span(bounds: tuple[float, float]) -> tuple[float, float]:
    low, high = bounds
    return (low, high) if high > low else (low, low + 1.0)


def _percentile(counts: Array, bounds: tuple[float, float], share: float) -> tuple[float, float]:
    """Cut (100 - share) / 2 per cent of the values at each end."""
    edges = np.linspace(*_span(bounds), _BINS + 1)
    below = np.cumsum(counts) / max(counts.sum(), 1)
    tail = (1.0 - share / 100.0) / 2.0
    first = int(np.searchsorted(below, tail, side="right"))
    last = int(np.searchsorted(below, 1.0 - tail, side="left"))
    low = max(bounds[0], float(edges[min(first, _BINS)]))
    high = min(bounds[1], float(edges[min(last + 1, _BINS)]))
    return min(low, 0.0), max(high, 0.0)


def _entropy(counts: Array, bounds: tuple[float, float]) -> tuple[float, float]:
    """Clip at the |value| where the Kullback-Leibler divergence is smallest.

    A histogram of few values for each bin is noise, of which clipping drops the most: such a
    tensor gets fewer bins, and keeps all that was seen when too few are left.
    """
    bins = min(_BINS // 2, int(counts.sum()) // _VALUES_PER_BIN)
    largest = max(-bounds[0], bounds[1])
    if largest == 0.0 or bins < 4 * _LEVELS:
        return bounds
    edges = np.linspace(*_span(bounds), _BINS + 1)
    size = np.abs((edges[:-1] + edges[1:]) / 2.0)
    folded, _ = np.histogram(size, bins, (0.0, largest), weights=counts)
    folded[0] = folded[1]  # zeros are exact at any scale and would outweigh all else
    tried = [*range(_LEVELS, bins, _STEP), bins]
    best = min(tried, key=lambda kept: _divergence(folded, kept))
    clip = largest * best / bins
    return max(bounds[0], -clip), min(bounds[1], clip)


def _divergence(counts: Array, kept: int) -> float:
    """Of the clipped histogram from what _LEVELS levels can tell of its first `kept` bins."""
    clipped = counts[:kept].astype(np.float64)
    present = clipped > 0
    level = np.arange(kept) * _LEVELS // kept
    total = np.bincount(level, clipped, _LEVELS)
    filled = np.bincount(level, present, _LEVELS)
    told = np.where(present, (total / np.maximum(filled, 1))[level], 0.0)
    clipped[-1] += counts[kept:].sum()
    if not clipped.sum() or not told.sum():
        return float("inf")
    told = np.maximum(told / told.sum(), 1e-12)
    true = clipped / clipped.sum()
    seen = true > 0
    return float(np.sum(true[seen] * np.log(true[seen] / told[seen])))
