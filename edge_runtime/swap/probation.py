"""The rules by which a new model stays or goes: pure, over what `evidence.py` holds.

A latency is judged against the live model's before the swap, and once more against its answers of
this very minute before it is called slow: a busy board is no fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from edge_runtime.errors import BadOptionError

from .evidence import FEW, SOON, WINDOW, Baseline, Evidence, percentile

FRESH = 4 * WINDOW  # calls for which what the old model was timed at counts
SLACK_MS = 1.0  # differences of medians below it are never judged
TAIL_SLACK_MS = 5.0  # nor of p99: other programs make such peaks
CONSTANT = 50  # equal outputs in a row that are a fault, where those of the live model vary
CHANGING = 0.1  # share of its outputs that differ from the one before: so much is "vary"
ERRORS = 5  # failed calls that an error rate needs
IN_A_ROW = 3  # failed calls in a row that need no rate
LEAST = 0.1  # share of one of probation_s and probation_results that must be there for the other
BESIDE = 2.0  # a shadow shares the cores: so many times the ratio is allowed


@dataclass(frozen=True, slots=True)
class Rules:
    """Limits for a model that comes over the air; see docs/updates.md."""

    shadow_s: float = 30.0  # beside the live model, before it answers anything; 0: not at all
    shadow_frames: int = 0  # and at least so many frames compared
    agreement: float = 0.5  # with the live model, least mean over the shadow's frames; 0: any
    canary_percent: int = 0  # share of frames that it answers for as long again; 0: no such phase
    probation_s: float = 600.0
    probation_results: int = 1000
    latency_ratio: float = 1.5  # of its latency to the live model's, at most
    memory_mb: int = 0  # growth of the process at most; 0: a tenth of the machine's memory
    error_rate: float = 0.05  # share of its calls that may fail
    hang_s: float = 5.0  # a call that takes longer never ends
    silent_s: float = 30.0  # frames come, and no result of it for so long

    def __post_init__(self) -> None:
        for key in ("probation_s", "probation_results", "hang_s", "silent_s"):
            if not getattr(self, key) > 0:
                raise BadOptionError(key, f"{getattr(self, key)} must be above 0")
        for key in ("shadow_s", "shadow_frames", "memory_mb"):
            if not getattr(self, key) >= 0:
                raise BadOptionError(key, f"{getattr(self, key)} must be 0 or above")
        for key, most in (("agreement", 1), ("canary_percent", 99), ("error_rate", 1)):
            if not 0 <= getattr(self, key) <= most:
                raise BadOptionError(key, f"{getattr(self, key)} is not within 0..{most}")
        if not self.latency_ratio > 1:
            raise BadOptionError("latency_ratio", f"{self.latency_ratio} must be above 1")


class Finding(NamedTuple):
    """`ask` wants the old model's latency of now (`control_left`) before it decides."""

    verdict: Literal["wait", "ask", "good", "bad"]
    reason: str = ""


WAIT = Finding("wait")


def judge(
    seen: Evidence, before: Baseline, rules: Rules, now_s: float, memory_bytes: int
) -> Finding:
    """Whether a candidate that answers frames may go on. `memory_bytes` it may grow by."""
    if fault := _fault(seen, before, rules, now_s) or _memory(seen, memory_bytes):
        return Finding("bad", fault)
    silent_s = now_s - (seen.unanswered_s or now_s)
    if silent_s > rules.silent_s:
        return Finding("bad", f"silent: frames, and no result for {silent_s:.0f} s")
    slow = _slow(seen, before, rules)
    return slow if slow.verdict != "wait" else _success(seen, rules, now_s)


