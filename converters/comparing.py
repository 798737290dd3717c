"""Two model directories or files over the same cases: what `edge-convert compare A B` tells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime import manifest as manifests
from edge_runtime.errors import ConfigError
from edge_runtime.manifest import Manifest
from edge_runtime.outcome import Detection

from .data import Cases, read, refuse_leak
from .data.recorded import golden_inputs
from .gate.answers import Answers, answers
from .gate.measure import How, Latency, ModelFile, Run, measure
from .gate.scores import NOTHING
from .gate.verdict import Verdict, judge

Progress = Callable[[int, int, str], None]

SHOWN = 20  # cases that differ


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: a weights file and what its numbers mean, as `contract` says."""

    file: Path
    manifest: Manifest
    contract: Path


@dataclass(frozen=True, slots=True)
class Difference:
    """A case on which the two do not say the same; `right` is "" where nobody knows."""

    case: str
    first: str
    second: str
    right: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """The first beside the second, which `verdict` judges by the first."""

    first: Run
    second: Run
    verdict: Verdict
    cases: Cases
    differences: tuple[Difference, ...]

    def rows(self) -> list[tuple[str, str, str, str]]:
        """A table: what, the first, the second, and the second over or less the first."""
        one, other, verdict = self.first, self.second, self.verdict
        before, after, ratio = other.beside or one.latency, other.latency, _times(other.ratio)
        rows = [
            ("size", _bytes(one.size_bytes), _bytes(other.size_bytes), _times(verdict.size_ratio)),
            ("latency, median", _ms(before, "median_ms"), _ms(after, "median_ms"), ratio),
            ("latency, 95 %", _ms(before, "p95_ms"), _ms(after, "p95_ms"), ""),
            ("peak memory", f"{one.peak_rss_mb:.0f} MB", f"{other.peak_rss_mb:.0f} MB", ""),
        ]
        rows += [
            (
                f"{lost.head} {lost.metric}, %".lstrip(),
                lost.before.percent(),
                lost.after.percent(),
                f"loses {lost.loss.percent()}",
            )
            for lost in verdict.drops
        ]
        if verdict.agreement:
            same = verdict.agreement
            rows.append(
                ("same answers", "", f"{same.same} of {same.cases}", f"{100 * same.share:.2f} %")
            )
            rows += [
                (f"same {head}", "", f"{kept} of {same.cases}", f"{100 * kept / same.cases:.2f} %")
                for head, kept in same.heads.items()
            ]
            rows += [
                (
                    f"error of {error.name}",
                    f"spans {error.span:.4g}",
                    f"largest {error.largest:.3g}, 99 % {error.percentile_99:.3g}",
                    f"mean {error.mean:.3g}",
                )
                for error in same.outputs
            ]
        return rows

    def text(self) -> str:
        """The table, the notes, and the first cases that differ."""
        rows = [("", self.first.path.name, self.second.path.name, ""), *self.rows()]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        verdict = self.verdict
        lines += [f"note: {note}" for note in (*verdict.reasons, *verdict.notes)]
        if verdict.agreement and self.differences:
            count = len(verdict.agreement.differing)
            lines.append(f"they differ on {count} of {len(self.cases)} cases:")
            for one in self.differences:
                right = f" (right: {one.right})" if one.right else ""
                lines.append(f"  {one.case}: {one.first} | {one.second}{right}")
            if count > len(self.differences):
                lines.append(f"  and {count - len(self.differences)} more")
        return "\n".join(lines)

    def facts(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "first": str(self.first.path),
            "second": str(self.second.path),
            **self.verdict.facts(),
            "data": self.cases.facts(),
            "differences": [
                {"case": one.case, "first": one.first, "second": one.second, "right": one.right}
                for one in self.differences
            ],
        }


def side(path: Path, contract: Path | None = None) -> Side:
    """A model directory (its first file), a file of a model directory, or a bare file.

    Raises ConfigError when there is none, or nothing says what a bare file's numbers mean.
    """
    if path.is_dir():
        manifest = manifests.read(path)
        return Side(manifest.path(manifest.file[0]), manifest, path)
    if not path.exists():
        raise ConfigError(f"{path}: no such model directory or file")
    beside = path.with_name(manifests.MANIFEST)
    if contract is None and not beside.exists():
        raise ConfigError(f"{path}: a bare file: name the model.toml that says what it takes")
    return Side(path, manifests.read(contract or beside), contract or beside)


