from __future__ import annotations

import contextlib
import os
import subprocess
import termios
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import BadOptionError, ConfigError, FrameError, SourceLostError
from edge_runtime.frame import Frame
from edge_runtime.framing.events import Bad, Event, Sample, Skipped
from edge_runtime.framing.lines import LineFormat, LineParser
from edge_runtime.sources.streams.arrival import ArrivalClock, RateMeter, RateWatch
from edge_runtime.sources.streams.serial import Serial
from tests.needs import program

NOTHING = 0.05  # seconds after which nothing more comes


class Board:
    """The other end of a real pseudo-terminal."""

    def __init__(self) -> None:
        self.fd, self._slave = os.openpty()
        self.port = os.ttyname(self._slave)

    def say(self, text: str | bytes) -> None:
        raw = text.encode() if isinstance(text, str) else text
        os.write(self.fd, raw)

    def unplug(self) -> None:
        for fd in (self.fd, self._slave):
            with contextlib.suppress(OSError):
                os.close(fd)
        self.fd = self._slave = -1


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board()
    yield board
    board.unplug()


@pytest.fixture
def listen(board: Board):
    """Opens a source on the board, past the first line, which is always dropped."""
    sources = []

    def start(**options) -> Serial:
        plain = {"rate_hz": 100.0, "mv_per_count": 1.0, "chunk_s": 0.05}
        options = options if "frontend" in options else {**plain, **options}
        source = Serial(name="ecg", port=board.port, **options)
        sources.append(source)
        source.open()
        board.say("begun before\n")
        return source

    yield start
    for source in sources:
        source.close()


def drain(source: Serial) -> list[Frame | FrameError]:
    """Everything that comes until nothing does, in order."""
    found: list[Frame | FrameError] = []
    while True:
        try:
            frame = source.read(NOTHING)
        except FrameError as exc:
            found.append(exc)
            continue
        if frame is None:
            return found
        found.append(frame)


def kinds(found: list[Frame | FrameError]) -> list[list[float] | str]:
    return [item.data.ravel().tolist() if isinstance(item, Frame) else "error" for item in found]


# --- samples


def test_lines_become_frames_of_millivolts(board, listen):
    source = listen(mv_per_count=0.5, zero_count=512.0)
    board.say("".join(f"{512 + at}\r\n" for at in range(12)))
    found = drain(source)
    assert kinds(found) == [[0, 0.5, 1, 1.5, 2], [2.5, 3, 3.5, 4, 4.5], [5, 5.5]]
    assert [frame.seq for frame in found] == [0, 1, 2]
    assert found[0].data.dtype == np.float32
    assert (found[0].leads, found[0].rate_hz) == (("MLII",), 100.0)


@pytest.mark.parametrize(
    "text",
    [
        "1,2\r\n3,4\r\n",
        "1;2\n3;4\n",
        "1 2\r3 4\r",
        "  1\t2 \n\n\n3 ,  4\n",
        "1.0,+2\n3e0,4.\n",
        "ecg:1,resp:2\necg:3,resp:4\n",
        "1,2,\n3,4,\n",
    ],
)
def test_lines_as_boards_print_them(board, listen, text):
    source = listen(leads=("I", "II"))
    board.say(text)
    assert kinds(drain(source)) == [[1, 2, 3, 4]]


def test_columns_are_picked_from_wider_lines(board, listen):
    source = listen(leads=("II", "I"), columns=(3, 1))
    board.say("x,1,y,2\nx,3,y,4,more\n")
    assert kinds(drain(source)) == [[2, 1, 4, 3]]


def test_a_line_may_come_in_pieces(board, listen):
    source = listen()
    for piece in ("1", "2", "\r", "\n3", "4\n5"):
        board.say(piece)
        time.sleep(0.01)
    assert kinds(drain(source)) == [[12, 34]]


def test_a_frame_is_there_as_soon_as_its_last_sample(board, listen):
    source = listen()
    board.say("1\n2\n3\n4\n")
    begun = time.monotonic()
    board.say("5\n")
    frame = source.read(2.0)
    assert len(frame.data) == 5
    assert time.monotonic() - begun < 0.5


