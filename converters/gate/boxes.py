"""How well objects are found: average precision by the rule of COCO.

The rule: Lin et al. 2014, Microsoft COCO (ECCV, arXiv:1405.0312), as its reference program
(cocoapi, PythonAPI/pycocotools/cocoeval.py) computes it for objects of all sizes: at most 100
detections of a class in a picture, best score first; each takes the object not yet taken with the
largest overlap at or above the threshold; what falls into a crowd counts neither way; precision is
read at 101 recalls, made monotone; thresholds are 0.50 to 0.95 in steps of 0.05; the mean is over
the classes that the pictures have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge_runtime.frame import Array
from edge_runtime.outcome import Box, Detection

from ..data.cases import Truth
from .estimate import Estimate, Resampling

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MOST = 100  # detections of a class in one picture
REPLICATES = 200  # a replicate sorts every detection anew


@dataclass(frozen=True, slots=True)
class _Matches:
    """All detections of one class, best score first: (detections,) and (10, detections)."""

    case: Array  # the picture each is in
    hit: Array  # at each threshold, whether it took an object
    ignored: Array  # at each threshold, whether it fell into a crowd
    objects: Array  # (cases,): how many there are to find


@dataclass(frozen=True, slots=True)
class BoxScores:
    """Mean average precision; `classes` has AP@0.5 and AP@[.5:.95] of each."""

    map_50: Estimate
    map_50_95: Estimate
    classes: Mapping[str, tuple[float, ...]]


class BoxMatches:
    """The detections of one file, matched with the objects of the same pictures."""

    def __init__(
        self, truths: Sequence[Sequence[Truth]], found: Sequence[Sequence[Detection]]
    ) -> None:
        classes = sorted({one.index for case in truths for one in case if not one.crowd})
        self._classes = {index: _match(truths, found, index) for index in classes}

    def precisions(self, weights: Array) -> dict[int, Array]:
        """AP of each class at each threshold, (10,); the picture i counts `weights[i]` times."""
        found = {index: _precision(one, weights) for index, one in self._classes.items()}
        return {index: values for index, values in found.items() if np.isfinite(values).all()}

    def map_50(self, weights: Array) -> float:
        """MAP at an overlap of 0.5; NaN where no object is."""
        return _mean([values[0] for values in self.precisions(weights).values()])

    def map_50_95(self, weights: Array) -> float:
        """MAP over the thresholds 0.50 to 0.95; NaN where no object is."""
        return _mean([values.mean() for values in self.precisions(weights).values()])


def score_boxes(matches: BoxMatches, names: Sequence[str], resampling: Resampling) -> BoxScores:
    """Mean average precision with intervals over pictures."""
    ones = np.ones(resampling.cases, np.int64)
    return BoxScores(
        map_50=resampling.estimate(matches.map_50),
        map_50_95=resampling.estimate(matches.map_50_95),
        classes={
            (names[index] if index < len(names) else str(index)): tuple(
                float(one) for one in (values[0], values.mean())
            )
            for index, values in matches.precisions(ones).items()
        },
    )


def overlap(found: Box, truth: Truth) -> float:
    """Intersection over union; in a crowd, over the area of what was found."""
    box = truth.box
    width = min(found.x_max, box.x_max) - max(found.x_min, box.x_min)
    height = min(found.y_max, box.y_max) - max(found.y_min, box.y_min)
    if width <= 0 or height <= 0:
        return 0.0
    shared, own = width * height, _area(found)
    whole = own if truth.crowd else own + _area(box) - shared
    return shared / whole if whole > 0 else 0.0


def _area(box: Box) -> float:
    return (box.x_max - box.x_min) * (box.y_max - box.y_min)


def _match(
    truths: Sequence[Sequence[Truth]], found: Sequence[Sequence[Detection]], index: int
) -> _Matches:
    rows: list[tuple[float, int, Array, Array]] = []
    objects = np.zeros(len(truths), np.int64)
    for case, (there, given) in enumerate(zip(truths, found, strict=True)):
        wanted = sorted((one for one in there if one.index == index), key=lambda one: one.crowd)
        calls = sorted((one for one in given if one.index == index), key=lambda one: -one.score)
        objects[case] = sum(not one.crowd for one in wanted)
        hits, ignored = _match_case(wanted, calls[:MOST])
        rows += [
            (call.score, case, hits[:, row], ignored[:, row])
            for row, call in enumerate(calls[:MOST])
        ]
    order = np.argsort([-row[0] for row in rows], kind="stable")
    nothing = np.zeros((len(THRESHOLDS), 0), bool)
    return _Matches(
        case=np.array([rows[at][1] for at in order], np.int64),
        hit=np.stack([rows[at][2] for at in order], axis=1) if rows else nothing,
        ignored=np.stack([rows[at][3] for at in order], axis=1) if rows else nothing,
        objects=objects,
    )


def _match_case(wanted: Sequence[Truth], calls: Sequence[Detection]) -> tuple[Array, Array]:
    """Hits and ignored calls of one class in one picture, (10, calls) each; crowds come last."""
    hits = np.zeros((len(THRESHOLDS), len(calls)), bool)
    ignored = np.zeros_like(hits)
    overlaps = [[overlap(call.box, one) for one in wanted] for call in calls]
    for level, threshold in enumerate(THRESHOLDS):
        taken: set[int] = set()
        for row in range(len(calls)):
            place = _best(overlaps[row], wanted, taken, float(threshold))
            if place is None:
                continue
            if wanted[place].crowd:
                ignored[level, row] = True
            else:
                hits[level, row] = True
                taken.add(place)
    return hits, ignored


def _best(
    overlaps: Sequence[float], wanted: Sequence[Truth], taken: set[int], threshold: float
) -> int | None:
    """The object that a call takes: the most overlapped that is free, a crowd only for want of
    one; the last among equals, as the reference program does it.
    """
    best, at_least = None, min(threshold, 1 - 1e-10)
    for place, one in enumerate(wanted):
        if place in taken:
            continue
        if one.crowd and best is not None and not wanted[best].crowd:
            break
        if overlaps[place] >= at_least:
            best, at_least = place, overlaps[place]
    return best


def _precision(matches: _Matches, weights: Array) -> Array:
    """AP at each threshold, (10,); NaN where nothing is to be found."""
    objects = float((matches.objects * weights).sum())
    if objects == 0:
        return np.full(len(THRESHOLDS), np.nan)
    counts = weights[matches.case]  # a picture that was drawn twice gives each call twice
    hits = np.cumsum(matches.hit * counts, axis=1)
    misses = np.cumsum((~matches.hit & ~matches.ignored) * counts, axis=1)
    recall = hits / objects
    precision = hits / np.maximum(hits + misses, np.finfo(float).eps)
    monotone = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    found = np.zeros(len(THRESHOLDS))
    for level in range(len(THRESHOLDS)):
        places = np.searchsorted(recall[level], RECALLS, side="left")
        known = places < recall.shape[1]
        found[level] = monotone[level, places[known]].sum() / len(RECALLS)
    return found


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
