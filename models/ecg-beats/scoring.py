"""Scores of beat classes by patient: EC57 counts, in which missed beats are missed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from records import LABELS, RecordBeats

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


def best_bias(
    records: Sequence[RecordBeats], logits: Mapping[str, NDArray[np.float32]]
) -> NDArray[np.float32]:
    """What to add to the logits of N, S, V for the best macro F1 on these patients.

    It stays within +-1 and costs a little: with so few patients a large bias is chance.
    """
    best, best_score = np.zeros(3, np.float32), -1.0
    for s in np.arange(-1.0, 1.01, 0.25):
        for v in np.arange(-1.0, 1.01, 0.25):
            bias = np.array([0, s, v], np.float32)
            moved = {name: values + bias for name, values in logits.items()}
            score = scores(confusion(records, moved))["macro F1"] - 0.002 * (abs(s) + abs(v))
            if score > best_score:
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
