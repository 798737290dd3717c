"""Parse the text that a microcontroller prints: one line per sample."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_LINE_BYTES = 256  # a line of 16 leads with labels is shorter
MAX_COUNT = 1e12
WRAP_US = 1 << 32  # micros() of a 32-bit board starts again after 71.6 minutes
GAP_PERIODS = 1.5
_SEPARATORS = re.compile(r"[,;\s]+")


@dataclass(frozen=True, slots=True)
class Row:
    """One sample of every lead.

    `elapsed_ns` is time since the first line, by the board's clock or by counting lines; `gap`
    says that by that clock samples are missing, `restarted` that it began anew.
    """

    counts: tuple[float, ...]
    elapsed_ns: int
    gap: bool = False
    restarted: bool = False


@dataclass(frozen=True, slots=True)
class LeadOff:
    """The board says that an electrode is off."""


@dataclass(frozen=True, slots=True)
class BadLines:
    """Lines in a row that are no samples, and the first of them."""

    count: int
    first: str


Event = Row | LeadOff | BadLines


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
    """Bytes in, events out. The first line is dropped: it began before we listened.

    `period_ns` is what a line adds to the time that is counted; it may be set to a measured one.
    """

    def __init__(self, line_format: LineFormat) -> None:
        self._format = line_format
        self._width = max((*line_format.columns, line_format.t_us_column or 0)) + 1
        self._longest_ns = GAP_PERIODS * 1e9 / line_format.rate_hz
        self._carry = b""
        self._joined = False
        self._counted_ns = 0.0
        self._device_ns = 0
        self._t_us: int | None = None
        self.period_ns = 1e9 / line_format.rate_hz

    def feed(self, raw: bytes) -> list[Event]:
        """The events of the lines that these bytes complete; bad lines in a row are one."""
        *lines, self._carry = (self._carry + raw).replace(b"\r", b"\n").split(b"\n")
        self._carry = self._carry[:MAX_LINE_BYTES]  # what is longer becomes a bad line
        events: list[Event] = []
        for line in lines:
            if not self._joined:
                self._joined = True
            elif line.strip():
                self._counted_ns += self.period_ns
                event, last = self._parse(line), events[-1] if events else None
                if isinstance(event, BadLines) and isinstance(last, BadLines):
                    events[-1] = BadLines(last.count + 1, last.first)
                else:
                    events.append(event)
        return events

    def _parse(self, line: bytes) -> Event:
        wanted = self._format
        text = line[:MAX_LINE_BYTES].decode("latin-1").strip(", ;\t")
        bad = BadLines(1, ascii(text[:40]))
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
            return Row(counts, round(self._counted_ns))
        t_us = _number(cells[wanted.t_us_column])
        return self._timed(counts, int(t_us)) if 0 <= t_us <= MAX_COUNT else bad

    def _timed(self, counts: tuple[float, ...], t_us: int) -> Row:
        """A row by the board's own clock."""
        before, self._t_us = self._t_us, t_us
        step_us = 0 if before is None else (t_us - before) % WRAP_US
        restarted = before is not None and (step_us == 0 or step_us > WRAP_US // 2)
        step_ns = round(self.period_ns) if restarted else step_us * 1000
        self._device_ns += step_ns
        return Row(counts, self._device_ns, restarted or step_ns > self._longest_ns, restarted)


def _number(cell: str) -> float:
    """The number in a cell, with or without a label before it; nan when there is none."""
    text = cell.rpartition(":")[2]
    try:
        return float("nan" if "_" in text else text)
    except ValueError:
        return float("nan")
