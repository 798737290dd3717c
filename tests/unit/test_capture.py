from __future__ import annotations

import itertools
import threading
import time

import pytest

from edge_runtime.capture import Capture
from edge_runtime.errors import EndOfStream, FrameError, LeadOffError, SourceLostError
from edge_runtime.frame import Frame, SourceState, Verdict
from edge_runtime.lane import Limits

from ..scripted import ScriptedSource, frame

FAST = Limits(mailbox=4, backoff_s=0.01, backoff_max_s=0.02, bad_frames_max=3)


def drain(capture: Capture) -> list[Frame]:
    frames = []
    capture.start()
    try:
        while True:
            found = capture.take(1.0)
            if found is not None:
                frames.append(found)
    except EndOfStream:
        return frames
    finally:
        capture.stop()
        capture.close()


@pytest.mark.parametrize("companions", [0, 1])
def test_a_recorded_source_loses_nothing_however_slow_the_reader(companions: int):
    others = [ScriptedSource([], name="other")] * companions
    capture = Capture([ScriptedSource(frame(seq) for seq in range(50)), *others], FAST)
    capture.start()
    seen = []
    with pytest.raises(EndOfStream):
        while True:
            found = capture.take(1.0)
            if found is not None:
                time.sleep(0.001)
                seen.append(found.seq)
    assert seen == list(range(50))
    assert capture.lanes[0].counters.dropped == 0


def test_a_live_source_drops_its_oldest_and_counts_them():
    capture = Capture([ScriptedSource((frame(seq) for seq in range(50)), live=True)], FAST)
    capture.start()
    capture.lanes[0].join(5.0)
    frames = drain_started(capture)
    assert [found.seq for found in frames] == [46, 47, 48, 49]
    assert capture.lanes[0].counters.read == 50
    assert capture.lanes[0].counters.dropped == 46


def drain_started(capture: Capture) -> list[Frame]:
    frames = []
    try:
        while True:
            frames.append(capture.take(0.1))
    except EndOfStream:
        return frames


def test_a_slow_source_never_paces_the_others():
    gate = threading.Event()

    def slow() -> Frame:
        gate.wait(10)
        return frame(0, "slow")

    fast = ScriptedSource((frame(seq, "fast") for seq in range(20)), name="fast")
    capture = Capture([ScriptedSource([slow], name="slow"), fast], FAST)
    capture.start()
    seen = []
    while len(seen) < 20:
        found = capture.take(5.0)
        assert found is not None
        seen.append(found.source)
    gate.set()
    assert seen == ["fast"] * 20
    assert drain_started(capture)[0].source == "slow"


def test_sources_are_taken_in_turn():
    sources = [ScriptedSource([frame(0, n), frame(1, n)], name=n) for n in ("a", "b")]
    capture = Capture(sources, FAST)
    capture.start()
    for lane in capture.lanes:
        lane.join(5.0)
    assert [found.source for found in drain_started(capture)] == ["a", "b", "a", "b"]


def test_a_lost_live_source_is_closed_and_reopened():
    script = [frame(0), SourceLostError("unplugged"), frame(5)]
    source = ScriptedSource(script, live=True)
    capture = Capture([source], FAST)
    frames = drain(capture)
    assert [found.seq for found in frames] == [0, 5]
    assert source.opened == 2
    assert capture.lanes[0].counters.reopened == 1


def test_a_lost_source_is_a_published_state_until_it_is_back():
    gate = threading.Event()

    def unplugged() -> Frame:
        raise SourceLostError("unplugged")

    def plugged() -> Frame:
        gate.wait(10)
        return frame(1)

    capture = Capture([ScriptedSource([unplugged, plugged], live=True)], Limits(backoff_s=5.0))
    capture.start()
    deadline = time.monotonic() + 5
    while capture.states()[0].state != "lost" and time.monotonic() < deadline:
        time.sleep(0.005)
    assert capture.states()[0].detail == "unplugged"
    gate.set()
    capture.stop()
    capture.close()


def test_a_lost_recorded_source_ends_the_run():
    capture = Capture([ScriptedSource([frame(0), SourceLostError("disk gone")])], FAST)
    with pytest.raises(SourceLostError, match="disk gone"):
        drain(capture)


def test_one_bad_frame_is_counted_and_skipped():
    capture = Capture([ScriptedSource([frame(0), FrameError("torn"), frame(2)])], FAST)
    assert [found.seq for found in drain(capture)] == [0, 2]
    assert capture.lanes[0].counters.bad == 1


def test_s08_a_fallen_electrode_is_a_state_until_samples_come_again():
    seen = []
    script = [
        frame(0),
        LeadOffError("an electrode is off"),
        lambda: seen.append(states()),
        frame(2),
    ]
    capture = Capture([ScriptedSource(script, live=True)], FAST)

    def states() -> str:
        return capture.states()[0].state

    assert [found.seq for found in drain(capture)] == [0, 2]
    assert seen == ["lead-off"]
    assert capture.lanes[0].counters.bad == 0


