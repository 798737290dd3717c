"""The rules, over evidence made by hand."""

from __future__ import annotations

import pytest

from edge_runtime.errors import BadOptionError
from edge_runtime.swap.evidence import (
    FEW,
    SOON,
    WINDOW,
    Baseline,
    Evidence,
    Outputs,
    baseline,
    percentile,
)
from edge_runtime.swap.probation import (
    CONSTANT,
    ERRORS,
    FRESH,
    IN_A_ROW,
    Rules,
    judge,
    judge_shadow,
)

RULES = Rules()
BEFORE = Baseline(10.0, 20.0, 1.0)
MB = 1_000_000


def works(count: int, took_ms: float = 10.0, *, every_s: float = 1.0) -> Evidence:
    """A candidate that gave so many results, the last one now."""
    seen = Evidence(since_s=1000.0)
    for number in range(count):
        now_s = 1000.0 + (number + 1) * every_s
        seen.begin(now_s)
        seen.busy_s = 0.0
        seen.succeed(took_ms)
        seen.outputs.add(same=False)
    return seen


def found(seen: Evidence, now_s: float = 1100.0, before: Baseline = BEFORE, rules: Rules = RULES):
    return judge(seen, before, rules, now_s, 100 * MB)


def test_a_model_that_works_waits_for_its_time():
    assert found(works(100)).verdict == "wait"


def test_enough_time_with_a_tenth_of_the_results_is_success():
    assert found(works(100), 1600.0).verdict == "good"
    assert found(works(99), 1600.0).verdict == "wait"


def test_enough_results_in_a_tenth_of_the_time_are_success():
    assert found(works(1000, every_s=0.06), 1060.1).verdict == "good"
    assert found(works(1000, every_s=0.05), 1059.0).verdict == "wait"


def test_seconds_of_an_earlier_life_count():
    seen = works(100)
    seen.before_s = 550.0
    assert found(seen, 1060.0).verdict == "good"


def test_one_output_that_is_not_finite_is_the_end():
    seen = works(100)
    seen.not_finite = 1
    assert found(seen).reason.startswith("not-finite")


def test_failures_in_a_row_are_the_end():
    seen = works(1000)
    for number in range(IN_A_ROW):
        assert found(seen).verdict != "bad", number
        seen.begin(1100.0)
        seen.busy_s = 0.0
        seen.fail("out of range")
    finding = found(seen)
    assert finding.verdict == "bad"
    assert "3 frames in a row; the last: out of range" in finding.reason


