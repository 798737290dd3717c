"""What a converted file loses on labelled data: its scores beside the source's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from edge_runtime.frame import Array
from edge_runtime.manifest import Manifest

from ..data.cases import Cases
from .answers import Answers
from .boxes import REPLICATES as BOX_REPLICATES
from .boxes import BoxMatches, BoxScores, score_boxes
from .estimate import Estimate, Resampling
from .scores import LabelScores, accuracy, difference, macro_f1, score_labels

Scores = LabelScores | BoxScores


@dataclass(frozen=True, slots=True)
class Drop:
    """The figure that the gate is on, before and after; `loss` is their difference in pairs.

    Beats are judged by macro-F1, since nine of ten are normal; other classes by accuracy; objects
    by mAP@[.5:.95].
    """

    metric: str
    source: Scores
    converted: Scores
    before: Estimate
    after: Estimate
    loss: Estimate

    @property
    def points(self) -> float:
        """The loss in percentage points; negative when the converted file is better."""
        return 100 * self.loss.value


def drop(
    manifest: Manifest, cases: Cases, source: Answers, converted: Answers, seed: int
) -> Drop | None:
    """Score both files; None without labels, or for a task that has no score here."""
    if cases.labels is not None and source.called is not None and converted.called is not None:
        resampling = Resampling(len(cases), cases.groups, seed)
        return _labels(manifest, cases, cases.labels, (source.called, converted.called), resampling)
    if cases.objects is not None and source.found is not None and converted.found is not None:
        resampling = Resampling(len(cases), (), seed, BOX_REPLICATES)
        one, other = (
            BoxMatches(cases.objects, source.found),
            BoxMatches(cases.objects, converted.found),
        )
        return _boxes(cases, one, other, resampling)
    return None


def _labels(
    manifest: Manifest,
    cases: Cases,
    right: Array,
    called: tuple[Array, Array],
    resampling: Resampling,
) -> Drop:
    before, after = (score_labels(right, one, cases.label_names, resampling) for one in called)
    if manifest.task == "beats":
        count = len(before.confusion)
        count = max(count, len(after.confusion))

        def figure(calls: Array, weights: Array) -> float:
            return macro_f1(right, calls, count, weights)

        figures = (before.macro_f1, after.macro_f1)
        return Drop("macro-F1", before, after, *figures, difference(figure, *called, resampling))
    loss = difference(partial(accuracy, right), *called, resampling)
    return Drop("accuracy", before, after, before.accuracy, after.accuracy, loss)


def _boxes(cases: Cases, one: BoxMatches, other: BoxMatches, resampling: Resampling) -> Drop:
    before, after = (score_boxes(each, cases.label_names, resampling) for each in (one, other))

    def lost(weights: Array) -> float:
        return one.map_50_95(weights) - other.map_50_95(weights)

    loss = resampling.estimate(lost)
    return Drop("mAP@[.5:.95]", before, after, before.map_50_95, after.map_50_95, loss)


def at_chance(drop: Drop, cases: Cases) -> bool:
    """Whether the source is hardly better than calling the most frequent class each time."""
    if cases.labels is None or drop.metric != "accuracy":
        return False
    most = np.bincount(cases.labels).max() / len(cases)
    return bool(drop.before.high <= most) if most < 1 else False
