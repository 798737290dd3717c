"""Looks at a candidate again and again until there is a verdict.

Generators of pauses that return a Finding. `wanted` says whether anybody still wants one; where
nobody does it is `bad` without a reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, TypeAlias

from .evidence import Baseline, Outputs
from .memory import machine_bytes, resident_bytes
from .probation import Finding, Rules, judge, judge_shadow

if TYPE_CHECKING:
    from edge_runtime.model import Model
    from edge_runtime.update_state import ShadowReport

    from .shadow import Shadow
    from .stages import Trial

Judged: TypeAlias = Generator[float, None, Finding]
Wanted: TypeAlias = Callable[[], bool]

TICK_S = 0.1  # between two looks
REPORT_S = 5.0  # between two reports of a shadow
GONE = Finding("bad")


def shadow(
    candidate: Shadow,
    live: Outputs,
    rules: Rules,
    wanted: Wanted,
    report: Callable[[str, ShadowReport], None],
) -> Judged:
    """Until it was seen enough beside the live model, or did something that it must not."""
    seen = candidate.evidence
    seen.since_s, reported_s = time.monotonic(), 0.0
    while wanted():
        yield TICK_S
        if candidate.error is not None:
            return Finding("bad", f"shadow: {candidate.error}")
        now_s = time.monotonic()
        agreement = candidate.agreement if rules.agreement else float("nan")
        finding = judge_shadow(seen, candidate.live(live), rules, agreement, now_s)
        if finding.verdict != "wait" or now_s - reported_s > REPORT_S:
            reported_s = now_s
            report("shadow", candidate.report())
        if finding.verdict != "wait":
            return finding
    return GONE


def canary(trial: Trial, before: Baseline, rules: Rules, wanted: Wanted) -> Judged:
    """While it answers a share of the frames: as long as the shadow was."""
    seen = trial.evidence
    while wanted():
        finding = look(trial, before, rules)
        if finding.verdict == "bad":
            return finding
        if time.monotonic() - seen.since_s > rules.shadow_s and seen.results:
            return Finding("good")
        yield TICK_S
    return GONE


def trial(trial: Trial, before: Baseline, rules: Rules, wanted: Wanted) -> Judged:
    """While it answers all of them."""
    while wanted():
        finding = look(trial, before, rules)
        if finding.verdict == "bad":
            return finding
        if finding.verdict == "good":
            tail = f"p99 {trial.evidence.tail_ms:.2f} ms, {before.p99_ms:.2f} ms before"
            return Finding("good", f"{finding.reason}, {tail}")
        yield TICK_S
    return GONE


def look(trial: Trial, before: Baseline, rules: Rules) -> Finding:
    """One look; asks for the old model's latency where the rules want to know it."""
    seen = trial.evidence
    seen.rss = resident_bytes()
    seen.rss_first = seen.rss_first or seen.rss
    memory = rules.memory_mb * 1_000_000 or machine_bytes() // 10
    finding = judge(seen, before, rules, time.monotonic(), memory)
    if finding.verdict == "ask":
        alone = trial.other is None or stateful(trial.candidate)  # its times mean nothing
        seen.ask([before.median_ms] if alone else ())
    return finding


def stateful(model: Model) -> bool:
    """Whether its answer depends on frames before: those of another model's are no measure."""
    manifest = model.manifest
    return manifest.stateful or any(entry.kind == "state" for entry in manifest.input)
