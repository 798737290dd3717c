"""Fit and score the atrial fibrillation model of `ecg.rhythm` on strips of the 2017 challenge.

    python benchmarks/ecg_af.py path/to/cinc2017 [--json FILE]

Protocol: strips of class N, A and O, one per patient, their first 30 s, R peaks of our own
detector at 300 Hz. Of all strips in the order of their names, every third is kept aside; the
others are fitted (ridge logistic regression) and cross-validated (5 parts, 10 times). Strips with
too few usual beats cannot be judged: they are counted and have no place in the AUC; in
`auc_worst` each of them counts as the wrong call.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_runtime.ecg.qrs import QrsDetector
from edge_runtime.ecg.rhythm import fibrillation
from edge_runtime.ecg.rhythm.heartbeat import HeartBeat, Wave
from edge_runtime.ecg.rhythm.irregularity import FEATURES, features
from edge_runtime.ecg.rhythm.strip import WAVE_S
from edge_runtime.sources.records.wfdb_record import open_record

_STRIP_S, _RIDGE = 30, 10.0


class Strip(NamedTuple):
    name: str
    label: str
    features: NDArray[np.float64] | None
    score: float | None  # of the shipped weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of the strips and REFERENCE-v3.csv")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    arguments = parser.parse_args()
    strips = read(arguments.folder)
    aside = [strip for strip in strips[::3] if strip.label in "NAO"]
    fitted = [strip for n, strip in enumerate(strips) if n % 3 and strip.label in "NAO"]
    judged = [strip for strip in fitted if strip.features is not None]
    inputs = np.array([strip.features for strip in judged])
    truth = np.array([strip.label == "A" for strip in judged])
    weights = fit(inputs, truth)
    print("WEIGHTS =", tuple(round(float(weight), 4) for weight in weights))
    print(f"cross-validated AUC on {len(judged)} strips: {cross_validated(inputs, truth):.4f}")
    figures = report(aside) if any(fibrillation.WEIGHTS) else {}
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


def report(strips: list[Strip]) -> dict[str, float]:
    judged = [strip for strip in strips if strip.score is not None]
    score = np.array([strip.score for strip in judged])
    label = np.array([strip.label for strip in judged])
    figures = {"strips": len(strips), "judged": len(judged)}
    for name in "ANO":
        figures[f"judged_{name}"] = int((label == name).sum())
        figures[f"called_{name}"] = float(np.mean(score[label == name] >= 0.7))
    figures["auc"] = auc(score, label == "A")
    for other in "NO":
        pair = np.isin(label, ["A", other])
        figures[f"auc_against_{other}"] = auc(score[pair], label[pair] == "A")
    silent = np.array([strip.label == "A" for strip in strips if strip.score is None], bool)
    worst = np.concatenate([score, np.where(silent, -1.0, 2.0)])
    figures["auc_worst"] = auc(worst, np.concatenate([label == "A", silent]))
    low, high = bootstrap(score, label == "A")
    figures |= {"auc_low": low, "auc_high": high}
    at = np.quantile(score[label == "A"], 0.10, method="lower")
    figures["sp_on_n_at_se_90"] = float(np.mean(score[label == "N"] < at))
    figures["sp_on_o_at_se_90"] = float(np.mean(score[label == "O"] < at))
    print("kept aside, shipped weights:")
    for key, value in figures.items():
        print(f"  {key:18} {value:.4g}")
    return figures


def read(folder: Path) -> list[Strip]:
    strips = []
    with (folder / "REFERENCE-v3.csv").open() as file:
        labels = {row[0]: row[1] for row in csv.reader(file)}
    for path in sorted(folder.glob("*.hea")):
        record = open_record(path.with_suffix(""))
        rate_hz = record.header.rate_hz
        blocks = record.blocks(0, min(record.frames, round(_STRIP_S * rate_hz)))
        signal = np.concatenate([block.mv for block in blocks])[:, 0]
        beats = beats_of(signal, rate_hz)
        strip = Strip(path.stem, labels[path.stem], features(beats), fibrillation.score(beats))
        strips.append(strip)
    return strips


def beats_of(signal: NDArray[np.float32], rate_hz: float) -> list[HeartBeat]:
    detector = QrsDetector(rate_hz)
    peaks = list(detector.feed(signal.astype(np.float64))) + list(detector.flush())
    before, after = (round(seconds * rate_hz) for seconds in WAVE_S)
    beats: list[HeartBeat] = []
    last = None
    for peak in peaks:
        at = round(peak)
        whole = before <= at <= len(signal) - after
        wave = Wave(signal[at - before : at + after], before, rate_hz) if whole else None
        rr_s = None if last is None else (peak - last) / rate_hz
        beats.append(HeartBeat(round(peak * 1e9 / rate_hz), rr_s, "N", wave))
        last = peak
    return beats


def fit(inputs: NDArray[np.float64], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(1 + features,): Newton's method on standardised features, in their own units again."""
    middle, spread = inputs.mean(axis=0), inputs.std(axis=0)
    design = np.column_stack([np.ones(len(inputs)), (inputs - middle) / spread])
    ridge = np.diag([0.0] + [_RIDGE] * len(FEATURES))
    weights = np.zeros(design.shape[1])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-design @ weights))
        curve = (design * (chance * (1 - chance))[:, None]).T @ design + ridge
        weights -= np.linalg.solve(curve, design.T @ (chance - truth) + ridge @ weights)
    slopes = weights[1:] / spread
    return np.concatenate([[weights[0] - slopes @ middle], slopes])


def cross_validated(inputs: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    found = []
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(len(truth))
        score = np.zeros(len(truth))
        for part in range(5):
            held = order[part::5]
            rest = np.setdiff1d(order, held)
            weights = fit(inputs[rest], truth[rest])
            score[held] = weights[0] + inputs[held] @ weights[1:]
        found.append(auc(score, truth))
    return float(np.mean(found))


def auc(score: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """How often a true one scores above a false one; equal scores count half."""
    yes, no = score[truth][:, None], score[~truth][None, :]
    return float(np.mean((yes > no) + 0.5 * (yes == no)))


def bootstrap(score: NDArray[np.float64], truth: NDArray[np.bool_]) -> tuple[float, float]:
    """95 % of the AUC over resampled strips."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(1000):
        drawn = random.integers(0, len(score), len(score))
        if 0 < truth[drawn].sum() < len(drawn):
            found.append(auc(score[drawn], truth[drawn]))
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
