"""What a report is made of: facts, beats, quality, events and an overview of one record."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_runtime.frame import Signal
    from edge_runtime.outcome import Event

    Reals = NDArray[np.float64]
    Levels = NDArray[np.int16]

EMPTY = 32767
RATE_BEATS = 8  # the slowest and the fastest rate are means of so many intervals


class SeenBeat(NamedTuple):
    """A beat; time in seconds after the start. `label` is "" when nothing named it."""

    at_s: float
    label: str
    rr_s: float | None


class Span(NamedTuple):
    """Something that holds from one time to another, in seconds after the start."""

    begin_s: float
    end_s: float
    state: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What stands at the head of a report. `model` is "" where no model named the beats."""

    record: str
    leads: tuple[str, ...]
    rate_hz: float
    seconds: float
    analysed: str  # the lead that beats were found in
    model: str
    version: str
    rules: tuple[str, ...]


@dataclass(slots=True)
class Study:
    """One record, read once. Everything is bounded or grows with the beats."""

    facts: Facts
    beats: list[SeenBeat] = field(default_factory=list)
    quality: list[Span] = field(default_factory=list)  # good, limited, bad, missing
    events: list[Event] = field(default_factory=list)
    start_ns: int = 0
    overview: Overview | None = None

    def since(self, timestamp_ns: int) -> float:
        """Seconds after the start."""
        return (timestamp_ns - self.start_ns) / 1e9

    @property
    def intervals(self) -> list[tuple[float, float]]:
        """Time and length of every interval between two beats that follow one another."""
        return [(beat.at_s, beat.rr_s) for beat in self.beats if beat.rr_s]

    @property
    def named(self) -> bool:
        """Whether beats have classes."""
        return any(beat.label for beat in self.beats)

    def share(self, state: str) -> float:
        """The part of the record in a state of quality, 0 to 1."""
        total = sum(span.end_s - span.begin_s for span in self.quality if span.state == state)
        return min(1.0, total / max(self.facts.seconds, 1e-9))


def beats_between(beats: Sequence[SeenBeat], begin_s: float, end_s: float) -> Sequence[SeenBeat]:
    """The beats from one time to another; they stand in the order of time."""
    first = bisect.bisect_left(beats, begin_s, key=lambda beat: beat.at_s)
    return beats[first : bisect.bisect_left(beats, end_s, lo=first, key=lambda beat: beat.at_s)]


def spans_between(spans: Sequence[Span], begin_s: float, end_s: float) -> Sequence[Span]:
    """The spans that reach into a stretch; they follow one another."""
    first = bisect.bisect_right(spans, begin_s, key=lambda span: span.end_s)
    return spans[first : bisect.bisect_left(spans, end_s, lo=first, key=lambda span: span.begin_s)]


def normal_intervals(beats: list[SeenBeat]) -> Reals:
    """Intervals in seconds between two beats that are both normal, or not named."""
    plain = [beat.label in ("", "N") for beat in beats]
    return np.array(
        [
            beat.rr_s
            for beat, here, before in zip(beats[1:], plain[1:], plain, strict=False)
            if here and before and beat.rr_s
        ]
    )


def extremes(beats: list[SeenBeat]) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """(rate in beats per minute, time of its last beat) of the slowest and the fastest stretch.

    A stretch is `RATE_BEATS` intervals without a break; None where there is none.
    """
    run: list[float] = []
    rates: list[tuple[float, float]] = []
    for beat in beats:
        run = [*run, beat.rr_s][-RATE_BEATS:] if beat.rr_s else []
        if len(run) == RATE_BEATS:
            rates.append((60 * RATE_BEATS / sum(run), beat.at_s))
    return (min(rates), max(rates)) if rates else None


class Overview:
    """The smallest and the largest value in each column of a picture, kept while samples pass.

    Args:
        columns_s: seconds of one column.
    """

    def __init__(self, columns_s: float) -> None:
        self.columns_s = columns_s
        self._low = np.full(1024, EMPTY, np.int16)
        self._high = np.full(1024, -EMPTY, np.int16)

    def add(self, first: int, samples: Signal, rate_hz: float) -> None:
        """Take (samples,) in mV of which the first is number `first`."""
        columns = ((first + np.arange(len(samples))) / rate_hz / self.columns_s).astype(np.int64)
        while columns[-1] >= len(self._low):
            self._low = np.concatenate([self._low, np.full_like(self._low, EMPTY)])
            self._high = np.concatenate([self._high, np.full_like(self._high, -EMPTY)])
        edges = np.flatnonzero(np.diff(columns, prepend=-1))
        micro = np.clip(np.asarray(samples, np.float64) * 1000, 1 - EMPTY, EMPTY - 1)
        at = columns[edges]
        low, high = np.minimum.reduceat(micro, edges), np.maximum.reduceat(micro, edges)
        self._low[at] = np.minimum(self._low[at], low)
        self._high[at] = np.maximum(self._high[at], high)

    def between(self, begin_s: float, end_s: float) -> tuple[Levels, Levels]:
        """Smallest and largest value of each column in microvolts; an empty one has low > high."""
        begin, end = round(begin_s / self.columns_s), round(end_s / self.columns_s)
        return self._low[begin:end], self._high[begin:end]
