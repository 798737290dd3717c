"""Frames of a Polar H10, built from its specification, and the way to it as far as it goes here."""

from __future__ import annotations

import asyncio
import types
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import BadOptionError, FrameError, SourceLostError
from edge_runtime.framing import pmd
from edge_runtime.sources.streams.polar import Link, Polar

PERIOD_NS = 1e9 / 130
T0 = 599_616_000_000_000_000  # nanoseconds since 2000


def notification(last_ns: int, values: list[int]) -> bytes:
    body = b"".join(value.to_bytes(3, "little", signed=True) for value in values)
    return b"\0" + last_ns.to_bytes(8, "little") + b"\0" + body


def place(stamps: list[int], count: int = 73) -> list[tuple[list[int], int, bool]]:
    times = pmd.SensorTime()
    return [times.place(pmd.EcgFrame(stamp, (0,) * count)) for stamp in stamps]


def test_a_frame_by_hand():
    raw = bytes.fromhex("00010000000000000000ffffff0a000000ff7f")
    assert pmd.parse(raw) == pmd.EcgFrame(1, (-1, 10, 0x7FFF00))


def test_a_frame_of_another_measurement_is_none_of_ours():
    assert pmd.parse(b"\x02" + bytes(15)) is None
    assert pmd.parse(b"") is None


@pytest.mark.parametrize("raw", [b"\0", bytes(10), bytes(12), b"\0" * 9 + b"\1" + bytes(3)])
def test_s11_a_frame_cut_short_or_of_another_type_is_refused(raw):
    with pytest.raises(ValueError, match="is no ECG frame|ends inside a sample"):
        pmd.parse(raw)


@given(st.binary(max_size=300))
def test_s11_no_bytes_make_the_parser_fail_otherwise(raw):
    try:
        frame = pmd.parse(raw)
    except ValueError:
        return
    assert frame is None or len(frame.microvolts) == (len(raw) - 10) // 3


def test_the_stamp_is_that_of_the_last_sample():
    ((times, missing, restarted),) = place([T0])
    assert times[-1] == T0
    assert abs(T0 - times[0] - 72 * PERIOD_NS) < 100
    assert (missing, restarted) == (0, False)


def test_s09_a_true_rate_of_one_percent_more_is_followed_and_no_loss():
    step = round(73 * PERIOD_NS / 1.01)
    placed = place([T0 + at * step for at in range(200)])
    assert not any(missing for _, missing, _ in placed)
    assert placed[-1][0][-1] == T0 + 199 * step
    flat = [time for times, _, _ in placed for time in times]
    assert all(b > a for a, b in pairwise(flat))


def test_s09_a_lost_notification_is_a_gap_of_its_samples():
    step = round(73 * PERIOD_NS)
    placed = place([T0, T0 + step, T0 + 3 * step])
    assert [missing for _, missing, _ in placed] == [0, 0, 73]


def test_a_stamp_that_is_repeated_is_counted_on():
    step = round(73 * PERIOD_NS)
    placed = place([T0, T0, T0 + 2 * step, T0 + 2 * step])
    assert [missing for _, missing, _ in placed] == [0] * 4
    assert placed[1][0][-1] == T0 + 73 * round(PERIOD_NS)
    assert placed[2][0][-1] == T0 + 2 * step


def test_a_strap_whose_clock_begins_anew_is_a_gap():
    placed = place([T0, 1_000_000_000])
    assert [restarted for _, _, restarted in placed] == [False, True]


