"""Time without a beat: pause and asystole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .heartbeat import Decision, Episode, HeartBeat

if TYPE_CHECKING:
    from .limits import Limits


class PauseRule:
    """`pause`: two beats at least `pause_s` apart; told whole, when the second one has come."""

    family = "rate"
    needs = "rate"

    def __init__(self, limits: Limits) -> None:
        self._limit_s = limits.pause_s
        self._episode = Episode("pause/1", "medium")

    def start(self, at_ns: int) -> None:
        """Nothing is held."""

    def beat(self, beat: HeartBeat) -> Iterator[Decision]:
        if beat.rr_s is not None and beat.rr_s >= self._limit_s:
            onset_ns = beat.at_ns - round(beat.rr_s * 1e9)
            values, limits = {"rr_s": beat.rr_s}, {"rr_s": self._limit_s}
            yield self._episode.whole(beat.at_ns, onset_ns, beat.at_ns, values, limits)

    def until(self, at_ns: int) -> Iterator[Decision]:
        """Beats alone decide."""
        del at_ns
        yield from ()

    def stop(self, at_ns: int, reason: str) -> Iterator[Decision]:
        """A pause that the signal does not show whole is none."""
        del at_ns, reason
        yield from ()


class AsystoleRule:
    """`asystole`: no beat for `asystole_s`, since the last one or since the signal came."""

    family = "asystole"
    needs = "rate"

    def __init__(self, limits: Limits, *, latched: bool) -> None:
        self._limit_s = limits.asystole_s
        self._limit_ns = round(limits.asystole_s * 1e9)
        self._episode = Episode("asystole/1", "high", latched=latched)
        self._last_ns: int | None = None

    def start(self, at_ns: int) -> None:
        """Time without a beat counts from here on."""
        self._last_ns = at_ns

    def beat(self, beat: HeartBeat) -> Iterator[Decision]:
        if self._last_ns is not None:
            without_s = (beat.at_ns - self._last_ns) / 1e9
            yield from self._episode.end(beat.at_ns, beat.at_ns, {"without_beat_s": without_s})
            self._last_ns = max(self._last_ns, beat.at_ns)

    def until(self, at_ns: int) -> Iterator[Decision]:
        if self._last_ns is None or self._episode.onset_ns is not None:
            return
        due_ns = self._last_ns + self._limit_ns
        if at_ns >= due_ns:
            limits = {"without_beat_s": self._limit_s}
            yield self._episode.begin(due_ns, self._last_ns, limits, limits)

    def stop(self, at_ns: int, reason: str) -> Iterator[Decision]:
        self._last_ns = None
        yield from self._episode.end(at_ns, at_ns, detail=reason)
