"""Every signal step gives the same output, to the bit and the nanosecond, however a stream is cut.

The steps are those of test_step_contract; one of your own is held to it by an entry there.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.frame import Frame, Quality
from edge_runtime.interfaces import Step
from edge_runtime.preprocess.bandpass import Bandpass
from edge_runtime.preprocess.beats import Beats
from edge_runtime.preprocess.leads import Leads
from edge_runtime.preprocess.resample import Resample
from edge_runtime.sources.signal_clock import SampleClock
from tests.contracts.test_step_contract import START_NS, STEPS, ecg, through

RATES_HZ = (125.0, 250.0, 360.0, 499.31, 1000.0)
ONE_BY_ONE = 600  # samples of the stream that are also fed singly
SIGNAL = ecg(9.0)
DOUBTS = (  # from a sample to another: state, quality
    (1500, 1530, "gap", None),
    (1800, 2000, "live", Quality("bad", 0.1, ("noise",))),
    (2600, 2700, "live", Quality("limited", 0.8)),
)


class Chain:
    """Steps one after another, as the pipeline runs them."""

    def __init__(self, *steps: Step) -> None:
        self._steps = steps

    def __call__(self, frame: Frame) -> list[Frame]:
        held = [frame]
        for step in self._steps:
            held = [out for one in held for out in step(one)]
        return held

    def flush(self) -> list[Frame]:
        held: list[Frame] = []
        for step in self._steps:
            held = [out for one in held for out in step(one)] + list(step.flush())
        return held


def chain() -> Chain:
    leads = Leads(names=("V1", "MLII"), inverted=("V1",))
    return Chain(leads, Bandpass(mains_hz=50), Resample(rate_hz=200), Beats(lead="MLII"))


def cut(edges: list[int], rate_hz: float) -> list[Frame]:
    """The signal cut at `edges`, stamped as a recorded source stamps it.

    It is cut at the edges of DOUBTS as well, where a source or a step had its doubts.
    """
    clock, made = SampleClock(rate_hz), []
    whole = sorted({0, *edges, *(edge for doubt in DOUBTS for edge in doubt[:2]), len(SIGNAL)})
    for at, end in itertools.pairwise(whole):
        state, quality = next((d[2:] for d in DOUBTS if d[0] <= at < d[1]), ("live", None))
        made.append(
            Frame(
                data=SIGNAL[at:end],
                timestamp_ns=START_NS + clock.offset_ns(at),
                monotonic_ns=clock.offset_ns(at),
                seq=len(made),
                source="chest",
                rate_hz=rate_hz,
                leads=("MLII", "v1"),
                state=state,
                quality=quality,
            )
        )
    return made


def chunks(length: int, offset: int = 0) -> list[int]:
    stop = ONE_BY_ONE if length == 1 else len(SIGNAL)
    return [at for at in range(offset, stop, length) if at]


def essence(frame: Frame) -> tuple:
    """All of a frame that a model or a subscriber sees."""
    features = {key: value.tobytes() for key, value in frame.features.items()}
    meaning = (frame.seq, frame.state, frame.quality, frame.beat, frame.leads, frame.rate_hz)
    return (frame.data.tobytes(), frame.timestamp_ns, features, *meaning)


def check_pieces(make: Callable[[], Step], rate_hz: float, ways: list[list[int]]) -> None:
    """For a step whose frames stand for themselves: every frame is the same."""
    expected, *others = ([essence(f) for f in through(make(), cut(w, rate_hz))] for w in ways)
    for found in others:
        assert found == expected


def check_stream(make: Callable[[], Step], rate_hz: float, ways: list[list[int]]) -> None:
    """For a step that gives a stream: every sample is the same, and so are its time and state."""
    stamps: dict[int, int] = {}
    streams, states = [], []
    for way in ways:
        made, at = through(make(), cut(way, rate_hz)), 0
        for frame in made:
            assert stamps.setdefault(at, frame.timestamp_ns) == frame.timestamp_ns, (way, at)
            at += len(frame.data)
        streams.append(np.concatenate([frame.data for frame in made]))
        states.append([(f.state, f.quality) for f in made for _ in range(len(f.data))])
        assert [frame.seq for frame in made] == list(range(len(made)))
        np.testing.assert_array_equal(streams[-1], streams[0])
        assert states[-1] == states[0]


def check(name: str, rate_hz: float, ways: list[list[int]]) -> None:
    pieces = "window" in name or "beats" in name
    (check_pieces if pieces else check_stream)(STEPS[name], rate_hz, ways)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("name", STEPS)
def test_chunks_of_1_7_and_250_samples_and_the_whole_give_the_same(
    name: str, rate_hz: float
) -> None:
    check(name, rate_hz, [[], chunks(1), chunks(7), chunks(250)])


@pytest.mark.parametrize("name", STEPS)
@settings(max_examples=4, deadline=None)
@given(data=st.data())
def test_no_cut_is_seen_in_the_output(name: str, data: st.DataObject) -> None:
    edges = data.draw(st.sets(st.integers(1, len(SIGNAL) - 1), max_size=40).map(sorted))
    check(name, 360.0, [[], edges])


def test_a_chain_of_steps_gives_the_same_beats_for_any_chunk() -> None:
    ways = [[], chunks(7), chunks(14, 5), chunks(250)]
    check_pieces(chain, 360.0, ways)
    made = through(chain(), cut([], 360.0))
    assert {frame.state for frame in made} == {"settling", "gap", "live"}
    assert {frame.quality.state for frame in made if frame.quality} == {"bad", "limited"}