@pytest.mark.parametrize(("calls", "verdict"), [(90, "bad"), (300, "wait")])
def test_failures_now_and_then_are_judged_by_their_rate(calls, verdict):
    seen = works(0)
    for number in range(calls):
        seen.begin(1001.0)
        seen.busy_s = 0.0
        if number % (calls // ERRORS) == 1:
            seen.fail("odd")
        else:
            seen.succeed(10.0)
    assert found(seen).verdict == verdict


def test_a_frame_at_fault_is_no_failure_and_no_silence():
    seen = works(100)
    for _ in range(50):
        seen.begin(1150.0)
        seen.busy_s = 0.0
        seen.excuse()
    assert found(seen, 1200.0).verdict == "wait"


def test_a_constant_output_is_a_fault_only_where_the_live_model_varied():
    seen = works(100)
    for _ in range(CONSTANT):
        seen.outputs.add(same=True)
    assert found(seen).reason.startswith("constant")
    assert found(seen, before=BEFORE._replace(changing=0.05)).verdict == "wait"
    seen.outputs.add(same=False)
    assert found(seen).verdict == "wait"


def test_a_call_that_never_ends_is_a_hang():
    seen = works(100)
    seen.begin(1100.0)
    assert found(seen, 1104.9).verdict == "wait"
    assert found(seen, 1105.1).reason.startswith("hang")


def test_calls_without_results_are_silence_and_no_calls_are_none():
    seen = works(10)
    assert found(seen, 1500.0).verdict == "wait"
    seen.begin(1500.0)  # the first frame for minutes, of which a result is on the way
    assert found(seen, 1500.1).verdict == "wait"
    seen.busy_s = 0.0
    assert found(seen, 1530.0).verdict == "wait"
    seen.begin(1529.9)
    seen.busy_s = 0.0
    assert found(seen, 1530.1).reason.startswith("silent")
    seen.succeed(10.0)
    assert found(seen, 1530.1).verdict == "wait"


def test_memory_may_grow_by_its_budget():
    seen = works(10)
    seen.rss_first, seen.rss = 200 * MB, 300 * MB
    assert found(seen).verdict == "wait"
    seen.rss += 1
    assert found(seen).reason == "memory: grown by 100 MB, 100 MB are allowed"


def slow(seen: Evidence, took_ms: float, count: int) -> Evidence:
    for _ in range(count):
        seen.begin(1100.0)
        seen.busy_s = 0.0
        seen.succeed(took_ms)
    return seen


def test_a_slow_model_is_named_only_after_the_old_one_was_timed_again():
    seen = slow(works(0), 100.0, SOON)
    assert found(seen).verdict == "ask"
    seen.ask()
    assert seen.control_left == SOON
    assert found(seen).verdict == "wait"  # the old model answers now
    seen.control_left = 0
    seen.control.extend([11.0] * SOON)
    assert found(slow(seen, 100.0, SOON - 1)).verdict == "wait"  # what was before counts no more
    finding = found(slow(seen, 100.0, 1))
    assert finding.verdict == "bad"
    assert finding.reason == (
        "slow: median 100.00 ms, the live model's is 11.00 ms; 1.5 times may be"
    )


def test_a_board_that_became_busy_is_no_fault_of_the_model():
    seen = slow(works(0), 100.0, SOON)
    seen.ask([90.0] * SOON)
    slow(seen, 100.0, SOON)
    assert found(seen).verdict == "wait"
    slow(seen, 200.0, FRESH)
    assert found(seen).verdict == "ask"  # what it was timed at is of long ago


def test_slow_tails_need_two_windows():
    seen = works(0)
    for _ in range(2):
        assert found(seen).verdict == "wait"
        slow(seen, 10.0, WINDOW - 5)
        slow(seen, 60.0, 5)
    assert found(seen).verdict == "ask"


def test_windows_begin_anew_after_the_old_model_was_timed():
    seen = slow(works(0), 10.0, WINDOW // 2)
    seen.ask([10.0])
    slow(seen, 10.0, WINDOW - 1)
    assert not seen.tails
    slow(seen, 10.0, 1)
    assert len(seen.tails) == 1


class Ending(Evidence):
    """A call that ends while it is looked at: the loop writes, another thread judges."""

    reads = 0

    @property
    def busy_s(self) -> float:
        self.reads += 1
        return 1099.0 if self.reads == 1 else 0.0

    @busy_s.setter
    def busy_s(self, value: float) -> None:
        pass


def test_a_call_that_ends_in_the_middle_of_a_look_is_no_hang():
    assert found(Ending(since_s=1000.0)).verdict == "wait"


def test_differences_that_nobody_feels_are_not_judged():
    seen = slow(works(0), 1.0, 3 * WINDOW)
    assert found(seen, before=Baseline(0.1, 0.2, 1.0)).verdict == "wait"


def test_without_a_baseline_latency_is_not_judged():
    assert baseline([1.0] * (FEW - 1), Outputs()) == Baseline()
    assert found(slow(works(0), 1000.0, 3 * WINDOW), before=Baseline()).verdict == "wait"


def test_a_percentile_is_one_of_the_values():
    assert percentile([], 0.99) == 0.0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile(map(float, range(100)), 0.99) == 99.0


def shadowed(seen: Evidence, agreement: float = 1.0, now_s: float = 1031.0, rules: Rules = RULES):
    return judge_shadow(seen, BEFORE, rules, agreement, now_s)


def test_a_shadow_is_seen_for_its_time_and_over_enough_frames():
    assert shadowed(works(FEW)).verdict == "good"
    assert shadowed(works(FEW - 1)).verdict == "wait"
    assert shadowed(works(FEW), now_s=1029.0).verdict == "wait"
    assert shadowed(works(FEW), rules=Rules(shadow_frames=100)).verdict == "wait"


def test_a_shadow_that_says_something_else_is_refused_unless_any_answer_will_do():
    finding = shadowed(works(FEW), 0.2)
    assert finding.reason == (
        "disagreement: agrees with 20% of what the live model says, 50% is asked for"
    )
    assert shadowed(works(FEW), 0.2, rules=Rules(agreement=0.0)).verdict == "good"
    assert shadowed(works(FEW), float("nan")).verdict == "good"  # its answers mean nothing here


def test_a_shadow_shares_its_cores_and_so_may_take_longer():
    assert shadowed(works(FEW, 30.0)).verdict == "good"
    assert shadowed(works(FEW, 32.0)).reason.startswith("slow")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("latency_ratio", 1.0),
        ("hang_s", 0.0),
        ("agreement", 1.1),
        ("canary_percent", 100),
        ("probation_results", 0),
        ("memory_mb", -1),
        ("shadow_s", float("nan")),
        ("latency_ratio", float("nan")),
    ],
)
def test_impossible_rules_are_refused(key, value):
    with pytest.raises(BadOptionError, match=key):
        Rules(**{key: value})
