"""ST deviation, where the band of the signal allows it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from .heartbeat import Decision, Episode, HeartBeat, Wave

if TYPE_CHECKING:
    from .limits import Limits

BAND_HZ = (
    0.05  # no higher may the high-pass corner be (Kligfield et al., Circulation 115:1306, 2007)
)
_J_S = 0.05  # after the R peak, the end of a narrow QRS complex
_PR_FROM_S, _PR_TO_S = 0.09, 0.06  # before the R peak, the isoelectric line
_HALF_S = 0.01  # around the ST point that is averaged
_MEMORY = 5  # beats in the median


def st_refusal(highpass_hz: float, *, calibrated: bool) -> str:
    """Why ST cannot be measured; "" when it can. A negative corner is one that nobody stated."""
    if highpass_hz < 0:
        return "band: the high-pass corner is not stated"
    if highpass_hz > BAND_HZ:
        return f"band: the high-pass corner {highpass_hz:g} Hz is above {BAND_HZ} Hz"
    return "" if calibrated else "gain: the source is not calibrated"


def st_deviation(wave: Wave, rr_s: float) -> float:
    """Deviation in mV at J + 80 ms, at J + 60 ms above 120/min, against the PR level."""
    after_s = _J_S + (0.06 if rr_s < 0.5 else 0.08)
    level = _mean(wave, -_PR_FROM_S, -_PR_TO_S)
    return _mean(wave, after_s - _HALF_S, after_s + _HALF_S) - level


class StRule:
    """`st`: the median deviation of 5 beats stayed at `st_mv` or more, up or down, for `st_s`.

    Only beats of class N count. `limits` give the size, `values` the deviation with its sign.
    """

    family = "st"
    needs = "good"

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._episode = Episode("st/1", "medium")
        self._last: deque[float] = deque(maxlen=_MEMORY)
        self._since_ns: int | None = None

    def start(self, at_ns: int) -> None:
        del at_ns
        self._last.clear()
        self._since_ns = None

    def beat(self, beat: HeartBeat) -> Iterator[Decision]:
        if beat.label != "N" or beat.rr_s is None or beat.wave is None:
            return
        self._last.append(st_deviation(beat.wave, beat.rr_s))
        deviation = median(self._last)
        if len(self._last) < _MEMORY or abs(deviation) < self._limits.st_mv:
            self._since_ns = None
            yield from self._episode.end(beat.at_ns, beat.at_ns)
            return
        self._since_ns = beat.at_ns if self._since_ns is None else self._since_ns
        seconds = (beat.at_ns - self._since_ns) / 1e9
        if self._episode.onset_ns is None and seconds >= self._limits.st_s:
            values = {"st_mv": deviation, "seconds": seconds}
            limits = {"st_mv": self._limits.st_mv, "seconds": self._limits.st_s}
            yield self._episode.begin(beat.at_ns, self._since_ns, values, limits)

    def until(self, at_ns: int) -> Iterator[Decision]:
        """Beats alone decide."""
        del at_ns
        yield from ()

    def stop(self, at_ns: int, reason: str) -> Iterator[Decision]:
        self._since_ns = None
        yield from self._episode.end(at_ns, at_ns, detail=reason)


def _mean(wave: Wave, start_s: float, stop_s: float) -> float:
    start, stop = round(start_s * wave.rate_hz), round(stop_s * wave.rate_hz)
    return float(np.mean(wave.data[wave.peak + start : wave.peak + stop + 1]))