def judge_shadow(
    seen: Evidence, live: Baseline, rules: Rules, agreement: float, now_s: float
) -> Finding:
    """Whether a candidate that nobody hears may go on; `good` when it has been seen enough.

    `agreement` is a NaN where it means nothing. The latencies are those of the same frames.
    """
    fault = _fault(seen, live, rules, now_s)
    if fault:
        return Finding("bad", fault)
    if seen.results >= FEW and agreement < rules.agreement:
        text = f"agrees with {agreement:.0%} of what the live model says"
        return Finding("bad", f"disagreement: {text}, {rules.agreement:.0%} is asked for")
    allowed = rules.latency_ratio * BESIDE
    median = percentile(seen.times, 0.5)
    if len(seen.times) >= FEW and 0 < allowed * live.median_ms < median - SLACK_MS:
        return Finding("bad", _too_slow("median", median, live.median_ms, allowed))
    enough = max(rules.shadow_frames, FEW if rules.agreement else 1)
    done = now_s - seen.since_s >= rules.shadow_s and seen.results >= enough
    return Finding("good") if done else WAIT


def hang(rules: Rules) -> str:
    """The reason against a candidate of which a call never ends."""
    return f"hang: a call that does not end within {rules.hang_s:g} s"


def _fault(seen: Evidence, before: Baseline, rules: Rules, now_s: float) -> str:
    busy_s = now_s - (seen.busy_s or now_s)
    if busy_s > rules.hang_s:
        return hang(rules)
    if seen.not_finite:
        return "not-finite: NaN or infinity among the outputs"
    if seen.errors_in_a_row >= IN_A_ROW:
        return f"errors: {seen.errors_in_a_row} frames in a row; the last: {seen.last_error}"
    if seen.errors >= ERRORS and seen.errors > rules.error_rate * seen.calls:
        return f"errors: {seen.errors} of {seen.calls} frames; the last: {seen.last_error}"
    if seen.outputs.repeats >= CONSTANT and before.changing >= CHANGING:
        return f"constant: the same outputs for {seen.outputs.repeats + 1} frames"
    return ""


def _memory(seen: Evidence, allowed: int) -> str:
    grown = seen.rss - seen.rss_first
    if seen.rss_first and grown > allowed:
        return f"memory: grown by {grown / 1e6:.0f} MB, {allowed / 1e6:.0f} MB are allowed"
    return ""


def _slow(seen: Evidence, before: Baseline, rules: Rules) -> Finding:
    """By the median soon, by two windows' p99 later.

    The load may have risen: so `ask` for the old model's latency first, and judge what comes after.
    """
    fault = _slower(seen, before, rules.latency_ratio)
    if not fault or seen.control_left:
        return WAIT
    if not seen.control or seen.calls - seen.control_calls > FRESH:
        return Finding("ask", fault)
    now = Baseline(
        max(before.median_ms, percentile(seen.control, 0.5)),
        max(before.p99_ms, percentile(seen.control, 0.99)),
    )
    fault = _slower(seen, now, rules.latency_ratio)
    return Finding("bad", fault) if fault else WAIT


def _slower(seen: Evidence, before: Baseline, ratio: float) -> str:
    if not before.median_ms:
        return ""
    median = percentile(seen.times, 0.5)
    if len(seen.times) >= SOON and median - SLACK_MS > ratio * before.median_ms:
        return _too_slow("median", median, before.median_ms, ratio)
    tail = min(seen.tails) if len(seen.tails) == 2 else 0.0
    if tail - TAIL_SLACK_MS > ratio * before.p99_ms:
        return _too_slow("p99", tail, before.p99_ms, ratio)
    return ""


def _too_slow(what: str, found: float, before: float, ratio: float) -> str:
    return (
        f"slow: {what} {found:.2f} ms, the live model's is {before:.2f} ms; {ratio:g} times may be"
    )


def _success(seen: Evidence, rules: Rules, now_s: float) -> Finding:
    """Enough time or enough results, and of the other at least a tenth."""
    time = (now_s - seen.since_s + seen.before_s) / rules.probation_s
    results = seen.results / rules.probation_results
    if max(time, results) < 1 or min(time, results) < LEAST:
        return WAIT
    return Finding("good", f"{seen.results} results, {seen.errors} errors")
