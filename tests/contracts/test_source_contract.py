"""What every source promises. A kind of source passes by subclassing `SourceContract`."""

from __future__ import annotations

import importlib.util
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.errors import EndOfStream, FrameError, SourceLostError
from edge_runtime.frame import Frame
from edge_runtime.interfaces import Source
from edge_runtime.sources.records.csv import Csv
from edge_runtime.sources.records.dicom_ecg import DicomEcg
from edge_runtime.sources.records.edf import Edf
from edge_runtime.sources.records.wfdb import Wfdb
from edge_runtime.sources.streams.serial import Serial
from tests.needs import missing


class SourceContract:
    """Subclass it as Test..., and give the fixture `make`: a fresh, unopened source a call.

    A live kind also gives the fixture `feed`, which makes the device behind every open source
    give data until the test ends, and `silent` = True when the device gives nothing unless fed.
    """

    silent = False

    @pytest.fixture
    def make(self) -> Callable[[], Source]:
        raise NotImplementedError

    @pytest.fixture
    def feed(self) -> Callable[[], None]:
        return lambda: None

    def test_it_has_a_name_and_says_whether_it_is_live(self, make):
        source = make()
        assert isinstance(source.name, str)
        assert source.name
        assert source.live in (True, False)

    def test_close_may_come_twice_and_before_open(self, make):
        source = make()
        source.close()
        source.close()
        source.open()
        source.close()
        source.close()

    def test_reading_a_source_that_is_not_open_says_that_it_is_lost(self, make):
        source = make()
        with pytest.raises(SourceLostError):
            source.read(0.0)
        source.open()
        source.close()
        with pytest.raises(SourceLostError):
            source.read(0.0)

    def test_it_gives_frames_again_after_it_was_reopened(self, make, feed):
        source = make()
        for _ in range(2):
            source.open()
            feed()
            assert take(source, 2)
            source.close()

    def test_opening_twice_leaves_one_stream(self, make, feed):
        source = make()
        source.open()
        source.open()
        feed()
        assert take(source, 2)
        source.close()

    def test_frames_count_on_and_their_times_never_fall(self, make, feed):
        source = make()
        source.open()
        feed()
        frames = take(source, 8)
        source.close()
        assert frames[0].seq == 0
        assert [frame.seq for frame in frames] == list(range(len(frames)))
        for before, after in itertools.pairwise(frames):
            assert after.timestamp_ns > before.timestamp_ns
            assert after.monotonic_ns >= before.monotonic_ns

    def test_a_frame_is_what_its_contract_says(self, make, feed):
        source = make()
        source.open()
        feed()
        frame = take(source, 1)[0]
        source.close()
        assert frame.source == source.name
        assert frame.data.flags.c_contiguous
        assert type(frame.timestamp_ns) is int
        assert type(frame.monotonic_ns) is int
        if frame.rate_hz is None:
            assert frame.data.ndim == 3
            assert frame.data.shape[2] == 3
            assert frame.data.dtype == np.uint8
        else:
            assert frame.data.dtype == np.float32
            assert frame.data.shape[1] == len(frame.leads)
            assert len(frame.data)
            assert np.isfinite(frame.data).all()
            assert frame.rate_hz > 0

    def test_a_recorded_one_ends_and_a_live_one_says_none_in_time(self, make):
        source = make()
        source.open()
        if not source.live:
            with pytest.raises(EndOfStream):
                while True:
                    read_past_bad(source)
            with pytest.raises(EndOfStream):
                source.read(0.1)
        elif self.silent:
            started = time.monotonic()
            assert source.read(0.05) is None
            assert 0.04 < time.monotonic() - started < 1.0
        source.close()


def read_past_bad(source: Source) -> Frame | None:
    try:
        return source.read(0.5)
    except FrameError:
        return None


def take(source: Source, count: int, within_s: float = 10.0) -> list[Frame]:
    """Up to `count` frames; fewer when a recorded source ends before."""
    frames: list[Frame] = []
    until = time.monotonic() + within_s
    while len(frames) < count and time.monotonic() < until:
        try:
            frame = source.read(0.5)
        except EndOfStream:
            break
        if frame is not None:
            frames.append(frame)
    return frames


class TestWfdb(SourceContract):
    @pytest.fixture
    def make(self, data: Path) -> Callable[[], Source]:
        path = str(data / "ecg" / "cinc2017" / "A00001")
        return lambda: Wfdb(name="ecg", path=path)


class TestWfdbAtRealPace(SourceContract):
    @pytest.fixture
    def make(self, data: Path) -> Callable[[], Source]:
        path = str(data / "ecg" / "mitdb" / "100")
        return lambda: Wfdb(name="ecg", path=path, pace="real", chunk_s=0.05, seconds=0.5)


class TestEdf(SourceContract):
    @pytest.fixture
    def make(self, data: Path) -> Callable[[], Source]:
        path = str(data / "ecg" / "formats" / "other" / "cardio_sample.edf")
        return lambda: Edf(name="ecg", path=path)


class TestDicomEcg(SourceContract):
    @pytest.fixture
    def make(self, data: Path) -> Callable[[], Source]:
        if importlib.util.find_spec("pydicom") is None:
            missing("pydicom", "pip install 'edge-runtime[dicom]'")
        path = str(data / "ecg" / "formats" / "other" / "cardio_sample.dcm")
        return lambda: DicomEcg(name="ecg", path=path)


class TestCsv(SourceContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Source]:
        file = tmp_path / "a.csv"
        file.write_text("I,II\n" + "".join(f"{i / 100},{-i / 100}\n" for i in range(900)))
        return lambda: Csv(name="ecg", path=str(file), rate_hz=250.0)


class TestSerial(SourceContract):
    silent = True

    @pytest.fixture
    def board(self) -> Iterator[tuple[int, str, threading.Event]]:
        ours, theirs = os.openpty()
        done = threading.Event()
        yield ours, os.ttyname(theirs), done
        done.set()
        for thread in threading.enumerate():
            if thread.name == "board":
                thread.join()
        os.close(ours)
        os.close(theirs)

    @pytest.fixture
    def make(self, board) -> Callable[[], Source]:
        return lambda: Serial(name="ecg", port=board[1], rate_hz=250.0, mv_per_count=0.01)

    @pytest.fixture
    def feed(self, board) -> Callable[[], None]:
        ours, _, done = board

        def print_samples() -> None:
            while not done.wait(0.004):
                os.write(ours, b"512\r\n")

        def start() -> None:
            if not any(thread.name == "board" for thread in threading.enumerate()):
                threading.Thread(target=print_samples, name="board").start()

        return start
