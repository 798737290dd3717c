"""The verdict on one converted file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edge_runtime.manifest import Manifest

from ..data.cases import Cases
from .agreement import Agreement, agree, output_error
from .answers import answers, same, same_heads
from .drop import Drop, at_chance, drops
from .estimate import LEAST_GROUPS
from .facts import agreement_facts, drop_facts
from .measure import Latency, Run

_HAIR = 1e-9  # points: 0.5 lost is not more than 0.5


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a converted file stands against its source; `reasons` say why it did not pass.

    `size_ratio` and `latency_ratio` are its own over the source's. `notes` are what a reader must
    know to weigh the figures. `drops` has one entry for an ordinary task, one for each head that
    could be scored, and none without labels. A file that did not run at all has reasons and
    nothing else.
    """

    target: str
    passed: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...] = ()
    drops: tuple[Drop, ...] = ()
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
            "drops": [drop_facts(one) for one in self.drops],
            "agreement": agreement_facts(self.agreement),
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
    share of answers that changed stands for it: no accuracy can fall by more. So it is head by
    head: none may lose more. Raises ConfigError when the manifest does not describe the outputs.
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
    alike = same(first, second, (source, converted), cases)
    agreement = agree(alike, errors, same_heads(manifest, first, second))
    lost = drops(manifest, cases, first, second, seed)
    reasons = (*_not_finite(source, converted), *_too_much(lost, agreement, max_drop))
    return Verdict(
        target=target,
        passed=not reasons,
        reasons=reasons,
        notes=tuple(_notes(lost, agreement, cases, max_drop)),
        drops=lost,
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


def _too_much(drops: Sequence[Drop], agreement: Agreement, max_drop: float | None) -> Iterator[str]:
    if max_drop is None:
        return
    for head, kept in _unscored(drops, agreement):
        changed = 100 * (1 - kept / agreement.cases)
        if changed > max_drop + _HAIR:
            yield (
                f"{_of(head)}{changed:.2f} % of {agreement.cases} answers changed, and without "
                f"labels that must count as lost: at most {max_drop:g} points may be"
            )
    for lost in drops:
        if lost.points <= max_drop + _HAIR:  # a NaN is not
            continue
        low, high = 100 * lost.loss.low, 100 * lost.loss.high
        yield (
            f"{_of(lost.head)}loses {lost.points:.2f} points of {lost.metric} (95 % interval "
            f"{low:.2f} to {high:.2f}), at most {max_drop:g} may be lost"
        )


def _unscored(drops: Sequence[Drop], agreement: Agreement) -> list[tuple[str, int]]:
    """Heads of no known accuracy, "" for a whole answer, and how often each says the same."""
    if not drops:
        return [("", agreement.same)]
    scored = {one.head for one in drops}
    left = [name for name in agreement.heads if name not in scored]
    return [(name, agreement.heads[name]) for name in left]


def _of(head: str) -> str:
    return f"head '{head}': " if head else ""


def _notes(
    drops: Sequence[Drop], agreement: Agreement, cases: Cases, max_drop: float | None
) -> Iterator[str]:
    for head, kept in _unscored(drops, agreement):
        yield (
            f"{_of(head)}of no known accuracy: the data have no labels that this task is scored "
            f"by; {kept} of {agreement.cases} answers are the source's"
        )
    for lost in drops:
        yield from _weighed(lost, max_drop)
    absent = [name for name, count in cases.per_class().items() if not count] if drops else []
    if absent:
        yield f"no case of {', '.join(absent[:5])}{', ...' if len(absent) > 5 else ''}"


def _weighed(lost: Drop, max_drop: float | None) -> Iterator[str]:
    """What the figures of one task do not say."""
    here = _of(lost.head)
    if max_drop is not None and 100 * lost.loss.high > max_drop:
        yield (
            f"{here}{lost.cases} cases do not rule out a loss of {100 * lost.loss.high:.2f} "
            "points: more labelled data would tell"
        )
    if at_chance(lost):
        yield (
            f"{here}the source itself is right in {100 * lost.before.value:.1f} % of cases: are "
            "these data, labels and preprocessing the model's?"
        )
    if 0 < lost.patients < LEAST_GROUPS:
        who = f"{lost.patients} patients" if lost.patients > 1 else "one patient"
        yield f"{here}the cases are of {who}: the intervals say nothing of others"
