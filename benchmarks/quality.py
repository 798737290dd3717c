"""Fit the score of the signal quality, and hold it against records that the fit has not seen.

    python benchmarks/quality.py path/to/data/ecg [--fit] [--json FILE]

The folder holds mitdb, nstdb (bw and ma) and cinc2017. A window of 10 s of mitdb is right when the
mean rate of the device's beats is within 5 bpm of the annotations' and nine tenths of the beats
agree; one of CinC 2017 when its strip is not labelled "~". Fit: the patients of DS1 with the first
half of each noise record, and half of the strips of each label (seed 2017). Tests: DS2 with the
second half, the paced records (in neither), and the other strips. A window with the motion of
electrodes counts three times in the fit, for it is one kind of noise beside three that are milder.
--fit prints the coefficients that `ecg/quality_model.py` is to hold; without it, what that file
holds is tested.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from quality_windows import KINDS, LEVELS_DB, Row, cinc_rows, mitdb_rows

from edge_runtime.ecg.quality_model import QualityModel, terms

Reals = NDArray[np.float64]
_BINS = 10
_RIDGE = 1.0  # of the standardised coefficients
_MOTION = 3.0  # so often a window with motion counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of mitdb, nstdb and cinc2017")
    parser.add_argument(
        "--fit", action="store_true", help="fit anew and print the coefficients; test nothing"
    )
    parser.add_argument("--json", type=Path, help="write every figure here")
    options = parser.parse_args()
    mitdb = list(mitdb_rows(options.data, fit=options.fit))
    cinc = list(cinc_rows(options.data, fit=options.fit))
    if options.fit:
        print(fitted([*mitdb, *cinc]))
        return
    report: dict[str, Any] = {"sets": {}}
    for title, rows in _test_sets(mitdb, cinc).items():
        report["sets"][title] = _figures(rows)
        _print_figures(title, report["sets"][title])
    report["noise"] = _by_noise(mitdb)
    report["records"] = _by_record(mitdb)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def fitted(rows: Sequence[Row]) -> QualityModel:
    """Logistic regression by Newton's method on standardised terms, given in their own scale."""
    usable = [row for row in rows if _usable(row)]
    values = np.array([terms(row.indices) for row in usable if row.indices])
    right = np.array([row.right for row in usable])
    counts = np.array([_MOTION if row.kind == "motion" else 1.0 for row in usable])
    middle, spread = values.mean(axis=0), values.std(axis=0)
    design = np.column_stack([np.ones(len(values)), (values - middle) / spread])
    ridge = _RIDGE * np.diag([0.0] + [1.0] * values.shape[1])
    weights = np.zeros(design.shape[1])
    for _ in range(30):
        chance = 1 / (1 + np.exp(-design @ weights))
        slope = design.T @ (counts * (chance - right)) + ridge @ weights
        bend = (design.T * (counts * chance * (1 - chance))) @ design + ridge
        weights -= np.linalg.solve(bend, slope)
    scaled = weights[1:] / spread
    return QualityModel(*(round(float(v), 3) for v in (weights[0] - scaled @ middle, *scaled)))


