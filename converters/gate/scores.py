"""How often the right class is given: accuracy, and precision, recall and F1 of each class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edge_runtime.frame import Array

from .estimate import Estimate, Resampling, wilson

NOTHING = -1  # called, where a model gives no class at all


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class. A share of nothing is 0; `cases` are those of the reference."""

    label: str
    cases: int
    called: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class LabelScores:
    """What was called against what was right."""

    accuracy: Estimate
    macro_f1: Estimate
    classes: tuple[ClassScore, ...]
    confusion: Array  # (classes, classes + 1) counts: rows right, columns called, last: nothing


def score_labels(
    right: Array, called: Array, names: Sequence[str], resampling: Resampling
) -> LabelScores:
    """Score classes called, (cases,) each.

    The macro-F1 is the mean over classes that occur in the reference or were called; a class that
    was called and never right counts with an F1 of 0.
    """
    count = max(len(names), int(right.max()) + 1, int(called.max()) + 1)
    hits = right == called
    accuracy = wilson(int(hits.sum()), len(right))
    if resampling.grouped:
        accuracy = resampling.estimate(lambda weights: _share(hits, weights))
    return LabelScores(
        accuracy=accuracy,
        macro_f1=resampling.estimate(lambda weights: macro_f1(right, called, count, weights)),
        classes=_classes(right, called, names, count),
        confusion=_confusion(right, called, count),
    )


@dataclass(frozen=True, slots=True)
class ManyScores:
    """What was called against what was right, where any of several labels may hold."""

    macro_f1: Estimate
    classes: tuple[ClassScore, ...]


def score_many(
    right: Array, called: Array, names: Sequence[str], resampling: Resampling
) -> ManyScores:
    """Score labels of which any may hold.

    `right` is (cases, labels) of 1, 0 and -1 where it is not known, which is not counted; `called`
    (cases, labels) bool.
    """
    once = np.ones(len(right), np.int64)
    counts = zip(names, *(each.tolist() for each in _counts(right, called, once)), strict=True)
    return ManyScores(
        macro_f1=resampling.estimate(lambda weights: many_f1(right, called, weights)),
        classes=tuple(_class_score(*one) for one in counts if one[2] + one[3]),
    )


def difference(
    figure: Callable[[Array, Array], float],
    before: Array,
    after: Array,
    resampling: Resampling,
) -> Estimate:
    """How much of a figure is lost from `before` to `after`, on the same cases in pairs.

    `figure(called, weights)` is one file's; a positive loss is a worse file.
    """
    return resampling.estimate(lambda weights: figure(before, weights) - figure(after, weights))


def accuracy(right: Array, called: Array, weights: Array) -> float:
    """The share of right calls, each case counting `weights` times."""
    return _share(right == called, weights)


def macro_f1(right: Array, called: Array, count: int, weights: Array) -> float:
    """The mean F1 of the classes that occur or were called; NaN when there is none."""
    given = called != NOTHING
    reference = np.bincount(right, weights, minlength=count)
    calls = np.bincount(called[given], weights[given], minlength=count)
    hit = right == called
    hits = np.bincount(right[hit], weights[hit], minlength=count)
    there = reference + calls > 0
    if not there.any():
        return float("nan")
    return float(np.mean(2 * hits[there] / (reference + calls)[there]))


def many_f1(right: Array, called: Array, weights: Array) -> float:
    """The mean F1 of the labels that occur or were called; NaN when there is none."""
    hits, reference, calls = _counts(right, called, weights)
    there = reference + calls > 0
    if not there.any():
        return float("nan")
    return float(np.mean(2 * hits[there] / (reference + calls)[there]))


def _counts(right: Array, called: Array, weights: Array) -> tuple[Array, Array, Array]:
    """Hits, cases and calls of each label, (labels,), each case counting `weights` times."""
    holds, called = right == 1, called & (right >= 0)
    return weights @ (holds & called), weights @ holds, weights @ called


def _share(hits: Array, weights: Array) -> float:
    return float((hits * weights).sum() / weights.sum())


def _confusion(right: Array, called: Array, count: int) -> Array:
    table = np.zeros((count, count + 1), np.int64)
    np.add.at(table, (right, np.where(called == NOTHING, count, called)), 1)
    return table


def _classes(
    right: Array, called: Array, names: Sequence[str], count: int
) -> tuple[ClassScore, ...]:
    table = _confusion(right, called, count)
    found = []
    for index in range(count):
        hits, cases, calls = table[index, index], table[index].sum(), table[:, index].sum()
        if cases + calls == 0:
            continue
        name = (names[index] if index < len(names) else "") or str(index)
        found.append(_class_score(name, int(hits), int(cases), int(calls)))
    return tuple(found)


def _class_score(name: str, hits: int, cases: int, calls: int) -> ClassScore:
    return ClassScore(
        name,
        cases,
        calls,
        precision=hits / calls if calls else 0.0,
        recall=hits / cases if cases else 0.0,
        f1=2 * hits / (cases + calls),
    )
