"""Scores of beat classes by patient: EC57 counts, in which missed beats are missed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from records import LABELS, RecordBeats

GATE_FROM, GATE_SLOPE = 0.5, 20.0  # score of fibrillation; logits of S per unit above it
BINS = 15
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
Confusion = Counter[tuple[str, str]]  # (reference or "-", called or "-") -> beats


def confusion(
    records: Sequence[RecordBeats], logits: Mapping[str, NDArray[np.float32]]
) -> Confusion:
    """Count over records; "-" called is a missed beat, "-" reference a false detection."""
    counts: Confusion = Counter()
    for record in records:
        called = np.array(LABELS)[logits[record.name].argmax(axis=1)]
        counts.update(zip(record.classes.tolist(), called.tolist(), strict=True))
        counts.update((letter, "-") for letter in record.missed)
    return counts


def scores(counts: Confusion) -> dict[str, float]:
    """Se, +P and F1 of each class in percent, and the mean F1 of N, S and V.

    A missed beat lowers Se of its class, a false detection +P of the class that it was given.
    Reference beats of F and Q are in none of these figures, as AAMI leaves V counts free of F.
    """
    result: dict[str, float] = {}
    for label in LABELS:
        right = counts[label, label]
        reference = sum(counts[label, called] for called in (*LABELS, "-"))
        called = sum(counts[given, label] for given in (*LABELS, "-"))
        result[f"{label} Se"] = 100 * right / max(reference, 1)
        result[f"{label} +P"] = 100 * right / max(called, 1)
        result[f"{label} F1"] = 2 * right / max(reference + called, 1)
    result["macro F1"] = sum(result[f"{label} F1"] for label in LABELS) / len(LABELS)
    return result


def gated(record: RecordBeats, logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits with S muted where the rhythm looks like fibrillation: see `export.with_scores`."""
    muted = np.maximum(GATE_SLOPE * (record.fibrillation - GATE_FROM), 0)
    return logits - muted * np.array([0, 1, 0], np.float32)


def best_bias(
    records: Sequence[RecordBeats], logits: Mapping[str, NDArray[np.float32]]
) -> NDArray[np.float32]:
    """What to add to the logits of N, S, V for the best macro F1 on these patients.

    It stays within +-1 and costs a little: with so few patients a large bias is chance. Se of V
    may not fall by more than a point.
    """
    best, best_score = np.zeros(3, np.float32), -1.0
    least_v = scores(confusion(records, logits))["V Se"] - 1.0
    for s in np.arange(-1.0, 1.01, 0.25):
        for v in np.arange(-1.0, 1.01, 0.25):
            bias = np.array([0, s, v], np.float32)
            moved = {name: values + bias for name, values in logits.items()}
            found = scores(confusion(records, moved))
            score = found["macro F1"] - 0.002 * (abs(s) + abs(v))
            if score > best_score and found["V Se"] >= least_v:
                best, best_score = bias, score
    return best


def with_and_without(
    records: Sequence[RecordBeats], logits: Mapping[str, NDArray[np.float32]]
) -> dict[str, dict[str, float]]:
    """Scores of all records, and less 232, which holds three quarters of the S beats of DS2."""
    others = [record for record in records if record.name != "232"]
    return {
        "all": scores(confusion(records, logits)),
        "without 232": scores(confusion(others, logits)),
    }


def temperature(records: Sequence[RecordBeats], logits: Mapping[str, NDArray[np.float32]]) -> float:
    """What to divide logits by for the best likelihood of the right classes (Guo 2017)."""
    known = [np.isin(record.classes, LABELS) for record in records]
    rows = np.concatenate([logits[r.name][k] for r, k in zip(records, known, strict=True)])
    right = np.concatenate([r.classes[k] for r, k in zip(records, known, strict=True)])
    at = np.searchsorted(np.array(LABELS), right)

    def cost(divisor: float) -> float:
        z = rows / divisor
        z = z - z.max(axis=1, keepdims=True)
        picked = np.take_along_axis(z, at[:, None], axis=1)[:, 0]
        return float(np.mean(np.log(np.exp(z).sum(axis=1)) - picked))

    return min((float(t) for t in np.arange(0.5, 3.01, 0.05)), key=cost)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def calibration(
    records: Sequence[RecordBeats], probable: Mapping[str, NDArray[np.float32]]
) -> dict[str, object]:
    """Expected calibration error of the best score, and what a threshold on it does.

    Over beats that are N, S or V. For each threshold: the share of beats that keep a class, and
    the share of wrong ones among them.
    """
    known = [np.isin(record.classes, LABELS) for record in records]
    rows = np.concatenate([probable[r.name][k] for r, k in zip(records, known, strict=True)])
    truth = np.concatenate([r.classes[k] for r, k in zip(records, known, strict=True)])
    top, right = rows.max(axis=1), np.array(LABELS)[rows.argmax(axis=1)] == truth
    bins = np.minimum((top * BINS).astype(int), BINS - 1)
    error = sum(
        abs(right[bins == at].mean() - top[bins == at].mean()) * (bins == at).mean()
        for at in np.unique(bins)
    )
    line = {
        str(least): [round(float((top >= least).mean()), 4), _share_wrong(right[top >= least])]
        for least in (0.0, *THRESHOLDS)
    }
    return {"ECE": round(float(error), 4), "threshold: share kept, share wrong": line}


def _share_wrong(right: NDArray[np.bool_]) -> float:
    return round(1 - float(right.mean()), 4) if right.size else 0.0