def test_what_has_come_is_given_when_the_time_is_over(board, listen):
    source = listen()
    board.say("1\n2\n")
    begun = time.monotonic()
    assert len(source.read(0.1).data) == 2
    assert 0.09 < time.monotonic() - begun < 1.0
    assert source.read(0.0) is None


# --- what is no sample


def test_lines_that_are_no_samples_are_one_error_and_a_gap(board, listen):
    source = listen()
    board.say("1\n2\nnonsense\n\xff\xfe;\n3,4\n5\n")
    found = drain(source)
    assert kinds(found) == [[1, 2], "error", [5]]
    assert "3 lines or packets are no sample: 'nonsense'; is baud right?" in str(found[1])
    assert [item.seq for item in found if isinstance(item, Frame)] == [0, 2]


@pytest.mark.parametrize("line", ["nan", "inf", "1e999", "1_0", "0x10", "--1", "1.2.3", "9" * 300])
def test_what_python_would_take_for_a_number_but_no_converter_gives(board, listen, line):
    source = listen()
    board.say(f"1\n{line}\n2\n")
    assert kinds(drain(source)) == [[1], "error", [2]]


def test_a_count_outside_the_converter_is_garbled(board, listen):
    source = listen(range_counts=(0.0, 1023.0))
    board.say("512\n512513\n514\n")  # a line end was lost
    assert kinds(drain(source)) == [[512], "error", [514]]


def test_a_line_without_end_is_bounded_and_passes(board, listen):
    source = listen(silence_s=0.0)
    board.say("1\n")
    for _ in range(50):
        board.say("7" * 1000)
        with contextlib.suppress(FrameError):
            source.read(0.0)
        assert len(source._parser._carry) <= 256
    board.say("\n2\n")
    assert kinds(drain(source))[-2:] == ["error", [2]]


def test_what_a_board_prints_while_it_boots_is_not_counted(board, listen):
    source = listen()
    board.say("ets Jul 29 2019\nrst:0x1 (POWERON_RESET)\n" * 20)
    assert drain(source) == []
    board.say("1\nrst:0x1\n2\n")
    assert kinds(drain(source)) == [[1], "error", [2]]


def test_only_nonsense_is_an_error_once_the_board_had_its_time(board, listen, monkeypatch):
    monkeypatch.setattr("edge_runtime.sources.streams.byte_stream.SETTLE_S", 0.0)
    source = listen()
    board.say(b"\x80\xf8\n")
    with pytest.raises(FrameError, match="is baud right"):
        source.read(1.0)


def test_an_electrode_that_is_off_gives_no_frames_and_one_error(board, listen):
    source = listen()
    board.say("1\n2\n" + "!\r\n" * 50)
    found = drain(source)
    assert kinds(found) == [[1, 2], "error"]
    assert str(found[1]).endswith("an electrode is off")
    assert source.lead_off
    board.say("!\n" * 10)
    assert drain(source) == []
    board.say("3\n")
    (frame,) = drain(source)
    assert not source.lead_off
    assert frame.seq == found[0].seq + 2
    board.say("!\n")
    assert kinds(drain(source)) == ["error"]


# --- the board's clock


def test_samples_missing_by_the_boards_clock_are_a_gap(board, listen):
    source = listen(t_us_column=0)
    times = [0, 10_000, 20_000, 50_000, 60_000]
    board.say("".join(f"{t},{at}\n" for at, t in enumerate(times)))
    first, second = drain(source)
    assert kinds([first, second]) == [[0, 1, 2], [3, 4]]
    assert second.seq == first.seq + 2
    assert second.monotonic_ns - first.monotonic_ns == 50_000_000


def timed_lines(*lines: str) -> list[Event]:
    parser = LineParser(LineFormat((1,), 0, True, "!", None, 100.0))
    return parser.feed(("begun before\n" + "\n".join(lines) + "\n").encode(), 0)


