from __future__ import annotations

import math
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import BadOptionError, ConfigError
from edge_runtime.replay import noise, spoil
from edge_runtime.replay.clock import DRIFT_PERIOD_S, Pace, TapeClock
from edge_runtime.replay.faults import VALUES, Fault, parse
from edge_runtime.replay.recording import Block, Recording, Wanted

# --- what an order says


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("lead-off@30+5", Fault("lead-off", 30, 5)),
        ("flat", Fault("flat")),
        ("gap@60+2/600", Fault("gap", 60, 2, 600)),
        ("drift=0.5%", Fault("drift", level=0.005)),
        ("rate=+1%", Fault("rate", level=0.01)),
        ("rate=-1%", Fault("rate", level=-0.01)),
        ("noise=bw:12dB", Fault("noise", level=12, noise="bw")),
        ("noise=white:-6dB@10+20", Fault("noise", 10, 20, level=-6, noise="white")),
        ("clip=1.5mV", Fault("clip", level=1.5)),
        ("bit-errors=1e-4@5", Fault("bit-errors", 5, level=1e-4)),
        ("unplug@60+10", Fault("unplug", 60, 10)),
    ],
)
def test_an_order_in_words_is_a_fault(text, fault):
    assert parse(text) == fault


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("gab@30+5", "did you mean 'gap'"),
        ("", "there are: lead-off"),
        ("gap@x", "write gap@30\\+5"),
        ("gap=3@5+1", "write gap@30\\+5"),
        ("rate", "write rate=0.5%"),
        ("rate=1%@30", "leave out the time"),
        ("rate=50%", "at most 20%"),
        ("noise=12dB", "write noise=bw:12dB"),
        ("noise=bw:nandB", "write noise=bw:12dB"),
        ("bit-errors=2", "a share above 0"),
        ("clip=0mV", "above 0 mV"),
        ("gap@5+0", "lasts no time"),
        ("gap@5+10/10", "less than the time"),
        ("stall@5", "say how long: stall@30\\+5"),
    ],
)
def test_an_order_that_makes_no_sense_says_how_to_write_it(text, told):
    with pytest.raises(BadOptionError, match=told):
        parse(text)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2000),
    st.integers(1, 500),
    st.integers(0, 900),
    st.integers(0, 5000),
    st.sampled_from([100.0, 360.0]),
)
def test_the_next_edge_is_the_first_sample_at_which_a_fault_turns(start, length, rest, at, rate):
    fault = Fault("gap", start / 100, length / 100, (length + rest + 1) / 100 if rest else 0.0)
    holding = [fault.holds((sample + 1e-6) / rate) for sample in range(at, at + 9000)]
    turns = [at + n for n in range(1, 9000) if holding[n] != holding[n - 1]]
    edge = fault.edge(at, rate)
    if turns:
        assert edge <= turns[0]  # never past a turn: a block is all fault or none
        assert fault.edge(turns[0] - 1, rate) == turns[0]


def test_every_fault_can_be_ordered():
    given_ = {"": "", "%": "=1%", "dB": "=ma:6dB", "mV": "=1mV", "1": "=0.5"}
    for kind, unit in VALUES.items():
        when = "" if unit == "%" else "@3+2"
        assert parse(kind + given_[unit] + when).kind == kind


# --- clocks


def test_a_clock_that_is_fast_by_one_percent_gives_one_percent_more_samples():
    clock = TapeClock(360.0, 0.01)
    assert clock.time_s(360 * 101) == pytest.approx(100.0)


def test_a_clock_that_drifts_is_right_again_after_its_period_and_never_off_by_more_than_told():
    clock = TapeClock(100.0, swing=0.005)
    times = np.array([clock.time_s(n) for n in range(int(100 * DRIFT_PERIOD_S) + 1)])
    assert times[-1] == pytest.approx(DRIFT_PERIOD_S)
    steps = np.diff(times) * 100
    assert steps.max() == pytest.approx(1.005, abs=1e-4)
    assert steps.min() == pytest.approx(0.995, abs=1e-4)
    numbers = np.arange(0, 60_000, 999)
    assert np.allclose(clock.times_us(numbers) / 1e6, times[numbers], atol=1e-6)


def test_deadlines_are_reckoned_from_the_start_so_that_nothing_adds_up():
    pace = Pace(50.0, threading.Event())
    pace.begin()
    began = time.monotonic()
    for step in range(1, 101):
        assert pace.wait(step * 0.1)
    assert time.monotonic() - began == pytest.approx(0.2, abs=0.1)
    assert time.monotonic() - began >= 0.2


