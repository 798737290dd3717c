"""Find out what the columns of a text table mean, from its first rows and from what was asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.errors import ConfigError
from edge_runtime.sources.leads import MV_PER_UNIT, find_lead, tidy

from .csv_rows import Layout, number_in, split

if TYPE_CHECKING:
    from collections.abc import Sequence

MIN_RATE_HZ, MAX_RATE_HZ = 1e-3, 1e6
ENOUGH_STEPS = 20  # between times, before they may contradict the rate that is given
RATE_TOLERANCE = 0.05  # between the rate that is given and that of the time column
WHOLE_TOLERANCE = 1e-3  # times are written in ms: 359.9 Hz means 360 Hz
_NS_PER_UNIT = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1000, "ns": 1}


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asked for; empty and None mean what the table says."""

    leads: tuple[str, ...]
    time_column: str
    time_unit: str
    unit: str | None
    mv_per_count: float | None
    zero_count: float
    delimiter: str
    rate_hz: float | None


def find_layout(head: Sequence[str], wish: Wish, shown: str, number: int) -> tuple[Layout, int]:
    """The layout, and how many of the first lines only describe it.

    `number` is the line number of `head[0]`. Raises ConfigError.
    """
    where = f"{shown}:{number}"
    delimiter = wish.delimiter or _delimiter(head[0])
    cells = tuple(_bare(cell) for cell in split(head[0], delimiter))
    names, used = cells, 1
    if all(number_in(cell) is not None for cell in cells):
        if len(wish.leads) != len(cells):
            raise ConfigError(f"{where}: is no header row: name all {len(cells)} columns in leads")
        names, used = wish.leads, 0
    time_at = _find(wish.time_column, names, where) if wish.time_column else None
    columns = [_find(lead, names, where) for lead in wish.leads] or list(range(len(names)))
    columns = [column for column in columns if column != time_at]
    if not columns:
        raise ConfigError(f"{where}: has no column of samples")
    units = _units(head[used:], delimiter, len(names)) if used else ()
    used += bool(units)
    scale = [_scale(wish, units[column] if units else "", where) for column in columns]
    clock = time_at is not None and _is_clock(head[used:], delimiter, time_at)
    layout = Layout(
        shown=shown,
        delimiter=delimiter,
        names=names,
        columns=tuple(columns),
        scale=tuple(scale),
        offset=-wish.zero_count * scale[0] if wish.unit == "adc" else 0.0,
        time_column=time_at,
        clock=clock,
        ns_per_unit=_NS_PER_UNIT["s" if clock else wish.time_unit],
    )
    return layout, used


def find_rate(layout: Layout, body: Sequence[str], rate_hz: float | None) -> float:
    """The rate that was asked for, held against the time column, or the one that it gives.

    Raises ConfigError.
    """
    if layout.time_column is None and rate_hz is not None:
        return rate_hz
    shown = f"{layout.shown}: {layout.names[layout.time_column or 0]}"
    steps, measured_hz = _measured(layout, body)
    if rate_hz is not None:
        if steps >= ENOUGH_STEPS and abs(measured_hz - rate_hz) > RATE_TOLERANCE * rate_hz:
            raise ConfigError(
                f"{shown} says {measured_hz:.6g} Hz, rate_hz says {rate_hz:g}; check time_unit"
            )
        return rate_hz
    if not steps:
        raise ConfigError(f"{shown}: too few times to tell a rate; give rate_hz")
    if not MIN_RATE_HZ <= measured_hz <= MAX_RATE_HZ:
        raise ConfigError(f"{shown} says {measured_hz:.6g} Hz; check time_unit")
    whole_hz = float(round(measured_hz))
    close = abs(measured_hz - whole_hz) < WHOLE_TOLERANCE * measured_hz
    return whole_hz if close else measured_hz


def _measured(layout: Layout, body: Sequence[str]) -> tuple[int, float]:
    """How many steps the time column makes, and rows per second by it, jumps left out."""
    rows = [layout.cells(line) for line in body]
    cells = [row[layout.time_column or 0] for row in rows if len(row) == len(layout.names)]
    times = [value for cell in cells if (value := number_in(cell)) is not None]
    steps = np.diff(times) if len(times) > 1 else np.empty(0)
    steps = steps[steps > 0]
    if not len(steps):
        return 0, 0.0
    steps = steps[steps <= 1.5 * np.median(steps)]
    return len(steps), 1e9 / (float(np.mean(steps)) * layout.ns_per_unit)


def _bare(cell: str) -> str:
    return tidy(cell.strip().strip("'\""))


def _delimiter(line: str) -> str:
    """The one that stands in the line most often; blanks count only where nothing else does."""
    best = max((",", ";", "\t"), key=line.count)
    return best if best in line else ""


def _find(name: str, names: Sequence[str], where: str) -> int:
    try:
        return find_lead(name, names)
    except LookupError as exc:
        raise ConfigError(f"{where}: of its columns {exc}") from exc


def _units(body: Sequence[str], delimiter: str, width: int) -> tuple[str, ...]:
    """The row of units that stands below the header, if one does."""
    cells = tuple(_bare(cell) for cell in split(body[0], delimiter)) if body else ()
    is_units = len(cells) == width and any(cell.lower() in MV_PER_UNIT for cell in cells)
    return cells if is_units else ()


def _scale(wish: Wish, written: str, where: str) -> float:
    """Millivolts in one unit of a column."""
    if wish.mv_per_count is not None:
        return wish.mv_per_count
    unit = wish.unit or written or "mV"
    if unit.lower() not in MV_PER_UNIT:
        raise ConfigError(
            f"{where}: a column in {unit[:20]!a} is no voltage; choose leads, or unit"
        )
    return MV_PER_UNIT[unit.lower()]


def _is_clock(body: Sequence[str], delimiter: str, column: int) -> bool:
    """Whether times are written as 0:00.000."""
    rows = [split(line, delimiter) for line in body[:1]]
    return any(column < len(row) and ":" in row[column] for row in rows)
