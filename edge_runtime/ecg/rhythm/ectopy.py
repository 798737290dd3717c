"""Ventricular beats: how many, in couplets and runs, in patterns, and as tachycardia."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from statistics import fmean
from typing import TYPE_CHECKING

from .heartbeat import Decision, Episode, HeartBeat

if TYPE_CHECKING:
    from .limits import Limits

_RUN = 3
_REPEATS = 3  # ventricular beats at one distance that make a pattern
_MINUTE_NS = 60_000_000_000


class RunRule:
    """`couplet` (two), `run` (three or more) and `vt` (`vt_beats` or more, faster than `vt_bpm`).

    Only beats of class V count; any other class ends the run. A couplet is told when the beat
    after it is known. A run of at most `vt_bpm` is a run and no more.
    """

    family = "ventricular"
    needs = "good"

    def __init__(self, limits: Limits, *, latched: bool) -> None:
        self._limits = limits
        self._couplet, self._run = Episode("couplet/1", "low"), Episode("run/1", "medium")
        self._vt = Episode("vt/1", "high", latched=latched)
        self._restart()

    def start(self, at_ns: int) -> None:
        del at_ns
        self._restart()

    def beat(self, beat: HeartBeat) -> Iterator[Decision]:
        if beat.label != "V" or beat.rr_s is None:
            yield from self._over(beat)
            self._restart()
        if beat.label != "V":
            return
        if self._count:
            self._intervals.append(beat.rr_s or 0.0)
        else:
            self._first_ns = beat.at_ns
        self._count += 1
        self._times.append(beat.at_ns)
        yield from self._grown(beat)

    def until(self, at_ns: int) -> Iterator[Decision]:
        """Beats alone decide."""
        del at_ns
        yield from ()

    def stop(self, at_ns: int, reason: str) -> Iterator[Decision]:
        yield from self._ended(at_ns, reason)
        self._restart()

    def _restart(self) -> None:
        self._count, self._first_ns = 0, 0
        self._times: deque[int] = deque(maxlen=self._limits.vt_beats)
        self._intervals: deque[float] = deque(maxlen=self._limits.vt_beats - 1)

    def _grown(self, beat: HeartBeat) -> Iterator[Decision]:
        limits = self._limits
        if self._count == _RUN:
            yield self._run.begin(beat.at_ns, self._first_ns, self._values(), {"beats": _RUN})
        fast = self._count > 1 and 60 / fmean(self._intervals) > limits.vt_bpm
        if self._count >= limits.vt_beats and fast and self._vt.onset_ns is None:
            crossed = {"beats": float(limits.vt_beats), "rate_bpm": limits.vt_bpm}
            yield self._vt.begin(beat.at_ns, self._times[0], self._values(), crossed)

    def _over(self, beat: HeartBeat) -> Iterator[Decision]:
        if self._count == 2 and beat.rr_s is not None:
            yield self._couplet.whole(
                beat.at_ns, self._first_ns, self._times[-1], self._values(), {"beats": 2.0}
            )
        yield from self._ended(beat.at_ns, "")

    def _ended(self, at_ns: int, reason: str) -> Iterator[Decision]:
        for episode in (self._run, self._vt):
            end_ns = self._times[-1] if self._times else at_ns
            yield from episode.end(at_ns, end_ns, {"beats": float(self._count)}, reason)

    def _values(self) -> dict[str, float]:
        """The beats so far, and the rate of the last of them."""
        return {"beats": float(self._count), "rate_bpm": 60 / fmean(self._intervals)}


class PatternRule:
    """`bigeminy` (every second beat is ventricular) or `trigeminy` (every third).

    The onset is the first of three ventricular beats at that distance; the last one that keeps
    it is the end. A beat without a sure class breaks it.
    """

    family = "ventricular"
    needs = "good"

    def __init__(self, name: str, period: int) -> None:
        self._between = period - 1
        self._episode = Episode(f"{name}/1", "low")
        self._count, self._others, self._first_ns, self._last_ns = 0, 0, 0, 0

    def start(self, at_ns: int) -> None:
        del at_ns
        self._count, self._others = 0, 0

    def beat(self, beat: HeartBeat) -> Iterator[Decision]:
        if beat.rr_s is None or beat.label == "?":
            yield from self._broken(beat.at_ns)
        if beat.label != "V":
            self._others += 1
            if self._others > self._between:
                yield from self._broken(beat.at_ns)
            return
        if self._others != self._between:
            yield from self._broken(beat.at_ns)
        self._first_ns = self._first_ns if self._count else beat.at_ns
        self._count, self._others, self._last_ns = self._count + 1, 0, beat.at_ns
        if self._count == _REPEATS:
            values, limits = {"beats": float(self._count)}, {"beats": float(_REPEATS)}
            yield self._episode.begin(beat.at_ns, self._first_ns, values, limits)

    def until(self, at_ns: int) -> Iterator[Decision]:
        """Beats alone decide."""
        del at_ns
        yield from ()

    def stop(self, at_ns: int, reason: str) -> Iterator[Decision]:
        yield from self._broken(at_ns, reason)

    def _broken(self, at_ns: int, reason: str = "") -> Iterator[Decision]:
        values = {"beats": float(self._count)}
        yield from self._episode.end(at_ns, self._last_ns, values, reason)
        self._count = 0


class FrequentRule:
    """`pvc-frequent`: more than `pvc_per_minute` ventricular beats in the last minute."""

    family = "ventricular"
    needs = "good"

    def __init__(self, limits: Limits) -> None:
        self._limit = limits.pvc_per_minute
        self._episode = Episode("pvc-frequent/1", "low")
        self._times: deque[int] = deque(maxlen=1000)

    def start(self, at_ns: int) -> None:
        del at_ns
        self._times.clear()

    def beat(self, beat: HeartBeat) -> Iterator[Decision]:
        if beat.label == "V":
            self._times.append(beat.at_ns)
        while self._times and self._times[0] <= beat.at_ns - _MINUTE_NS:
            self._times.popleft()
        count, limit = float(len(self._times)), float(self._limit)
        if count > limit and self._episode.onset_ns is None:
            yield self._episode.begin(
                beat.at_ns, self._times[0], {"pvc_per_minute": count}, {"pvc_per_minute": limit}
            )
        elif count <= limit:
            yield from self._episode.end(beat.at_ns, beat.at_ns)

    def until(self, at_ns: int) -> Iterator[Decision]:
        """Beats alone decide."""
        del at_ns
        yield from ()

    def stop(self, at_ns: int, reason: str) -> Iterator[Decision]:
        yield from self._episode.end(at_ns, at_ns, detail=reason)
