"""What a converted file loses on labelled data: its scores beside the source's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from edge_runtime.frame import Array
from edge_runtime.manifest import Manifest
from edge_runtime.readout import HeadEntry

from ..data.cases import Cases
from .answers import Answers
from .boxes import REPLICATES as BOX_REPLICATES
from .boxes import BoxMatches, BoxScores, score_boxes
from .estimate import Estimate, Resampling
from .scores import (
    LabelScores,
    ManyScores,
    accuracy,
    difference,
    macro_f1,
    many_f1,
    score_labels,
    score_many,
)

Scores = LabelScores | ManyScores | BoxScores


@dataclass(frozen=True, slots=True)
class Drop:
    """The figure that the gate is on, before and after; `loss` is their difference in pairs.

    Beats are judged by macro-F1, since nine of ten are normal; other classes by accuracy; objects
    by mAP@[.5:.95]; a head of which any label may hold by the macro-F1 over its labels. `cases`
    are those whose answer is known, of so many `patients` (0: nobody said); `head` is "" where
    there is only one task.
    """

    metric: str
    source: Scores
    converted: Scores
    before: Estimate
    after: Estimate
    loss: Estimate
    cases: int
    patients: int
    head: str = ""

    @property
    def points(self) -> float:
        """The loss in percentage points; negative when the converted file is better."""
        return 100 * self.loss.value


def drops(
    manifest: Manifest, cases: Cases, source: Answers, converted: Answers, seed: int
) -> tuple[Drop, ...]:
    """Score both files: once, or for each head; none without labels, or a score for the task.

    A head is scored over the cases of which it is known what is right, and not at all when none
    of its labels ever is.
    """
    if cases.labels is not None and source.called is not None and converted.called is not None:
        resampling = Resampling(len(cases), cases.groups, seed)
        called = (source.called, converted.called)
        by_f1 = manifest.task == "beats"
        return (_labels(cases.labels, called, cases.label_names, resampling, by_f1=by_f1),)
    if cases.objects is not None and source.found is not None and converted.found is not None:
        resampling = Resampling(len(cases), (), seed, BOX_REPLICATES)
        one = BoxMatches(cases.objects, source.found)
        other = BoxMatches(cases.objects, converted.found)
        return (_boxes(cases, one, other, resampling),)
    if cases.heads is not None and source.heads is not None and converted.heads is not None:
        found = []
        for head in manifest.head:
            right = cases.heads[head.name]
            rows = np.flatnonzero((right >= 0).any(axis=1))
            groups = [cases.groups[row] for row in rows] if cases.groups else ()
            if (right == 1).any():
                pair = (source.heads[head.name][rows], converted.heads[head.name][rows])
                found.append(_head(head, right[rows], pair, Resampling(len(rows), groups, seed)))
        return tuple(found)
    return ()


def _head(head: HeadEntry, right: Array, pair: tuple[Array, Array], resampling: Resampling) -> Drop:
    if head.report == "best":
        drop = _labels(right.argmax(axis=1), pair, head.labels, resampling)
    else:
        drop = _many(right, pair, head.labels, resampling)
    return replace(drop, head=head.name)


def _labels(
    right: Array,
    called: tuple[Array, Array],
    names: Sequence[str],
    resampling: Resampling,
    *,
    by_f1: bool = False,
) -> Drop:
    before, after = (score_labels(right, one, names, resampling) for one in called)
    known = (len(right), len(set(resampling.groups)))
    if by_f1:
        count = max(len(before.confusion), len(after.confusion))

        def figure(calls: Array, weights: Array) -> float:
            return macro_f1(right, calls, count, weights)

        figures = (before.macro_f1, after.macro_f1)
        loss = difference(figure, *called, resampling)
        return Drop("macro-F1", before, after, *figures, loss, *known)
    loss = difference(partial(accuracy, right), *called, resampling)
    return Drop("accuracy", before, after, before.accuracy, after.accuracy, loss, *known)


def _many(
    right: Array, called: tuple[Array, Array], names: Sequence[str], resampling: Resampling
) -> Drop:
    before, after = (score_many(right, one, names, resampling) for one in called)
    loss = difference(partial(many_f1, right), *called, resampling)
    known = (len(right), len(set(resampling.groups)))
    return Drop("macro-F1", before, after, before.macro_f1, after.macro_f1, loss, *known)


def _boxes(cases: Cases, one: BoxMatches, other: BoxMatches, resampling: Resampling) -> Drop:
    before, after = (score_boxes(each, cases.label_names, resampling) for each in (one, other))

    def lost(weights: Array) -> float:
        return one.map_50_95(weights) - other.map_50_95(weights)

    loss, known = resampling.estimate(lost), (len(cases), len(set(cases.groups)))
    return Drop("mAP@[.5:.95]", before, after, before.map_50_95, after.map_50_95, loss, *known)


def at_chance(drop: Drop) -> bool:
    """Whether the source is hardly better than calling the most frequent class each time."""
    if drop.metric != "accuracy" or not isinstance(drop.source, LabelScores):
        return False
    most = drop.source.confusion.sum(axis=1).max() / drop.cases
    return bool(drop.before.high <= most) if most < 1 else False