def auc(score: Reals, right: Reals) -> float:
    """Area under the curve: the chance that a right window scores above a wrong one."""
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    ones = right.sum()
    zeros = len(right) - ones
    return float((ranks[right == 1].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def reliability(score: Reals, right: Reals) -> list[tuple[int, float, float]]:
    """For ten bins of the score: windows, mean score, share that is right."""
    bins = np.minimum((score * _BINS).astype(int), _BINS - 1)
    inside = [bins == k for k in range(_BINS)]
    return [
        (int(at.sum()), float(score[at].mean()), float(right[at].mean())) if at.any() else (0, 0, 0)
        for at in inside
    ]


def calibration_error(score: Reals, right: Reals) -> float:
    """ECE: the mean distance of score and share, weighted by the windows of each bin."""
    rows = reliability(score, right)
    return sum(count * abs(mean - share) for count, mean, share in rows) / len(score)


def _usable(row: Row) -> bool:
    return row.indices is not None and not np.isnan(row.right) and not row.flutter


def _test_sets(mitdb: list[Row], cinc: list[Row]) -> dict[str, list[Row]]:
    test = [row for row in mitdb if row.part == "test"]
    recorded = ("clean", "ma", "bw", "ma+bw")
    return {
        "mitdb DS2, clean and with recorded noise": [r for r in test if r.kind in recorded],
        "mitdb DS2, clean only": [r for r in test if r.kind == "clean"],
        "mitdb DS2, motion": [r for r in test if r.kind == "motion"],
        "mitdb DS2, shifts": [r for r in test if r.kind == "shifts"],
        "mitdb paced records, clean and all noise": [r for r in mitdb if r.part == "paced"],
        "CinC 2017, windows": cinc,
        "CinC 2017, strips (mean score)": _strips(cinc),
    }


def _strips(rows: list[Row]) -> list[Row]:
    """One row for each strip, with the mean of its scores."""
    scores: dict[str, list[float]] = {}
    for row in rows:
        scores.setdefault(row.group, []).append(row.score)
    firsts = {row.group: row for row in reversed(rows)}
    return [replace(firsts[name], score=float(np.mean(s))) for name, s in scores.items()]


def _figures(rows: list[Row]) -> dict[str, Any]:
    known = [row for row in rows if not np.isnan(row.right) and not row.flutter]
    score = np.array([row.score for row in known])
    right = np.array([row.right for row in known])
    return {
        "windows": len(known),
        "right": float(right.mean()),
        "auc": auc(score, right),
        "ece": calibration_error(score, right),
        "reliability": reliability(score, right),
    }


def _print_figures(title: str, found: dict[str, Any]) -> None:
    print(
        f"{title}: {found['windows']} windows, {100 * found['right']:.1f} % right, "
        f"AUC {found['auc']:.4f}, ECE {found['ece']:.4f}"
    )
    for count, mean, share in found["reliability"]:
        print(f"    {count:6d} windows  score {mean:.3f}  right {share:.3f}")


def _by_noise(mitdb: list[Row]) -> dict[str, Any]:
    print("DS2 by noise: windows right %, called bad %, bad among wrong %, good among right %")
    found = {}
    for kind, level_db in [("clean", 99), *((k, level) for k in KINDS for level in LEVELS_DB)]:
        rows = [
            r
            for r in mitdb
            if (r.part, r.kind, r.level_db) == ("test", kind, level_db)
            and not np.isnan(r.right)
            and not r.flutter
        ]
        figures = [
            _percent(rows, lambda r: r.right == 1),
            _percent(rows, lambda r: r.state == "bad"),
            _percent([r for r in rows if not r.right], lambda r: r.state == "bad"),
            _percent([r for r in rows if r.right], lambda r: r.state == "good"),
        ]
        found[f"{kind} {level_db}"] = figures
        print(f"    {kind:7s}{level_db:4d} dB " + "".join(f"{value:8.1f}" for value in figures))
    return found


def _by_record(mitdb: list[Row]) -> dict[str, Any]:
    print("clean records: windows, right %, good, limited, bad, bad though right; flutter: bad")
    found = {}
    for name in sorted({row.group for row in mitdb}):
        rows = [r for r in mitdb if r.group == name and r.kind == "clean"]
        known = [r for r in rows if not r.flutter]
        states = [sum(r.state == state for r in known) for state in ("good", "limited", "bad")]
        false = sum(r.state == "bad" and r.right == 1 for r in known)
        flutter = [r.state == "bad" for r in rows if r.flutter]
        share = _percent(known, lambda r: r.right == 1)
        found[name] = [rows[0].part, len(known), share, *states, false, sum(flutter), len(flutter)]
        tail = f"  flutter: {sum(flutter)} of {len(flutter)} bad" if flutter else ""
        counts = "".join(f"{value:5d}" for value in (*states, false))
        print(f"    {name} {rows[0].part:5s} {len(known):4d} {share:6.1f} {counts}{tail}")
    return found


def _percent(rows: list[Row], holds: Callable[[Row], bool]) -> float:
    return 100 * sum(map(holds, rows)) / max(1, len(rows))


if __name__ == "__main__":
    main()