def test_a_replay_that_is_told_to_stop_waits_no_more():
    stop = threading.Event()
    pace = Pace(1.0, stop)
    threading.Timer(0.05, stop.set).start()
    assert not pace.wait(60.0)


# --- samples


def block(values, first: int = 0) -> Block:
    return Block(first, np.array(values, np.float32)[:, None])


def test_flat_holds_the_last_sample():
    flat = spoil.Flat()
    flat(block([1, 2, 3]), active=False)
    assert flat(block([4, 5], 3), active=True).data.ravel().tolist() == [3, 3]
    assert flat(block([6], 5), active=False).data.ravel().tolist() == [6]


def test_clip_is_the_end_of_an_amplifier():
    assert spoil.clip(block([-2, 0.5, 2]), 1.0).data.ravel().tolist() == [-1, 0.5, 1]


@pytest.mark.parametrize("name", ["bw", "ma", "white"])
def test_noise_has_the_power_that_its_level_says(data, name):
    power = np.array([0.2, 0.05])
    folder = str(data / "ecg" / "nstdb")
    made = noise.make(name, 6.0, power, 250.0, (folder, 3))
    beginning = len(made.noise) - made.offset
    added = made(Block(beginning, np.zeros((250 * 300, 2), np.float32)))
    for lead in range(2):
        sizes = sorted(np.std(added[at : at + 250, lead]) for at in range(0, 250 * 300, 250))
        usual = np.mean(sizes[15:-15])  # without a twentieth at either end
        assert 10 * np.log10(power[lead] / usual**2) == pytest.approx(6.0, abs=0.05)


def test_noise_does_not_depend_on_how_samples_are_cut():
    made = noise.make("white", 0.0, np.array([1.0]), 100.0, ("", 1))
    whole = made(Block(0, np.zeros((500, 1), np.float32)))
    pieces = [made(Block(at, np.zeros((7, 1), np.float32))) for at in range(0, 497, 7)]
    assert np.array_equal(np.concatenate(pieces), whole[:497])


def test_the_signal_is_measured_on_its_beats(data):
    recording = Recording(Wanted(str(data / "ecg" / "mitdb" / "100")))
    recording.open()
    power = noise.qrs_power(recording.blocks(), recording.rate_hz)
    # Beats of 100 are 1.2 to 1.6 mV high in MLII: S = height squared over 8.
    assert 1.2**2 / 8 < power[0] < 1.7**2 / 8
    with pytest.raises(ConfigError, match="too few beats"):
        noise.qrs_power(iter([Block(0, np.zeros((3600, 1), np.float32))]), 360.0)


# --- packets

PACKETS = [bytes([at] * 8) for at in range(200)]


def test_duplicates_come_twice_and_swapped_ones_two_by_two():
    assert spoil.duplicate(PACKETS[:2]) == [PACKETS[0], PACKETS[0], PACKETS[1], PACKETS[1]]
    swap = spoil.Swap()
    sent = swap(PACKETS[:3], active=True) + swap(PACKETS[3:4], active=True)
    assert sent == [PACKETS[1], PACKETS[0], PACKETS[3], PACKETS[2]]
    assert swap(PACKETS[4:5], active=True) == []
    assert swap([], active=False) == [PACKETS[4]]


def test_bit_errors_are_as_many_as_ordered_and_the_same_for_a_seed():
    spoilt = spoil.BitErrors(0.01, (1, 7, 0))(PACKETS)
    assert [len(packet) for packet in spoilt] == [8] * 200
    wrong = np.unpackbits(np.frombuffer(b"".join(spoilt), np.uint8)).astype(int)
    right = np.unpackbits(np.frombuffer(b"".join(PACKETS), np.uint8)).astype(int)
    assert np.abs(wrong - right).mean() == pytest.approx(0.01, rel=0.3)
    pieces = spoil.BitErrors(0.01, (1, 7, 0))
    assert [p for at in range(0, 200, 7) for p in pieces(PACKETS[at : at + 7])] == spoilt
    assert spoil.BitErrors(0.01, (2, 7, 0))(PACKETS) != spoilt


def test_truncated_packets_lack_their_end():
    cut = spoil.Truncate(0.5, (1, 7, 0))(PACKETS)
    short = [packet for packet in cut if len(packet) < 8]
    assert 60 < len(short) < 140
    assert all(whole.startswith(packet) for whole, packet in zip(PACKETS, cut, strict=True))


def test_an_order_without_end_never_turns_again():
    assert parse("flat@3").edge(1000, 100.0) == math.inf
