"""A strip of a signal as characters: the trace, its time axis, and labels below it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .ink import GREY, Colour, Line, Span

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]
    Dots = NDArray[np.bool_]

_BRAILLE = 0x2800  # Unicode 15, block "Braille Patterns": one bit for each of 2 x 4 dots
_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])


@dataclass(frozen=True, slots=True)
class Strip:
    """What part of a signal is drawn, and how large.

    The window ends at `end_s`, rounded down to a whole dot, so that a dot shows the same samples
    in every picture while the trace moves to the left.
    """

    columns: int
    rows: int
    span_s: float
    end_s: float
    low_mv: float
    high_mv: float
    unicode: bool = True

    @property
    def dots_across(self) -> int:
        return self.columns * (2 if self.unicode else 1)

    @property
    def dot_s(self) -> float:
        return self.span_s / self.dots_across

    @property
    def first_dot(self) -> int:
        """The number of the leftmost dot, counted from the start of the signal."""
        return int(self.end_s / self.dot_s) - self.dots_across

    def column(self, time_s: float) -> int | None:
        """The column at which a time stands, or None when it is outside."""
        dot = int(time_s / self.dot_s) - self.first_dot
        return dot // (2 if self.unicode else 1) if 0 <= dot < self.dots_across else None


def trace(samples: Samples, rate_hz: float, strip: Strip) -> list[str]:
    """`strip.rows` strings of `strip.columns` characters; `samples` (n,) in mV start at 0 s."""
    down = 4 if strip.unicode else 1
    dots = _dots(samples, rate_hz, strip, strip.rows * down)
    if strip.unicode:
        return _braille(dots)
    return ["".join("*" if dot else " " for dot in row) for row in dots]


def _dots(samples: Samples, rate_hz: float, strip: Strip, height: int) -> Dots:
    """(height, dots_across): each column from its least to its greatest sample, joined."""
    dots = np.zeros((height, strip.dots_across), dtype=np.bool_)
    edges = (np.arange(strip.dots_across + 1) + strip.first_dot) * strip.dot_s * rate_hz
    edges = np.round(edges).astype(np.int64)
    scale = (height - 1) / (strip.high_mv - strip.low_mv)
    for column in range(strip.dots_across):
        start = max(int(edges[column]) - 1, 0)  # one sample of the column before joins them
        part = samples[start : max(int(edges[column + 1]), start + 1)]
        if edges[column + 1] <= 0 or not len(part):
            continue
        top = (strip.high_mv - float(part.max())) * scale
        bottom = (strip.high_mv - float(part.min())) * scale
        dots[_row(top, height) : _row(bottom, height) + 1, column] = True
    return dots


def _row(value: float, height: int) -> int:
    return min(max(round(value), 0), height - 1)


def _braille(dots: Dots) -> list[str]:
    rows, columns = dots.shape[0] // 4, dots.shape[1] // 2
    cells = dots.reshape(rows, 4, columns, 2).transpose(0, 2, 1, 3)
    codes = (cells * _BITS).sum(axis=(2, 3)) + _BRAILLE
    return ["".join(map(chr, row)).replace(chr(_BRAILLE), " ") for row in codes.tolist()]


def axis(strip: Strip) -> Line:
    """A line with a tick at each whole second."""
    dash, tick = ("─", "┴") if strip.unicode else ("-", "+")
    marks = [dash] * strip.columns
    first = int(np.ceil(strip.first_dot * strip.dot_s))
    for second in range(first, int(strip.end_s) + 1):
        column = strip.column(float(second))
        if column is not None and second >= 0:
            marks[column] = tick
    return (Span("".join(marks), GREY),)


@dataclass(frozen=True, slots=True)
class Mark:
    """A short text at a time."""

    time_s: float
    text: str
    colour: Colour | None = None


def labels(marks: Iterable[Mark], strip: Strip) -> Line:
    """Each mark with its middle under its time; one that would touch the last is left out."""
    spans: list[Span] = []
    used = 0
    for mark in sorted(marks, key=lambda mark: mark.time_s):
        column = strip.column(mark.time_s)
        if column is None:
            continue
        start = min(max(column - (len(mark.text) - 1) // 2, 0), strip.columns - len(mark.text))
        if start < used + (1 if used else 0):
            continue
        spans += [Span(" " * (start - used)), Span(mark.text, mark.colour, bold=True)]
        used = start + len(mark.text)
    return (*spans, Span(" " * (strip.columns - used)))
