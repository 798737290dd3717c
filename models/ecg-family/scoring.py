"""Figures by case, with intervals: macro F1 and confusion of rhythms, areas under ROC curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from export import Run
from network import HEADS
from numpy.typing import NDArray
from records import AF, Case, Floats

RHYTHMS, FINDINGS, NOISE = slice(0, 3), slice(3, 8), 8
_RESAMPLES = 1000


def of_cases(run: Run, cases: Sequence[Case]) -> Floats:
    """(cases, 9): the mean over the windows of each case."""
    windows = [case.windows() for case in cases]
    scores = run(np.concatenate(windows))
    ends = np.cumsum([len(one) for one in windows])
    return np.stack([part.mean(axis=0) for part in np.split(scores, ends[:-1])])


def figures(cases: Sequence[Case], scores: Floats) -> dict[str, Any]:
    """All that can be said of these cases, by source."""
    made: dict[str, Any] = {}
    for source in sorted({case.source for case in cases}):
        rows = np.array([case.source == source for case in cases])
        made[source] = _of_source([c for c, r in zip(cases, rows, strict=True) if r], scores[rows])
    return made


def _of_source(cases: Sequence[Case], scores: Floats) -> dict[str, Any]:
    patients = np.array([case.patient for case in cases])
    made: dict[str, Any] = {"cases": len(cases), "patients": len(set(patients))}
    rhythm = np.array([case.rhythm for case in cases])
    if (known := ~np.isnan(rhythm)).sum() > 1:
        of, given, who = rhythm[known].astype(int), scores[known, RHYTHMS], patients[known]
        made["rhythm"] = {
            "counts": np.bincount(of, minlength=3).tolist(),
            "confusion": confusion(of, given.argmax(axis=1)),
            "macro_f1": _interval(lambda r: macro_f1(of[r], given[r].argmax(axis=1)), who),
            "auc_af": _interval(lambda r: auc(of[r] == AF, given[r, AF]), who),
        }
    noise = np.array([case.noise for case in cases])
    if len(set(noise[~np.isnan(noise)])) == 2:
        keep = ~np.isnan(noise)
        of_noise, noisy, who = noise[keep] == 1, scores[keep, NOISE], patients[keep]
        made["noise"] = {
            "counts": [int((~of_noise).sum()), int(of_noise.sum())],
            "auc": _interval(lambda r: auc(of_noise[r], noisy[r]), who),
        }
    findings = np.array([case.findings for case in cases])
    if (known := ~np.isnan(findings).any(axis=1)).any():
        true, given, who = findings[known] == 1, scores[known, FINDINGS], patients[known]
        each = {}
        for at, name in enumerate(HEADS["findings"]):
            one = lambda r, at=at: auc(true[r, at], given[r, at])  # noqa: E731
            each[name] = {"positive": int(true[:, at].sum()), "auc": _interval(one, who)}
        macro = lambda r: np.nanmean([auc(true[r, a], given[r, a]) for a in range(true.shape[1])])  # noqa: E731
        made["findings"] = {
            "cases": int(known.sum()),
            "each": each,
            "macro_auc": _interval(macro, who),
        }
    return made


def auc(positive: NDArray[np.bool_], score: Floats) -> float:
    """Chance that a positive case scores above a negative one; NaN when either is lacking."""
    above, below = score[positive], score[~positive]
    if not len(above) or not len(below):
        return float("nan")
    higher = (above[:, None] > below[None]).mean()
    return float(higher + 0.5 * (above[:, None] == below[None]).mean())


def confusion(reference: NDArray[np.int64], called: NDArray[np.int64]) -> list[list[int]]:
    """Rows are the reference."""
    counts = np.zeros((3, 3), int)
    np.add.at(counts, (reference, called), 1)
    made: list[list[int]] = counts.tolist()
    return made


def macro_f1(reference: NDArray[np.int64], called: NDArray[np.int64]) -> float:
    """Mean F1 of the classes that occur."""
    counts = np.array(confusion(reference, called))
    total = counts.sum(axis=0) + counts.sum(axis=1)
    there = counts.sum(axis=1) > 0
    return float((2 * np.diag(counts)[there] / total[there]).mean())


def _interval(figure: Callable[[Any], float], patients: NDArray[np.str_]) -> list[float]:
    """The figure and its 95 % interval, patients drawn anew (bootstrap, 1000 times)."""
    random = np.random.default_rng(0)
    rows = {name: np.flatnonzero(patients == name) for name in np.unique(patients)}
    names = list(rows)
    drawn = []
    for _ in range(_RESAMPLES):
        chosen = random.integers(0, len(names), len(names))
        drawn.append(figure(np.concatenate([rows[names[at]] for at in chosen])))
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return [round(float(v), 4) for v in (figure(np.arange(len(patients))), low, high)]


def against(reference: Floats, other: Floats) -> dict[str, float]:
    """How near the scores of two files are: largest and mean difference, ranks, same rhythm."""
    ranks = [np.argsort(np.argsort(x.ravel())) for x in (reference, other)]
    return {
        "largest_difference": round(float(np.abs(reference - other).max()), 4),
        "mean_difference": round(float(np.abs(reference - other).mean()), 5),
        "rank_correlation": round(float(np.corrcoef(*ranks)[0, 1]), 4),
        "same_rhythm": round(
            float((reference[:, RHYTHMS].argmax(1) == other[:, RHYTHMS].argmax(1)).mean()), 4
        ),
    }


def change(cases: Sequence[Case], reference: Floats, other: Floats) -> dict[str, list[float]]:
    """Macro F1 of the rhythms, other less reference, with the interval of that difference."""
    made = {}
    for source in sorted({case.source for case in cases}):
        known = [at for at, c in enumerate(cases) if c.source == source and not np.isnan(c.rhythm)]
        of = np.array([int(cases[at].rhythm) for at in known])
        who = np.array([cases[at].patient for at in known])
        called, before = (x[known, RHYTHMS].argmax(axis=1) for x in (other, reference))
        made[source] = _interval(
            lambda r, of=of, called=called, before=before: (
                macro_f1(of[r], called[r]) - macro_f1(of[r], before[r])
            ),
            who,
        )
    return made