def compare(
    first: Side,
    second: Side,
    data: str | None = None,
    *,
    limit: int | None = None,
    seed: int = 0,
    steps: Path | None = None,
    max_drop: float | None = None,
    how: How | None = None,
    on_progress: Progress | None = None,
) -> Comparison:
    """Run both over the same cases; without `data`, over the golden inputs of the first.

    Each has the cases as its own manifest wants them. Raises ConfigError when the two are not of a
    kind, ConversionError when one does not run.
    """
    _alike(first.manifest, second.manifest)
    if data is None:
        cases = golden_inputs(first.manifest)
        others = cases
    else:
        for each in (first, second):
            refuse_leak(each.contract, data)
        cases = read(data, first.manifest, limit=limit, seed=seed, steps=steps)
        others = cases
        if first.manifest.input != second.manifest.input:
            others = read(data, second.manifest, limit=limit, seed=seed, steps=steps)
    one = ModelFile(first.file, cases.inputs, first.manifest)
    other = ModelFile(second.file, others.inputs, second.manifest)
    before = measure(one, how, on_progress=on_progress)
    after = measure(other, how, beside=one, on_progress=on_progress)
    verdict = judge(
        second.file.name, first.manifest, cases, before, after, max_drop=max_drop, seed=seed
    )
    differences: list[Difference] = []
    if verdict.agreement:
        names = [spec.name for spec in before.outputs]
        said = [answers(first.manifest, run, cases, names) for run in (before, after)]
        differences = [
            _difference(cases, row, said, (before, after))
            for row in verdict.agreement.differing[:SHOWN]
        ]
    return Comparison(before, after, verdict, cases, tuple(differences))


def _alike(first: Manifest, second: Manifest) -> None:
    if first.task != second.task:
        raise ConfigError(f"{first.name} is for {first.task}, {second.name} for {second.task}")
    if first.labels() != second.labels():
        raise ConfigError(f"{first.name} and {second.name} have other labels: they cannot agree")


def _difference(
    cases: Cases, row: int, said: Sequence[Answers], runs: tuple[Run, Run]
) -> Difference:
    one, other = (
        _said(answer, run, row, cases.label_names) for answer, run in zip(said, runs, strict=True)
    )
    right = ""
    if cases.labels is not None:
        right = _name(int(cases.labels[row]), cases.label_names)
    elif cases.objects is not None:
        right = ", ".join(_name(truth.index, cases.label_names) for truth in cases.objects[row])
    elif cases.heads is not None:
        holds = np.concatenate([array[row] == 1 for array in cases.heads.values()])
        there = np.flatnonzero(holds).tolist()
        right = ", ".join(_name(index, cases.label_names) for index in there)
    return Difference(cases.names[row], one, other, right)


def _said(answer: Answers, run: Run, row: int, names: Sequence[str]) -> str:
    if answer.called is not None:
        return _name(int(answer.called[row]), names)
    if answer.shown is not None:
        return ", ".join(_object(one) for one in answer.shown[row]) or "nothing"
    if answer.points is not None:
        return ", ".join(f"{x:.0f},{y:.0f}" for x, y in answer.points[row])
    if answer.told is not None:
        return ", ".join(sorted(answer.told[row])) or "nothing"
    tops = [int(array[row].argmax()) for array in run.values]
    return "largest at " + ", ".join(map(str, tops))


def _object(one: Detection) -> str:
    return f"{one.label} {one.score:.2f}"


def _name(index: int, names: Sequence[str]) -> str:
    if index == NOTHING:
        return "nothing"
    return (names[index] if index < len(names) else "") or str(index)


def _ms(latency: Latency | None, figure: str) -> str:
    return f"{getattr(latency, figure):.3f} ms" if latency else "not measured"


def _bytes(count: int) -> str:
    return f"{count / 1e6:.2f} MB" if count >= 1_000_000 else f"{count / 1e3:.1f} kB"


def _times(ratio: float | None) -> str:
    return f"x {ratio:.2f}" if ratio is not None else ""