def test_the_boards_clock_may_wrap_or_restart():
    events = timed_lines("4294957296,1", "0,1", "10000,1", "4000000000,1", "4000010000,1")
    assert [(row.missing, row.restarted) for row in events] == [
        (0, False),
        (0, False),
        (0, False),
        (1, True),
        (0, False),
    ]
    assert [row.elapsed_ns // 1_000_000 for row in events] == [0, 10, 20, 30, 40]


def test_s09_a_repeated_line_and_a_late_one_are_left_out_and_named():
    events = timed_lines("0,1", "10000,2", "10000,2", "30000,4", "20000,3", "40000,5")
    assert [event for event in events if isinstance(event, Skipped)] == [
        Skipped("duplicate"),
        Skipped("out-of-order"),
    ]
    kept = [event for event in events if isinstance(event, Sample)]
    assert [sample.counts for sample in kept] == [(1,), (2,), (4,), (5,)]
    assert [sample.missing for sample in kept] == [0, 0, 1, 0]


def test_s09_a_board_that_restarts_at_once_is_heard_after_a_few_lines():
    events = timed_lines("0,1", "90000,2", *(f"{at * 10000},9" for at in range(8)))
    assert events[2] == Skipped("out-of-order", 3)
    assert [event.restarted for event in events[3:]] == [True, False, False, False, False]


def test_a_pause_is_a_gap(board, listen):
    source = listen()
    board.say("1\n")
    (before,) = drain(source)
    assert source.read(0.6) is None
    board.say("2\n")
    (after,) = drain(source)
    assert (before.seq, after.seq) == (0, 2)


def test_a_pause_is_none_where_the_board_s_clock_shows_that_nothing_is_missing(board, listen):
    source = listen(t_us_column=0)
    board.say("0,1\n")
    (before,) = drain(source)
    assert source.read(0.6) is None
    board.say("10000,2\n30000,4\n")
    after, later = drain(source)
    assert (before.seq, after.seq, later.seq) == (0, 1, 3)


# --- times


def test_times_are_those_of_the_first_sample(board, listen):
    source = listen(chunk_s=0.1)
    for _ in range(3):
        time.sleep(0.1)
        board.say("1\n" * 10)
        frame = source.read(1.0)
        age_s = (time.monotonic_ns() - frame.monotonic_ns) / 1e9
        assert 0.08 < age_s < 0.5
        assert abs(time.time_ns() - frame.timestamp_ns - age_s * 1e9) < 0.25e9


def test_bursts_and_drift_leave_little_jitter_in_the_times():
    clock, rng = ArrivalClock(), np.random.default_rng(1)
    period_ns, offset_ns = 4_000_000, 7_000_000_000
    errors = []
    for batch in range(15_000):
        last = batch * 4 + 3
        taken_ns = offset_ns + last * period_ns * 1.0002  # 200 ppm slow
        delay_ns = 16_000_000 * rng.random() + (rng.random() < 0.01) * 300_000_000
        clock.observe(last * period_ns, round(taken_ns + delay_ns))
        errors.append(clock.time_ns(last * period_ns) - taken_ns)
    settled_ms = np.array(errors[100:]) / 1e6
    assert settled_ms.std() < 2.0
    assert settled_ms.min() >= 0
    assert settled_ms.max() < 20.0


def test_times_never_fall_even_when_a_sample_comes_early():
    clock = ArrivalClock()
    clock.observe(0, 1_000_000_000)
    times = [clock.time_ns(0)]
    clock.observe(4_000_000, 900_000_000)
    times.append(clock.time_ns(4_000_000))
    assert times[1] > times[0]


# --- rate


def test_the_rate_is_measured_over_its_window():
    meter = RateMeter()
    for at in range(1900):
        meter.add(1, at * 1_000_000_000 // 190)
    assert meter.rate_hz is None
    for at in range(1900, 4000):
        meter.add(1, at * 1_000_000_000 // 190)
    assert meter.rate_hz == pytest.approx(190, rel=0.005)
    meter.restart()
    assert meter.rate_hz is None


def arrivals(watch: RateWatch, rate_hz: float, seconds: int) -> None:
    for at in range(round(rate_hz * seconds)):
        watch.add(1, round(at * 1e9 / rate_hz))


def test_s09_a_wrong_rate_is_told_once_a_minute_with_both_numbers(caplog):
    arrivals(RateWatch("/dev/ttyUSB0", 250.0), 190, 130)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "/dev/ttyUSB0: 190.0 samples per second arrive, rate_hz says 250" in caplog.text


def test_s09_a_drift_of_more_than_one_percent_is_told_and_of_less_is_not(caplog):
    arrivals(RateWatch("/dev/ttyUSB0", 250.0), 252, 40)
    assert not caplog.records
    arrivals(RateWatch("/dev/ttyUSB0", 250.0), 253, 40)
    assert "253.0 samples per second arrive, rate_hz says 250: times are 1.2 % wrong" in caplog.text


def test_a_rate_that_is_too_low_for_beats_is_told_though_it_is_the_declared_one(caplog):
    arrivals(RateWatch("/dev/ttyACM0", 190.0, least_hz=200.0), 190, 40)
    assert "190.0 samples per second arrive: below 200 the times of beats" in caplog.text


def test_the_rate_to_reckon_with_is_the_measured_one():
    watch = RateWatch("/dev/ttyUSB0", 250.0)
    for at in range(250 * 30):
        assert watch.add(1, at * 1_000_000_000 // 245) == pytest.approx(250, rel=0.025)


def test_a_source_measures_what_arrives(board, listen, caplog):
    source = listen()
    source._watch = RateWatch(board.port, 100.0, window_s=0.6)
    begun = time.monotonic()
    count = 0
    while time.monotonic() - begun < 1.6:
        while count < (time.monotonic() - begun) * 50:
            board.say("1\n")
            count += 1
        source.read(0.01)
    assert source.measured_rate_hz == pytest.approx(50, rel=0.2)
    assert len([r for r in caplog.records if "rate_hz says 100" in r.message]) == 1


# --- the port


def test_a_port_that_is_not_there_says_so():
    source = Serial(name="ecg", port="/dev/ttyNONE7", rate_hz=100.0, mv_per_count=1.0)
    with pytest.raises(SourceLostError, match="/dev/ttyNONE7: no such port: is the board plugged"):
        source.open()


def test_a_file_is_no_port(tmp_path):
    (tmp_path / "tty").write_text("1\n")
    source = Serial(name="ecg", port=str(tmp_path / "tty"), rate_hz=100.0, mv_per_count=1.0)
    with pytest.raises(ConfigError, match="is not a serial port"):
        source.open()
    source = Serial(name="ecg", port="/dev/null", rate_hz=100.0, mv_per_count=1.0)
    with pytest.raises(SourceLostError, match="/dev/null: "):
        source.open()


def test_a_port_in_use_says_so(board, listen):
    listen()
    second = Serial(name="ecg", port=board.port, rate_hz=100.0, mv_per_count=1.0)
    with pytest.raises(SourceLostError, match="in use by another program"):
        second.open()
    second.close()


def test_a_port_that_may_not_be_opened_names_the_group(board):
    pytest.importorskip("serial")
    source = Serial(name="ecg", port=board.port, rate_hz=100.0, mv_per_count=1.0)
    Path(board.port).chmod(0)
    us = os.geteuid()
    if us == 0:
        os.seteuid(65534)  # root may open everything
    try:
        with pytest.raises(SourceLostError, match=r"denied: sudo usermod -aG dialout \$USER"):
            source.open()
    finally:
        os.seteuid(us)


def test_a_board_that_is_unplugged_is_a_lost_source(board, listen):
    source = listen()
    board.say("1\n2\n")
    assert kinds(drain(source)) == [[1, 2]]
    board.unplug()
    with pytest.raises(SourceLostError, match="/dev/pts"):
        for _ in range(20):
            source.read(0.05)
    source.close()


def test_a_silent_board_is_a_lost_source(board, listen):
    source = listen(silence_s=0.3)
    board.say("1\n")
    assert kinds(drain(source)) == [[1]]
    begun = time.monotonic()
    with pytest.raises(SourceLostError, match="silent for"):
        while True:
            source.read(0.05)
    assert 0.2 < time.monotonic() - begun < 3.0


def test_a_board_that_is_plugged_in_again_goes_on_with_a_jump(tmp_path):
    socat = program("socat", "socat")
    link = tmp_path / "ttyBOARD"
    source = Serial(name="ecg", port=str(link), rate_hz=100.0, mv_per_count=1.0, chunk_s=0.05)
    seen = []
    for _ in range(2):
        command = [socat, "-", f"PTY,raw,echo=0,link={link}"]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
            until = time.monotonic() + 5
            while not link.exists() and time.monotonic() < until:
                time.sleep(0.01)
            source.open()
            for _ in range(3):
                child.stdin.write(b"1\r\n2\r\n3\r\n4\r\n5\r\n")
                child.stdin.flush()
                time.sleep(0.05)
            seen.append(drain(source))
            child.kill()
        with pytest.raises(SourceLostError):
            for _ in range(20):
                source.read(0.05)
        source.close()
        with pytest.raises(SourceLostError, match="no such port"):
            source.open()
    first, again = seen
    assert all(isinstance(frame, Frame) for frame in first + again)
    assert again[0].seq == first[-1].seq + 2
    for found in seen:
        assert [b.seq - a.seq for a, b in pairwise(found)] == [1] * (len(found) - 1)


def test_the_line_speed_is_the_one_that_was_asked_for(board):
    source = Serial(name="ecg", port=board.port, rate_hz=100.0, mv_per_count=1.0, baud=57600)
    source.open()
    with Path(board.port).open("rb", buffering=0) as other:
        attributes = termios.tcgetattr(other)
    assert attributes[4] == attributes[5] == termios.B57600
    source.close()


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"port": ""}, "port"),
        ({"baud": 0}, "baud"),
        ({"baud": -9600}, "baud"),
        ({"rate_hz": 0.0}, "rate_hz"),
        ({"rate_hz": float("nan")}, "rate_hz"),
        ({"mv_per_count": 0.0}, "mv_per_count"),
        ({"zero_count": float("nan")}, "zero_count"),
        ({"columns": (0, 1)}, "columns"),
        ({"columns": (-1,)}, "columns"),
        ({"columns": (1,), "t_us_column": 1}, "columns"),
        ({"t_us_column": -1}, "t_us_column"),
        ({"range_counts": (5.0, 5.0)}, "range_counts"),
        ({"chunk_s": 0.0}, "chunk_s"),
        ({"silence_s": -1.0}, "silence_s"),
    ],
)
def test_an_option_that_cannot_be_is_refused_before_anything_opens(options, key):
    plain = {"port": "/dev/ttyS0", "rate_hz": 250.0, "mv_per_count": 0.01}
    given_ = {**plain, **options}
    with pytest.raises(BadOptionError) as told:
        Serial(name="ecg", **given_)
    assert told.value.key == key


@settings(max_examples=300, deadline=None)
@given(chunks=st.lists(st.binary(max_size=40), max_size=20), timed=st.booleans())
def test_whatever_bytes_come_in_whatever_pieces_the_events_are_the_same(chunks, timed):
    line_format = LineFormat((1,) if timed else (0,), 0 if timed else None, True, "!", None, 100.0)
    pieces, whole = LineParser(line_format), LineParser(line_format)
    first = [event for chunk in chunks for event in pieces.feed(chunk, 0)]
    second = whole.feed(b"".join(chunks), 0)
    assert [e for e in first if isinstance(e, Sample)] == [
        e for e in second if isinstance(e, Sample)
    ]
    assert _lines(first) == _lines(second)


def _lines(events: list[Event]) -> int:
    return sum(event.count if isinstance(event, Bad | Skipped) else 1 for event in events)
