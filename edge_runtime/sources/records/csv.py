"""Source `csv`: play a table of samples, one row each, from a file or a pipe."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edge_runtime.errors import (
    BadOptionError,
    ConfigError,
    EndOfStream,
    FrameError,
    SourceLostError,
)
from edge_runtime.sources.signal_clock import (
    Pace,
    Playback,
    Stretch,
    Tape,
    check_pacing,
    chunk_samples,
)

from .csv_layout import MAX_RATE_HZ, MIN_RATE_HZ, Wish, find_layout, find_rate
from .csv_lines import STDIN, Lines
from .csv_rows import MAX_SPAN_NS, Layout, Rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_runtime.frame import Frame

FIRST_ROWS = 3  # a header, units and a row
RATE_ROWS = 500  # from which the rate is taken when only a time column gives it
FIRST_ROWS_S = 10.0  # how long a pipe may take to bring them
MAX_MV_PER_COUNT = 1e6


class Csv:
    """A recorded source: frames (samples, leads) float32 in mV.

    Args:
        name: how results name this source.
        path: the file, or "-" for standard input.
        rate_hz: samples per second; may be left out when `time_column` gives it.
        leads: the columns to play, by name; empty means all. In a file without a header row
            they name all of its columns, in order.
        time_column: the column that says when; a jump in it is a gap.
        time_unit: its unit; a time written as 0:00.000 is in seconds.
        time_is: "elapsed" counts from `open()`, "utc" since 1970.
        unit: of the samples; None means what a row of units under the header says, else mV.
        mv_per_count: millivolts in one count, for unit "adc".
        zero_count: the count that means 0 mV, for unit "adc".
        delimiter: one character; empty means what the first row has of comma, semicolon, tab
            and blanks.
        pace: "flat" as fast as frames are read, "real" at the speed of the recording.
        chunk_s: length of a frame.
        loop: begin again at the end, for ever; sample time goes on and `seq` jumps. Not for a
            pipe.

    A row with the wrong number of cells, or a cell that is no finite number, is a FrameError that
    names file and line, and a gap. Lines that start with "#" before the first row are skipped.
    """

    live = False

    def __init__(
        self,
        *,
        name: str,
        path: str,
        rate_hz: float | None = None,
        leads: tuple[str, ...] = (),
        time_column: str = "",
        time_unit: Literal["s", "ms", "us", "ns"] = "s",
        time_is: Literal["elapsed", "utc"] = "elapsed",
        unit: Literal["mV", "uV", "V", "adc"] | None = None,
        mv_per_count: float | None = None,
        zero_count: float = 0.0,
        delimiter: str = "",
        pace: Pace = "flat",
        chunk_s: float = 0.25,
        loop: bool = False,
    ) -> None:
        check_pacing(pace, chunk_s)
        if not path or "\0" in path:
            raise BadOptionError("path", "must be the path of a file, or '-' for standard input")
        if loop and path == STDIN:
            raise BadOptionError("loop", "a pipe cannot be played again; give a file")
        if rate_hz is None and not time_column:
            raise BadOptionError("rate_hz", "is needed where no time_column gives it")
        if rate_hz is not None and not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
            raise BadOptionError("rate_hz", f"must be {MIN_RATE_HZ:g} to {MAX_RATE_HZ:g}")
        _check_scale(unit, mv_per_count, zero_count)
        if len(delimiter) > 1 or delimiter in ('"', "'", "\n", "\r", ".", "\0", "_"):
            raise BadOptionError("delimiter", "must be one character, such as ';'")
        self.name = name
        self._path, self._time_is = Path(path), time_is
        self._wish = Wish(
            leads=leads,
            time_column=time_column,
            time_unit=time_unit,
            unit=unit,
            mv_per_count=mv_per_count,
            zero_count=zero_count,
            delimiter=delimiter.replace(" ", ""),
            rate_hz=rate_hz,
        )
        self._pace, self._chunk_s, self._loop = pace, chunk_s, loop
        self._lines: Lines | None = None
        self._playback: Playback | None = None

    def open(self) -> None:
        """Read the header row and find the columns. Raises ConfigError, SourceLostError."""
        self.close()
        self._lines = Lines(self._path)
        head, number = self._first_lines(self._lines)
        layout, used = find_layout(head, self._wish, self._lines.shown, number)
        rate_hz = find_rate(layout, head[used:], self._wish.rate_hz)
        feed = _Feed(self._lines, lambda: Rows(layout, rate_hz), number + used, loop=self._loop)
        feed.take(head[used:], number + used)
        tape = Tape(
            source=self.name,
            leads=tuple(layout.names[column] for column in layout.columns),
            rate_hz=rate_hz,
            start_ns=self._start_ns(layout, feed.rows),
            chunk=chunk_samples(self._chunk_s, rate_hz),
            pace=self._pace,
        )
        self._playback = Playback(tape, feed.pull)

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame; None when it is not there or not due yet.

        Raises EndOfStream; FrameError for a row that cannot be used; SourceLostError.
        """
        if self._playback is None:
            raise SourceLostError(f"{self.name}: is not open")
        return self._playback.read(timeout_s)

    def close(self) -> None:
        """Let go of the file; wakes a `read` that waits."""
        playback, self._playback = self._playback, None
        if playback is not None:
            playback.stop()
        lines, self._lines = self._lines, None
        if lines is not None:
            lines.close()

    def _first_lines(self, lines: Lines) -> tuple[list[str], int]:
        """Lines from the first row on, enough to tell columns and rate; the number of the first."""
        held: list[str] = []
        wanted = RATE_ROWS if self._wish.rate_hz is None else FIRST_ROWS
        until = time.monotonic() + FIRST_ROWS_S
        while sum(1 for line in held if not _is_remark(line)) < wanted:
            try:
                more = lines.read(max(0.0, until - time.monotonic()))
            except EndOfStream:
                break
            if more is None:
                raise SourceLostError(f"{lines.shown}: no rows came within {FIRST_ROWS_S:g} s")
            held += more
        for at, line in enumerate(held):
            if not _is_remark(line):
                return held[at:], at + 1
        raise ConfigError(f"{lines.shown}: holds no rows")

    def _start_ns(self, layout: Layout, rows: Rows) -> int:
        """Wall time of the first sample."""
        if self._time_is == "elapsed" or layout.time_column is None or rows.start is None:
            return time.time_ns()
        start_ns = rows.start * layout.ns_per_unit
        if not 0 <= start_ns < MAX_SPAN_NS:
            raise ConfigError(f"{layout.shown}: {rows.start:g} is no time since 1970")
        return round(start_ns)