def test_notifications_become_frames_of_millivolts():
    source = Polar(name="strap", chunk_s=0.1)
    step = round(73 * PERIOD_NS)
    for at in range(3):
        values = list(range(at * 73, at * 73 + 73))
        source.take(notification(T0 + at * step, values), 10**12 + at * step)
    source.take(b"\0\1", 10**12 + 3 * step)
    frames = []
    with pytest.raises(FrameError, match="ends inside|is no ECG frame"):
        while True:
            frames.append(source._frames.gather())
    data = np.concatenate([frame.data for frame in frames])
    np.testing.assert_allclose(data[:, 0], np.arange(len(data)) / 1000, rtol=1e-6)
    assert len(data) == 219
    assert [frame.seq for frame in frames] == list(range(len(frames)))
    assert frames[0].rate_hz == 130.0
    assert source.tally == {"samples": 219, "bad": 1}


class Strap:
    """Behaves as bleak's client of a strap: answers the control point, then notifies."""

    def __init__(self, answer: bytes, notify: list[bytes], *, leaves: bool) -> None:
        self.answer, self.notify, self.leaves = answer, notify, leaves
        self.written: list[bytes] = []
        self.is_connected = False

    def __call__(self, _, disconnected_callback):
        self._gone = disconnected_callback
        return self

    async def connect(self):
        self.is_connected = True

    async def disconnect(self):
        self.is_connected = False

    async def start_notify(self, characteristic, callback):
        if characteristic == pmd.CONTROL:
            self._control = callback
        else:
            self._data = callback

    async def write_gatt_char(self, characteristic, raw, *, response):
        assert (characteristic, response) == (pmd.CONTROL, True)
        self.written.append(raw)
        if raw != pmd.START:
            return
        self._control(None, bytearray(self.answer))
        for piece in self.notify:
            self._data(None, bytearray(piece))
        if self.leaves:
            self.is_connected = False
            asyncio.get_running_loop().call_soon(self._gone, self)


class BleakError(Exception):
    pass


def link(strap: Strap) -> Link:
    bleak = types.SimpleNamespace(
        exc=types.SimpleNamespace(BleakError=BleakError), BleakClient=strap
    )
    return Link(bleak, "24:AC:AC:00:00:01", 5.0)


GOOD = bytes.fromhex("f00200000000")


def test_a_strap_is_started_heard_and_stopped():
    strap = Strap(GOOD, [b"one", b"two"], leaves=False)
    linked = link(strap)
    linked.open()
    assert [linked.arrived.get(timeout=5)[1] for _ in range(2)] == [b"one", b"two"]
    linked.close()
    assert strap.written == [pmd.START, pmd.STOP]
    assert not strap.is_connected


def test_s11_a_strap_that_goes_away_is_a_lost_source():
    linked = link(Strap(GOOD, [notification(T0, [5] * 20)[:-1]], leaves=True))
    source = Polar(name="strap", address="24:AC:AC:00:00:01")
    linked.open()
    source._link = linked
    with pytest.raises(FrameError, match="ends inside a sample"):
        source.read(5.0)
    with pytest.raises(SourceLostError, match="24:AC:AC:00:00:01: is gone"):
        source.read(5.0)
    source.close()


def test_a_strap_that_refuses_says_why():
    linked = link(Strap(bytes.fromhex("f0020006"), [], leaves=False))
    with pytest.raises(SourceLostError, match="is another program connected"):
        linked.open()
    linked.close()


def test_what_cannot_be_is_refused_before_anything_opens():
    for options, key in (
        ({"lead": ""}, "lead"),
        ({"connect_s": 0.0}, "connect_s"),
        ({"silence_s": -1.0}, "silence_s"),
        ({"chunk_s": 0.0}, "chunk_s"),
    ):
        with pytest.raises(BadOptionError) as told:
            Polar(name="strap", **options)
        assert told.value.key == key
    with pytest.raises(SourceLostError, match="is not open"):
        Polar(name="strap").read(0.0)


@pytest.mark.hardware
def test_a_strap_that_is_worn_gives_ecg():
    source = Polar(name="strap")
    source.open()
    frames = []
    while len(frames) < 50:
        frame = source.read(1.0)
        if frame is not None:
            frames.append(frame)
    source.close()
    assert np.concatenate([frame.data for frame in frames]).std() > 0.01
