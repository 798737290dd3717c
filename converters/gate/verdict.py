"""The verdict on one converted file."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from edge_runtime.manifest import Manifest

from ..data.cases import Cases
from .agreement import Agreement, agree, output_error
from .answers import answers, same
from .boxes import BoxScores
from .drop import Drop, Scores, at_chance, drop
from .estimate import LEAST_GROUPS, Estimate
from .measure import Latency, Run

_HAIR = 1e-9  # points: 0.5 lost is not more than 0.5


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a converted file stands against its source; `reasons` say why it did not pass.

    `size_ratio` and `latency_ratio` are its own over the source's. `notes` are what a reader must
    know to weigh the figures. A file that did not run at all has reasons and nothing else.
    """

    target: str
    passed: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...] = ()
    drop: Drop | None = None
    agreement: Agreement | None = None
    size_bytes: int = 0
    size_ratio: float | None = None
    latency: Latency | None = None
    latency_ratio: float | None = None
    load_ms: float = 0.0
    peak_rss_mb: float = 0.0
    runtime: str = ""

    def facts(self) -> dict[str, Any]:
        """Plain values, for JSON and for the manifest."""
        return {
            "target": self.target,
            "passed": self.passed,
            "reasons": list(self.reasons),
            "notes": list(self.notes),
            "drop": _drop_facts(self.drop),
            "agreement": _agreement_facts(self.agreement),
            "size_bytes": self.size_bytes,
            "size_ratio": self.size_ratio,
            "latency_ms": asdict(self.latency) if self.latency else None,
            "latency_ratio": self.latency_ratio,
            "load_ms": self.load_ms,
            "peak_rss_mb": self.peak_rss_mb,
            "runtime": self.runtime,
        }


def failed(target: str, reason: str) -> Verdict:
    """The verdict on a file that was not made, or does not run."""
    return Verdict(target, passed=False, reasons=(reason,))


def judge(
    target: str,
    manifest: Manifest,
    cases: Cases,
    source: Run,
    converted: Run,
    *,
    max_drop: float | None,
    seed: int = 0,
) -> Verdict:
    """Compare a converted file with its source over the same cases.

    Both runs have their outputs in the same order, which the manifest names as the source does.
    With `max_drop` no more than so many percentage points may be lost. On data without labels the
    share of answers that changed stands for it: no accuracy can fall by more. Raises ConfigError
    when the manifest does not describe the outputs.
    """
    if len(source.outputs) != len(converted.outputs):
        wants, has = len(source.outputs), len(converted.outputs)
        return failed(target, f"has {has} outputs, the source has {wants}")
    names = [spec.name for spec in source.outputs]
    if other := _other_shape(source, converted):
        return failed(target, other)
    first = answers(manifest, source, cases, names)
    second = answers(manifest, converted, cases, names)
    errors = [
        output_error(name, one, two)
        for name, one, two in zip(names, source.values, converted.values, strict=True)
    ]
    agreement = agree(same(first, second, (source, converted), cases), errors)
    lost = drop(manifest, cases, first, second, seed)
    reasons = (*_not_finite(source, converted), *_too_much(lost, agreement, max_drop))
    return Verdict(
        target=target,
        passed=not reasons,
        reasons=reasons,
        notes=tuple(_notes(lost, agreement, cases, max_drop)),
        drop=lost,
        agreement=agreement,
        size_bytes=converted.size_bytes,
        size_ratio=converted.size_bytes / source.size_bytes,
        latency=converted.latency,
        latency_ratio=converted.ratio,
        load_ms=converted.load_ms,
        peak_rss_mb=converted.peak_rss_mb,
        runtime=converted.runtime,
    )


def _other_shape(source: Run, converted: Run) -> str:
    pairs = zip(source.outputs, source.values, converted.values, strict=True)
    for spec, one, other in pairs:
        if one.shape != other.shape:
            return f"output '{spec.name}' is {other.shape[1:]}, the source's is {one.shape[1:]}"
    return ""


def _not_finite(source: Run, converted: Run) -> list[str]:
    if not source.finite:
        return ["the source itself gives NaN or infinity on these cases: mend it first"]
    return [] if converted.finite else ["gives NaN or infinity where the source does not"]


def _too_much(lost: Drop | None, agreement: Agreement, max_drop: float | None) -> list[str]:
    if max_drop is None:
        return []
    if lost is None:
        changed = 100 * (1 - agreement.share)
        if changed <= max_drop + _HAIR:
            return []
        reason = (
            f"{changed:.2f} % of {agreement.cases} answers changed, and without labels that must "
            f"count as lost: at most {max_drop:g} points may be"
        )
        return [reason]
    if lost.points <= max_drop + _HAIR:  # a NaN is not
        return []
    low, high = 100 * lost.loss.low, 100 * lost.loss.high
    reason = (
        f"loses {lost.points:.2f} points of {lost.metric} (95 % interval {low:.2f} to {high:.2f}), "
        f"at most {max_drop:g} may be lost"
    )
    return [reason]


def _notes(
    lost: Drop | None, agreement: Agreement, cases: Cases, max_drop: float | None
) -> list[str]:
    if lost is None:
        what = "of no known accuracy: the data have no labels that this task is scored by"
        return [f"{what}; {agreement.same} of {agreement.cases} answers are the source's"]
    notes = []
    if max_drop is not None and 100 * lost.loss.high > max_drop:
        notes.append(
            f"{len(cases)} cases do not rule out a loss of {100 * lost.loss.high:.2f} points: more "
            "labelled data would tell"
        )
    if at_chance(lost, cases):
        notes.append(
            f"the source itself is right in {100 * lost.before.value:.1f} % of cases: are these "
            "data, labels and preprocessing the model's?"
        )
    patients = len(set(cases.groups))
    if 0 < patients < LEAST_GROUPS:
        who = f"{patients} patients" if patients > 1 else "one patient"
        notes.append(f"the cases are of {who}: the intervals say nothing of others")
    absent = [name for name, count in cases.per_class().items() if not count]
    if absent:
        notes.append(f"no case of {', '.join(absent[:5])}{', ...' if len(absent) > 5 else ''}")
    return notes


def _drop_facts(lost: Drop | None) -> dict[str, Any] | None:
    if lost is None:
        return None
    return {
        "metric": lost.metric,
        "points": lost.points,
        "before": _estimate_facts(lost.before),
        "after": _estimate_facts(lost.after),
        "loss": _estimate_facts(lost.loss),
        "source": _score_facts(lost.source),
        "converted": _score_facts(lost.converted),
    }


def _score_facts(scores: Scores) -> dict[str, Any]:
    if isinstance(scores, BoxScores):
        return {
            "map_50": _estimate_facts(scores.map_50),
            "map_50_95": _estimate_facts(scores.map_50_95),
            "classes": {name: list(values) for name, values in scores.classes.items()},
        }
    return {
        "accuracy": _estimate_facts(scores.accuracy),
        "macro_f1": _estimate_facts(scores.macro_f1),
        "classes": [asdict(one) for one in scores.classes],
        "confusion": scores.confusion.tolist(),
    }


def _estimate_facts(one: Estimate) -> dict[str, Any]:
    return {key: _known(value) for key, value in asdict(one).items()}


def _agreement_facts(agreement: Agreement | None) -> dict[str, Any] | None:
    if agreement is None:
        return None
    errors = [
        {key: _known(value) for key, value in asdict(one).items()} for one in agreement.outputs
    ]
    return {"share": agreement.share, "cases": agreement.cases, "outputs": errors}


def _known(value: Any) -> Any:
    """JSON has no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