class _Feed:
    """The table's samples as stretches without holes, once or again and again."""

    def __init__(self, lines: Lines, fresh: Callable[[], Rows], body: int, *, loop: bool) -> None:
        self._lines, self._fresh, self._body, self._loop = lines, fresh, body, loop
        self.rows = fresh()
        self._ready: deque[Stretch | FrameError] = deque()
        self._shift, self._shift_ns = 0, 0  # what earlier passes moved number and time on by
        self._again = False  # a later pass has just begun

    def take(self, lines: list[str], number: int) -> None:
        """Parse lines, of which the first is line `number` of the table; skip those of the head."""
        head = max(0, self._body - number)
        self._ready.extend(self.rows.parse(lines[head:], number + head))

    def pull(self, timeout_s: float) -> Stretch | None:
        """The next stretch; None when it is not there in time. Raises FrameError, EndOfStream."""
        while not self._ready:
            try:
                lines = self._lines.read(timeout_s)
            except EndOfStream:
                if not self._loop or not self.rows.samples:
                    raise
                self._rewind()
                continue
            if lines is None:
                return None
            self.take(lines, self._lines.number - len(lines))
        found = self._ready.popleft()
        if isinstance(found, FrameError):
            raise found
        if not self._shift:
            return found
        again, self._again = self._again, False
        times = None if found.times_ns is None else found.times_ns + self._shift_ns
        first, gap = found.first + self._shift, found.gap or again
        return replace(found, first=first, times_ns=times, gap=gap)

    def _rewind(self) -> None:
        self._shift += self.rows.samples
        self._shift_ns += (self.rows.span_ns or 0) + self.rows.period_ns
        self._lines.rewind()
        self.rows, self._again = self._fresh(), True


def _is_remark(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _check_scale(unit: str | None, mv_per_count: float | None, zero_count: float) -> None:
    if (unit == "adc") != (mv_per_count is not None):
        raise BadOptionError("mv_per_count", "goes with unit = 'adc', and is needed there")
    if mv_per_count is not None and not 0 < abs(mv_per_count) <= MAX_MV_PER_COUNT:
        raise BadOptionError("mv_per_count", "must be the millivolts in one count, and not 0")
    if not abs(zero_count) <= 1e12:
        raise BadOptionError("zero_count", "must be the count that means 0 mV")
