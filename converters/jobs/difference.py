"""How far the outputs of a result are from its source's, case by case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .job import Array, Facts, JobError

_NOTHING = 1e-6  # a difference that is rounding, however small the values are

Outputs = dict[str, Array]  # by name, with a leading case axis


def compare(expected: Mapping[str, Array], found: Mapping[str, Array]) -> Facts:
    """The differences over all cases and outputs, in real units.

    `relative_error` is the root of the mean squared difference over that of the expected values
    around their mean, of the worst output; `agreement` the share of cases in which the largest
    value of every output stands at the same place. A value that is not finite in `found` only is
    an infinite error. Raises JobError when the shapes differ.
    """
    worst, mean, relative, agreed = 0.0, 0.0, 0.0, np.ones(0, bool)
    for (name, want), have in zip(expected.items(), found.values(), strict=True):
        if want.shape != have.shape:
            raise JobError(f"output {name} has shape {have.shape[1:]}, not {want.shape[1:]}")
        difference = _difference(want, have)
        worst = max(worst, float(difference.max(initial=0.0)))
        mean = max(mean, float(difference.mean()) if difference.size else 0.0)
        relative = max(relative, _relative(want, difference))
        same = _places(want) == _places(have)
        agreed = agreed & same if len(agreed) else same
    return {
        "cases": len(agreed),
        "max_error": worst,
        "mean_error": mean,
        "relative_error": relative,
        "agreement": float(agreed.mean()) if len(agreed) else 1.0,
    }


def require_same(
    expected: Mapping[str, Array], found: Mapping[str, Array], what: str, limit: float = 1e-3
) -> Facts:
    """`compare`; raises JobError when the relative error is over `limit`, and not mere rounding."""
    facts = compare(expected, found)
    if not (facts["relative_error"] <= limit or facts["max_error"] <= _NOTHING):
        raise JobError(
            f"{what}: the result differs from its source: relative error "
            f"{facts['relative_error']:.3g} (allowed {limit:g}), largest difference "
            f"{facts['max_error']:.3g} over {facts['cases']} cases"
        )
    return facts


def stack(names: Sequence[str], cases: Sequence[Sequence[Array]]) -> Outputs:
    """Outputs case by case to arrays by name. Raises JobError when their sizes vary."""
    stacked = {}
    for index, name in enumerate(names):
        arrays = [case[index] for case in cases]
        if len({array.shape for array in arrays}) > 1:
            raise JobError(f"output {name} has another shape in each case: give equal cases")
        stacked[name] = np.stack(arrays)
    return stacked


def _difference(want: Array, have: Array) -> Array:
    wanted, had = want.astype(np.float64), have.astype(np.float64)
    with np.errstate(invalid="ignore"):
        difference: Array = np.abs(wanted - had)
    same = (wanted == had) | (np.isnan(wanted) & np.isnan(had))
    difference[same] = 0.0
    difference[~np.isfinite(difference)] = np.inf
    return difference


def _relative(want: Array, difference: Array) -> float:
    if not difference.size or not difference.any():
        return 0.0
    spread = float(np.std(want[np.isfinite(want)])) or float(np.abs(want).max()) or 1.0
    return float(np.sqrt(np.mean(difference**2)) / spread)


def _places(array: Array) -> Array:
    flat = array.reshape(len(array), -1)
    return flat.argmax(axis=1) if flat.shape[1] else np.zeros(len(array), np.int64)
