"""Turn rows of a text table into stretches of samples."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.errors import FrameError
from edge_runtime.sources.signal_clock import Stretch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

MAX_VALUE = 1e30  # a larger number is no sample, and would not fit once it is in mV
MAX_SPAN_NS = 9e18  # what 64 bits of nanoseconds hold, 285 years
MISSING = frozenset(("", "nan", "na", "n/a", "null", "none", "-", "?"))
GAP_PERIODS = 1.5  # more time than this between two rows: a row is missing


@dataclass(frozen=True, slots=True)
class Layout:
    """What the columns of a table mean. A sample in mV is value * scale + offset."""

    shown: str  # how errors name the table
    delimiter: str  # "" for runs of blanks
    names: tuple[str, ...]  # of all columns
    columns: tuple[int, ...]  # of the leads
    scale: tuple[float, ...]  # one per lead
    offset: float
    time_column: int | None = None
    clock: bool = False  # times are written as 0:00.000
    ns_per_unit: int = 1_000_000_000

    def cells(self, line: str) -> list[str]:
        """The cells of one line."""
        return split(line, self.delimiter)


def split(line: str, delimiter: str) -> list[str]:
    """The cells of one line; a cell in double quotes may hold the delimiter."""
    if '"' not in line:
        return line.split(delimiter or None)
    try:
        return next(csv.reader([line], delimiter=delimiter or " ", skipinitialspace=True))
    except (csv.Error, StopIteration):
        return []


def number_in(cell: str) -> float | None:
    """The finite number in a cell, or None. A time such as 1:02.5 is 62.5."""
    value = 0.0
    try:
        for part in cell.strip(" \t'\"[]").split(":"):
            value = value * 60 + _strict(part)
    except ValueError:
        return None
    return value if abs(value) < MAX_VALUE else None


def _strict(text: str) -> float:
    """Python's float less its underscores, which are no part of anybody's table."""
    if "_" in text:
        raise ValueError
    return float(text)


class _MissingValueError(FrameError):
    """A row that has no value where a sample should be."""


class Rows:
    """Turns lines into stretches of samples; rows that cannot be used become errors.

    A row that cannot be used leaves a gap, and so does a jump in the time column. Rows in a row
    that only lack a value, as a recorder writes them while an electrode is off, are one error.
    """

    def __init__(self, layout: Layout, rate_hz: float) -> None:
        self._layout = layout
        self._scale = np.array(layout.scale)
        self._wanted = layout.columns
        if layout.time_column is not None:
            self._wanted = (*layout.columns, layout.time_column)
        self.period_ns = round(1e9 / rate_hz)
        self._longest_ns = GAP_PERIODS * 1e9 / rate_hz
        self.samples = 0  # rows so far, good and bad
        self.start: float | None = None  # the first time, in its own unit
        self._last = -MAX_VALUE  # the last good time
        self._gap = False
        self._missing = False  # the row before only lacked a value

    @property
    def span_ns(self) -> int | None:
        """From the first time to the last; None in a table without times."""
        if self._layout.time_column is None or self.start is None:
            return None
        return round((self._last - self.start) * self._layout.ns_per_unit)

    def parse(self, lines: Sequence[str], number: int) -> list[Stretch | FrameError]:
        """What lines hold, in their order; `number` is that of the first one."""
        table = self._at_once(lines)
        if table is not None:
            return [*self._stretches(table)]
        found: list[Stretch | FrameError] = []
        run: list[list[float]] = []
        for at, line in enumerate(lines, number):
            if not line.strip():
                continue
            try:
                run.append(self._row(line, at, run))
                self._missing = False
            except FrameError as exc:
                found += self._stretches(np.array(run))
                found += self._skip(exc)
                run = []
        return [*found, *self._stretches(np.array(run))]

    def _skip(self, exc: FrameError) -> list[FrameError]:
        """Count a bad row; of rows in a row that merely lack a value only the first is told."""
        again, self._missing = self._missing, isinstance(exc, _MissingValueError)
        self._gap = True
        self.samples += 1
        return [] if again and self._missing else [exc]

    def _at_once(self, lines: Sequence[str]) -> Numbers | None:
        """Wanted columns of all lines, (rows, columns); None when a line needs a closer look."""
        layout, width = self._layout, len(self._layout.names)
        rows = [line.split(layout.delimiter or None) for line in lines]
        if not rows or {*map(len, rows)} != {width} or any("_" in line for line in lines):
            return None
        columns = tuple(zip(*rows, strict=True))
        table = np.empty((len(rows), len(self._wanted)))
        try:
            for to, column in enumerate(self._wanted):
                convert: Callable[[str], float] = float
                if layout.clock and column == layout.time_column:
                    convert = _clock
                table[:, to] = np.fromiter(map(convert, columns[column]), np.float64, len(rows))
        except ValueError:
            return None
        if not (np.abs(table) < MAX_VALUE).all():
            return None
        return None if layout.time_column is not None and self._odd(table[:, -1]) else table

    def _odd(self, times: Numbers) -> bool:
        """Whether times stand still, fall, or lie farther apart than a clock can say."""
        start = times[0] if self.start is None else self.start
        too_far = (times[-1] - start) * self._layout.ns_per_unit >= MAX_SPAN_NS
        return too_far or times[0] <= self._last or bool((np.diff(times) <= 0).any())

    def _row(self, line: str, number: int, run: list[list[float]]) -> list[float]:
        """One row's wanted values; `run` are those before it. Raises FrameError."""
        layout = self._layout
        where = f"{layout.shown}:{number}"
        cells = layout.cells(line)
        if len(cells) != len(layout.names):
            raise FrameError(f"{where}: has {len(cells)} columns, not {len(layout.names)}")
        values = []
        for column in self._wanted:
            value = number_in(cells[column])
            if value is None and cells[column].strip(" \t'\"").lower() in MISSING:
                raise _MissingValueError(f"{where}: {layout.names[column]}: has no value")
            if value is None:
                shown = ascii(cells[column].strip()[:40])
                raise FrameError(f"{where}: {layout.names[column]}: {shown} is not a number")
            values.append(value)
        if layout.time_column is not None:
            self._check_time(values[-1], run, where)
        return values

    def _check_time(self, now: float, run: list[list[float]], where: str) -> None:
        last = run[-1][-1] if run else self._last
        if now <= last:
            raise FrameError(f"{where}: time {now:.12g} is not after {last:.12g}")
        start = self.start
        if start is None:
            start = run[0][-1] if run else now
        if (now - start) * self._layout.ns_per_unit >= MAX_SPAN_NS:
            raise FrameError(f"{where}: time {now:.12g} is too far from {start:.12g}")

    def _stretches(self, table: Numbers) -> Iterator[Stretch]:
        """The samples of rows that follow one another, cut where the time column jumps."""
        if not len(table):
            return
        first, timed = self.samples, self._layout.time_column is not None
        self.samples += len(table)
        values = table[:, :-1] if timed else table
        data = (values * self._scale + self._layout.offset).astype(np.float32)
        if not timed:
            gap, self._gap = self._gap, False
            yield Stretch(data, first, gap)
            return
        times, ns = table[:, -1], self._layout.ns_per_unit
        if self.start is None:
            self.start = self._last = float(times[0])
        jumps = np.diff(times, prepend=self._last) * ns > self._longest_ns
        times_ns = np.rint((times - self.start) * ns).astype(np.int64)
        self._last = float(times[-1])
        edges = [0, *(int(at) for at in np.flatnonzero(jumps) if at), len(table)]
        for begin, end in pairwise(edges):
            gap, self._gap = self._gap or bool(jumps[begin]), False
            yield Stretch(data[begin:end], first + begin, gap, times_ns[begin:end])


def _clock(cell: str) -> float:
    value = number_in(cell)
    if value is None:
        raise ValueError
    return value