def test_bad_frames_in_a_row_end_the_run():
    capture = Capture([ScriptedSource([FrameError("torn")] * 3)], FAST)
    with pytest.raises(FrameError, match="3 unusable frames in a row; the last: torn"):
        drain(capture)


def test_a_live_source_is_reopened_after_bad_frames_in_a_row():
    source = ScriptedSource([*[FrameError("torn")] * 3, frame(7)], live=True)
    capture = Capture([source], FAST)
    assert [found.seq for found in drain(capture)] == [7]
    assert source.opened == 2
    assert capture.lanes[0].counters.bad == 3


def test_an_error_of_the_thread_is_raised_in_the_taker():
    capture = Capture([ScriptedSource([ZeroDivisionError("a bug")])], FAST)
    with pytest.raises(ZeroDivisionError):
        drain(capture)


def test_an_error_is_raised_although_another_source_never_pauses():
    endless = ScriptedSource((frame(seq, "endless") for seq in itertools.count()), name="endless")
    capture = Capture([ScriptedSource([ZeroDivisionError("a bug")]), endless], FAST)
    with pytest.raises(ZeroDivisionError):
        drain(capture)


def test_frames_captured_before_an_error_are_given_first():
    capture = Capture([ScriptedSource([frame(0), frame(1), ZeroDivisionError()])], FAST)
    capture.start()
    capture.lanes[0].join(5.0)
    assert [capture.take(0.1).seq, capture.take(0.1).seq] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        capture.take(0.1)


def test_stop_leaves_what_was_captured():
    other = ScriptedSource([], name="other")
    capture = Capture([ScriptedSource(frame(seq) for seq in range(100)), other], FAST)
    capture.start()
    deadline = time.monotonic() + 5
    while len(capture.lanes[0].mailbox) < 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    capture.stop()
    capture.close()
    assert len(drain_started(capture)) >= 4


class FlatBelowZero:
    """A health that calls negative samples flat, and the first frame after them settling."""

    def __init__(self) -> None:
        self.restarts = 0
        self._flat = False

    def __call__(self, frame: Frame) -> Verdict:
        before, self._flat = self._flat, bool(frame.data[0, 0] < 0)
        if self._flat:
            return Verdict("flat", "one value for ever", usable=False)
        return Verdict("settling" if before else "live")

    def restart(self) -> None:
        self.restarts += 1


def test_s08_unusable_frames_go_no_further_and_the_source_s_state_is_on_what_follows():
    seen = []
    script = [frame(0), frame(-1), lambda: seen.append(lane.state), frame(2), frame(3)]
    health = FlatBelowZero()
    capture = Capture([ScriptedSource(script)], FAST, {"scripted": health})
    lane = capture.lanes[0]
    frames = drain(capture)
    assert [(found.seq, found.state) for found in frames] == [
        (0, "live"),
        (2, "settling"),
        (3, "live"),
    ]
    assert seen == [SourceState("scripted", "flat", "one value for ever")]
    assert (lane.counters.read, lane.counters.unusable) == (4, 1)
    assert health.restarts == 1


def test_a_source_s_health_starts_afresh_when_it_is_reopened():
    health = FlatBelowZero()
    script = [frame(0), SourceLostError("unplugged"), frame(1)]
    drain(Capture([ScriptedSource(script, live=True)], FAST, {"scripted": health}))
    assert health.restarts == 2


def stale_states(*script: object, live: bool = True, stale_s: float = 0.05) -> list[str]:
    """The states of a source after each read of a script in which None is 20 ms of silence."""

    def silence() -> None:
        time.sleep(0.02)

    source = ScriptedSource((silence if item is None else item for item in script), live=live)
    lane = Capture([source], Limits(stale_s=stale_s)).lanes[0]
    lane.open()
    states = []
    for _ in script:
        lane.read(0.0)
        states.append(lane.state.state)
    return states


def test_a_source_that_is_open_and_silent_is_stale_until_a_frame_comes():
    states = stale_states(frame(0), *[None] * 5, frame(1))
    assert states[0] == states[1] == "live"
    assert states[5:] == ["stale", "live"]


@pytest.mark.parametrize("reason", [{"live": False}, {"stale_s": 0.0}])
def test_only_live_sources_get_stale_and_only_where_it_is_asked_for(reason: dict[str, bool]):
    assert set(stale_states(frame(0), *[None] * 5, **reason)) == {"live"}


def test_a_source_is_not_stale_within_three_of_its_own_intervals():
    states = stale_states(frame(0), *[None] * 3, frame(1), *[None] * 5)
    assert "stale" not in states[4:]
