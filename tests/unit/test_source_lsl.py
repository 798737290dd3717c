"""Source `lsl` with a real outlet of the lab streaming layer."""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from edge_runtime.errors import BadOptionError, ConfigError, SourceLostError
from edge_runtime.sources.streams.lsl import Lsl
from tests.needs import missing
from tests.unit.test_frontends import frames_of

try:
    import pylsl
except (ImportError, RuntimeError):
    pylsl = None


class Outlet:
    """A stream of 250 Hz with a ramp in every channel, pushed as it falls due."""

    def __init__(self, labels=("I", "II"), unit="microvolts", rate_hz=250.0) -> None:
        self.name = f"test-{uuid.uuid4().hex[:8]}"
        info = pylsl.StreamInfo(self.name, "ECG", len(labels), rate_hz, "float32", self.name)
        channels = info.desc().append_child("channels")
        for label in labels:
            channel = channels.append_child("channel")
            channel.append_child_value("label", label)
            channel.append_child_value("unit", unit)
        self._outlet = pylsl.StreamOutlet(info)
        self._width = len(labels)
        self._at = itertools.count()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        if self._thread.ident is None:
            self._thread.start()

    def push(self, count: int, stamp_s: float = 0.0, value: float | None = None) -> None:
        rows = [
            [float(next(self._at)) if value is None else value] * self._width for _ in range(count)
        ]
        self._outlet.push_chunk(rows, stamp_s)

    def await_listener(self) -> None:
        assert self._outlet.wait_for_consumers(5.0)

    def _run(self) -> None:
        self._outlet.wait_for_consumers(5.0)
        begun_s, pushed = time.monotonic(), 0
        while not self._done.wait(0.04):
            due = round((time.monotonic() - begun_s) * 250) - pushed
            self.push(due)
            pushed += due

    def close(self) -> None:
        self._done.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._outlet = None


@pytest.fixture
def outlet() -> Iterator[Callable[..., Outlet]]:
    if pylsl is None:
        missing("pylsl", "pip install 'edge-runtime[lsl]'")
    made = []

    def make(**options) -> Outlet:
        made.append(Outlet(**options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_stream_becomes_frames_of_millivolts_with_its_own_facts(outlet):
    stream = outlet()
    source = Lsl(name="ecg", stream=stream.name, leads=("Lead II",))
    source.open()
    stream.start()
    frames, errors = frames_of(source, 250)
    source.close()
    assert not errors
    data = np.concatenate([frame.data for frame in frames])
    np.testing.assert_allclose(np.diff(data[:, 0]), 1e-3, rtol=1e-2)
    assert (frames[0].rate_hz, frames[0].leads) == (250.0, ("Lead II",))
    age_s = (time.monotonic_ns() - frames[-1].monotonic_ns) / 1e9
    assert 0 <= age_s < 2.0
    assert set(source.tally) == {"samples"}


def test_s09_a_pause_of_the_sender_is_a_gap_of_its_length(outlet):
    stream = outlet()
    source = Lsl(name="ecg", stream=stream.name)
    source.open()
    stream.await_listener()
    now_s = pylsl.local_clock()
    stream.push(50, now_s)
    stream.push(50, now_s + 1.2)  # the stamp is that of the last: 250 samples lie between
    frames, _ = frames_of(source, 100)
    source.close()
    seqs = [frame.seq for frame in frames]
    assert [b - a for a, b in itertools.pairwise(seqs)].count(2) == 1
    assert source.tally["missing"] == 250


def test_s10_what_is_no_number_is_no_sample(outlet):
    stream = outlet()
    source = Lsl(name="ecg", stream=stream.name)
    source.open()
    stream.await_listener()
    stream.push(5)
    stream.push(1, value=float("nan"))
    stream.push(5)
    frames, errors = frames_of(source, 10)
    source.close()
    assert sum(len(frame.data) for frame in frames) == 10
    assert len(errors) == 1


def test_s11_a_stream_that_ends_is_lost(outlet):
    stream = outlet()
    source = Lsl(name="ecg", stream=stream.name, silence_s=3.0)
    source.open()
    stream.start()
    assert frames_of(source, 20)[0]
    stream.close()
    with pytest.raises(SourceLostError, match="is gone|silent for"):
        frames_of(source, 10**6, within_s=8.0)
    source.close()


def test_a_stream_that_is_not_there_says_so(outlet):
    outlet()
    with pytest.raises(SourceLostError, match="lsl stream none-such: there is none"):
        Lsl(name="ecg", stream="none-such", find_s=0.3).open()


def test_a_stream_that_does_not_tell_its_unit_or_rate_is_asked_for_it(outlet):
    unitless = outlet(unit="")
    with pytest.raises(ConfigError, match="states no unit of I: give mv_per_unit"):
        Lsl(name="ecg", stream=unitless.name).open()
    irregular = outlet(rate_hz=pylsl.IRREGULAR_RATE)
    with pytest.raises(ConfigError, match="states no rate: give rate_hz"):
        Lsl(name="ecg", stream=irregular.name).open()
    with pytest.raises(ConfigError, match="leads: none is named 'V1'; there are I, II"):
        Lsl(name="ecg", stream=outlet().name, leads=("V1",)).open()


def test_a_rate_that_contradicts_the_streams_is_told(outlet, caplog):
    stream = outlet()
    source = Lsl(name="ecg", stream=stream.name, rate_hz=300.0)
    source.open()
    source.close()
    assert "states 250 Hz, rate_hz says 300" in caplog.text


def test_what_cannot_be_is_refused_before_anything_opens():
    for options, key in (
        ({"stream": ""}, "stream"),
        ({"rate_hz": 0.0}, "rate_hz"),
        ({"mv_per_unit": 0.0}, "mv_per_unit"),
        ({"columns": (1,)}, "columns"),
        ({"find_s": 0.0}, "find_s"),
        ({"silence_s": -1.0}, "silence_s"),
        ({"chunk_s": 0.0}, "chunk_s"),
    ):
        with pytest.raises(BadOptionError) as told:
            Lsl(name="ecg", **{"stream": "x", **options})
        assert told.value.key == key
    with pytest.raises(SourceLostError, match="is not open"):
        Lsl(name="ecg", stream="x").read(0.0)
