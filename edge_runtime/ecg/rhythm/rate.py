"""Heart rate as bedside monitors count it, and its limits."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from .heartbeat import Decision, Episode, HeartBeat

if TYPE_CHECKING:
    from .limits import Limits

_SLOW_S = 1.2
_LEAST = 4  # intervals before a rate is judged
_MARGIN_BPM = 2.0  # a rate is back when it is this far inside its limit


def mean_rate(intervals: Sequence[float]) -> float:
    """Beats per minute: the mean of the last 12 intervals, of the last 4 when 3 exceed 1.2 s.

    That is what the manuals of bedside monitors state (Philips MP2, Mindray).
    """
    slow = len(intervals) > 2 and min(intervals[-3:]) > _SLOW_S
    return 60.0 / fmean(intervals[-4:] if slow else intervals[-12:])


class RateRule:
    """`brady`, `tachy`: the rate beyond a limit. Extremes: the mean of 5 or of 17 beats in a row.

    The onset is the beat at which the mean crosses the limit.
    """

    family = "rate"
    needs = "rate"

    def __init__(self, limits: Limits, *, latched: bool) -> None:
        self._limits = limits
        self._intervals: deque[float] = deque(maxlen=16)
        self._slow, self._fast = Episode("brady/1", "medium"), Episode("tachy/1", "medium")
        self._slowest = Episode("extreme-brady/1", "high", latched=latched)
        self._fastest = Episode("extreme-tachy/1", "high", latched=latched)

    def start(self, at_ns: int) -> None:
        """Intervals count from the next beat on."""
        del at_ns
        self._intervals.clear()

    def beat(self, beat: HeartBeat) -> Iterator[Decision]:
        if beat.rr_s is None:
            return
        self._intervals.append(beat.rr_s)
        held, limits = list(self._intervals), self._limits
        if len(held) >= _LEAST:
            bpm, few_bpm = mean_rate(held), 60 / fmean(held[-4:])
            yield from _below(self._slow, beat, bpm, limits.low_bpm)
            yield from _above(self._fast, beat, bpm, limits.high_bpm)
            yield from _below(self._slowest, beat, few_bpm, limits.extreme_low_bpm)
        if len(held) == 16:
            yield from _above(self._fastest, beat, 60 / fmean(held), limits.extreme_high_bpm)

    def until(self, at_ns: int) -> Iterator[Decision]:
        """Beats alone decide."""
        del at_ns
        yield from ()

    def stop(self, at_ns: int, reason: str) -> Iterator[Decision]:
        for episode in (self._slow, self._fast, self._slowest, self._fastest):
            yield from episode.end(at_ns, at_ns, detail=reason)


def _below(episode: Episode, beat: HeartBeat, bpm: float, limit: float) -> Iterator[Decision]:
    if episode.onset_ns is None and bpm < limit:
        yield episode.begin(beat.at_ns, beat.at_ns, {"rate_bpm": bpm}, {"rate_bpm": limit})
    elif bpm >= limit + _MARGIN_BPM:
        yield from episode.end(beat.at_ns, beat.at_ns)


def _above(episode: Episode, beat: HeartBeat, bpm: float, limit: float) -> Iterator[Decision]:
    if episode.onset_ns is None and bpm > limit:
        yield episode.begin(beat.at_ns, beat.at_ns, {"rate_bpm": bpm}, {"rate_bpm": limit})
    elif bpm <= limit - _MARGIN_BPM:
        yield from episode.end(beat.at_ns, beat.at_ns)
