"""What an optimisation gained: the files before and after, on the same data and in turns."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.manifest import Manifest

from .data import Cases
from .errors import GateError
from .gate.estimate import Estimate
from .gate.measure import ModelFile, Run, measure
from .gate.verdict import Verdict, judge
from .process import Progress

_SAME = 0.95  # a file that takes or weighs more than this share of the other gained nothing


@dataclass(frozen=True, slots=True)
class Side:
    """A file that is measured, and what its source gives for the cases (.npz)."""

    file: Path
    reference: Path


@dataclass(frozen=True, slots=True)
class Gain:
    """Before and after. `untuned` is the score of what was pruned and not trained yet."""

    verb: str
    metric: str
    before: Estimate
    after: Estimate
    floats: tuple[Estimate, Estimate]  # of the networks that the files were made of
    untuned: Estimate | None
    verdict: Verdict
    runs: tuple[Run, Run]
    zipped: tuple[int, int]  # bytes of the files under gzip -9
    facts: Mapping[str, Any] = field(default_factory=dict)
    out: Path | None = None

    @property
    def faster(self) -> bool:
        """Whether the file is faster here by more than what measuring twice may differ."""
        return self.runs[1].ratio is not None and self.runs[1].ratio < _SAME

    def hold(self) -> None:
        """Raises GateError when more was lost than may be."""
        if not self.verdict.passed:
            raise GateError(f"{'; '.join(self.verdict.reasons)}; nothing was written")

    def rows(self) -> list[tuple[str, str, str]]:
        """What, before, after."""
        one, other = self.runs
        rows = [("", "alone", "distilled")] if self.verb == "distil" else [("", "before", "after")]
        rows.append((f"{self.metric} of the file, %", self.before.percent(), self.after.percent()))
        if self.floats[0] != self.before or self.floats[1] != self.after:
            first, second = (each.percent() for each in self.floats)
            rows.append((f"{self.metric} of the float network, %", first, second))
        for lost in (one.loss for one in self.verdict.drops):
            gained = replace(lost, value=-lost.value, low=-lost.high, high=-lost.low)
            rows.append(("gained on the same cases, points", "", gained.percent()))
        if self.untuned:
            rows.append((f"{self.metric}, pruned and not trained, %", "", self.untuned.percent()))
        rows += self._counts()
        rows.append(("file, bytes", f"{one.size_bytes:,}", f"{other.size_bytes:,}"))
        first, second = (f"{size:,}" for size in self.zipped)
        rows.append(("file under gzip -9, bytes", first, second))
        if other.latency and other.beside:
            first, second = (f"{each.median_ms:.3f}" for each in (other.beside, other.latency))
            rows.append(("median of a call here, ms", first, second))
        return rows

    def text(self) -> str:
        """The table, and in words what was not gained."""
        rows = self.rows()
        widths = [max(len(row[at]) for row in rows) for at in range(3)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        if self.verb == "prune" and not self.faster:
            ratio = f" ({self.runs[1].ratio:.2f} of the time)" if self.runs[1].ratio else ""
            lines.append(f"no gain on this kernel{ratio}: {self._why()}")
        both = self.facts.get("evaluated_on_training_cases")
        if both:
            lines.append(f"note: {both} of the evaluation cases were trained on: judge on others")
        lines += [f"note: {note}" for note in self.verdict.notes]
        return "\n".join([*lines, str(self.out)] if self.out else lines)

    def _why(self) -> str:
        if self.facts.get("options", {}).get("structured"):
            return "it is bound by something else than the channels that were taken out"
        return "it stores zeros, and multiplies by them, as by any other number"

    def _counts(self) -> list[tuple[str, str, str]]:
        rows = []
        counted = self.facts.get("parameters")
        if isinstance(counted, Mapping):
            rows.append(("parameters", f"{counted['before']:,}", f"{counted['after']:,}"))
        if self.facts.get("zeros"):
            rows.append(("of them zero", "", f"{self.facts['zeros']:,}"))
        return rows


def gain(
    verb: str,
    manifest: Manifest,
    evaluation: Cases,
    sides: tuple[Side, Side],
    *,
    untuned: Path | None,
    max_drop: float | None,
    tell: Progress,
) -> Gain:
    """Run both files with the device's own backend, the second in turns with the first."""
    before, after = (ModelFile(side.file, evaluation.inputs, manifest) for side in sides)
    tell(0, 0, "measuring")
    runs = (measure(before, on_progress=tell), measure(after, beside=before, on_progress=tell))
    verdict = judge(str(runs[1].path.name), manifest, evaluation, *runs, max_drop=max_drop)
    if not verdict.drops:
        raise GateError("; ".join(verdict.reasons) or "the files cannot be compared")

    def score(path: Path) -> Estimate:
        like = replace(runs[0], values=_values(path))
        judged = judge("", manifest, evaluation, runs[0], like, max_drop=None)
        return judged.drops[0].after if judged.drops else Estimate(*(np.nan,) * 3, "none")

    (lost,) = verdict.drops  # networks of several heads are not trained here
    found = Gain(
        verb=verb,
        metric=lost.metric,
        before=lost.before,
        after=lost.after,
        floats=(score(sides[0].reference), score(sides[1].reference)),
        untuned=score(untuned) if untuned else None,
        verdict=verdict,
        runs=runs,
        zipped=(_zipped(runs[0].path), _zipped(runs[1].path)),
    )
    return replace(found, facts=_facts(found))


def _values(path: Path) -> tuple[Any, ...]:
    with np.load(path, allow_pickle=False) as file:
        return tuple(file[name] for name in file.files)


def _zipped(path: Path) -> int:
    return len(gzip.compress(path.read_bytes(), 9))


def _facts(found: Gain) -> dict[str, Any]:
    one, other = found.runs
    return {
        "verb": found.verb,
        "metric": found.metric,
        "before": found.before.percent(),
        "after": found.after.percent(),
        "float_before": found.floats[0].percent(),
        "float_after": found.floats[1].percent(),
        "untuned": found.untuned.percent() if found.untuned else None,
        "size_bytes": [one.size_bytes, other.size_bytes],
        "gzip_bytes": list(found.zipped),
        "latency_ms": [
            other.beside.median_ms if other.beside else None,
            other.latency.median_ms if other.latency else None,
        ],
        "latency_ratio": other.ratio,
        "faster": found.faster,
        "verdict": found.verdict.facts(),
    }
