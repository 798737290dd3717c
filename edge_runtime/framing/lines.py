"""Text that a microcontroller prints: one line for each sample."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .events import Bad, Event, LeadOff, Sample, Skipped, add

MAX_LINE_BYTES = 256  # a line of 16 leads with labels is shorter
MAX_COUNT = 1e12
WRAP_US = 1 << 32  # micros() of a 32-bit board starts again after 71.6 minutes
GAP_PERIODS = 1.5
LATE_PERIODS = 64  # a clock that falls by no more shows a late sample, not a restart
LATE_MOST = 3  # unless so many are late in a row
_SEPARATORS = re.compile(r"[,;\s]+")


@dataclass(frozen=True, slots=True)
class LineFormat:
    """Which cells of a line are what. `exact` says that a line has no other cells."""

    columns: tuple[int, ...]
    t_us_column: int | None
    exact: bool
    off_marker: str
    range_counts: tuple[float, float] | None
    rate_hz: float


class LineParser:
    """See `events.Parser`. The first line is dropped: it began before we listened.

    With `messages` every feed holds whole lines, as datagrams do, and none is dropped.
    """

    def __init__(self, line_format: LineFormat, *, messages: bool = False) -> None:
        self._format = line_format
        self._width = max((*line_format.columns, line_format.t_us_column or 0)) + 1
        self._longest_ns = GAP_PERIODS * 1e9 / line_format.rate_hz
        self._carry = b""
        self._messages = self._joined = messages
        self._counted_ns = 0.0
        self._device_ns = 0
        self._t_us: int | None = None
        self._late = 0  # in a row
        self.period_ns = 1e9 / line_format.rate_hz
        self.sure_s = 0.0 if line_format.t_us_column is None else WRAP_US / 2e6

    def feed(self, raw: bytes, arrival_ns: int) -> list[Event]:
        del arrival_ns  # a line has an end: none waits for a time-out
        raw = raw + b"\n" if self._messages else raw
        *lines, self._carry = (self._carry + raw).replace(b"\r", b"\n").split(b"\n")
        self._carry = self._carry[:MAX_LINE_BYTES]  # what is longer becomes a bad line
        events: list[Event] = []
        for line in lines:
            if not self._joined:
                self._joined = True
            elif line.strip():
                self._counted_ns += self.period_ns
                add(events, self._parse(line))
        return events

    def _parse(self, line: bytes) -> Event:
        wanted = self._format
        text = line[:MAX_LINE_BYTES].decode("latin-1").strip(", ;\t")
        bad = Bad(1, ascii(text[:40]))
        cells = _SEPARATORS.split(text)
        if wanted.off_marker and wanted.off_marker in cells:
            return LeadOff()
        if len(cells) < self._width or (wanted.exact and len(cells) > self._width):
            return bad
        counts = tuple(_number(cells[column]) for column in wanted.columns)
        low, high = wanted.range_counts or (-MAX_COUNT, MAX_COUNT)
        if len(line) >= MAX_LINE_BYTES or not all(low <= count <= high for count in counts):
            return bad
        if wanted.t_us_column is None:
            return Sample(counts, round(self._counted_ns))
        t_us = _number(cells[wanted.t_us_column])
        return self._timed(counts, int(t_us)) if 0 <= t_us <= MAX_COUNT else bad

    def _timed(self, counts: tuple[float, ...], t_us: int) -> Event:
        """A sample by the board's own clock."""
        step_us = 0 if self._t_us is None else (t_us - self._t_us) % WRAP_US
        if self._t_us is not None and step_us == 0:
            return Skipped("duplicate")
        restarted = step_us > WRAP_US // 2
        if restarted and (WRAP_US - step_us) * 1000 <= LATE_PERIODS * self.period_ns:
            self._late += 1
            if self._late <= LATE_MOST:
                return Skipped("out-of-order")
        self._t_us, self._late = t_us, 0
        step_ns = round(self.period_ns) if restarted else step_us * 1000
        self._device_ns += step_ns
        missing = max(1, round(step_ns / self.period_ns) - 1) if step_ns > self._longest_ns else 0
        return Sample(counts, self._device_ns, missing or int(restarted), restarted)


def _number(cell: str) -> float:
    """The number in a cell, with or without a label before it; nan when there is none."""
    text = cell.rpartition(":")[2]
    try:
        return float("nan" if "_" in text else text)
    except ValueError:
        return float("nan")
