"""A causal QRS detector for a stream of one lead.

The decisions are those of the family of Pan and Tompkins (IEEE Trans Biomed Eng 32:230, 1985)
and Hamilton and Tompkins (IEEE Trans Biomed Eng 33:1157, 1986): peaks of a QRS energy signal
against a threshold between the running medians of beat and noise peaks, a refractory time, a
T-wave check and search-back. The energy signal is ours: the envelope of a complex Gabor filter
(Gabor, J IEE 93:429, 1946), which has linear phase and one maximum for a QRS of any shape.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING

import numpy as np

from .filters import Fir

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Reals = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class QrsSettings:
    """Times in seconds, amplitudes in mV of the envelope; found on the MIT-BIH database."""

    centre_hz: float = 15.0  # middle of the QRS band
    spread_s: float = 0.024  # standard deviation of the Gabor window
    refractory_s: float = 0.2  # two beats are never closer
    t_wave_s: float = 0.32  # a weaker peak this soon after a beat is its T wave
    t_wave_share: float = 0.4  # "weaker": below this share of the beat before
    threshold: float = 0.4  # between the noise level (0) and the signal level (1)
    search_back_rr: float = 1.5  # look back when this many mean intervals had no beat
    search_back_share: float = 0.5  # for peaks above this share of the threshold
    learn_s: float = 2.0  # the first levels come from this much signal
    relearn_s: float = 4.0  # so long without a beat, the levels are learned anew
    floor_mv: float = 0.06  # nothing below is a beat
    refine_s: float = 0.06  # the R peak lies this close to the middle of the energy
    memory: int = 12  # peaks that make a level


_DEFAULT = QrsSettings()


class QrsDetector:
    """R peaks of a stream; the same ones however the stream is cut.

    `delay_s` is the time from an R peak to the sample that decides on it, except for beats found
    by search-back and those of the first `learn_s` seconds.
    """

    def __init__(self, rate_hz: float, settings: QrsSettings = _DEFAULT) -> None:
        self._half = math.ceil(3.2 * settings.spread_s * rate_hz)
        time_s = np.arange(-self._half, self._half + 1) / rate_hz
        window = np.exp(-0.5 * (time_s / settings.spread_s) ** 2)
        even = np.cos(2 * math.pi * settings.centre_hz * time_s) * window
        even -= window * (even.sum() / window.sum())
        size = np.abs(even).sum() / 2
        self._even = Fir(even / size)
        self._odd = Fir(-np.sin(2 * math.pi * settings.centre_hz * time_s) * window / size)
        self._refine = round(settings.refine_s * rate_hz)
        self._judge = _Judge(rate_hz, settings)
        self.delay_s = self._half / rate_hz + settings.refractory_s
        self._keep = round(20 * rate_hz)
        self._band = np.empty(0)  # the even part, from sample `_first` on
        self._last = np.empty(0)  # the last two samples of the envelope
        self._first = 0
        self._count = 0  # samples of the envelope seen so far

    def feed(self, samples: Reals) -> list[int]:
        """Take (samples,) in mV; give the indices, from the stream's start, of new R peaks."""
        even = self._even(samples)
        envelope = np.hypot(even, self._odd(samples))
        self._band = np.concatenate([self._band, even])
        joined = np.concatenate([self._last, envelope])
        start = self._count - len(self._last)
        self._count += len(envelope)
        inner = joined[1:-1]
        tops = np.flatnonzero((inner > joined[:-2]) & (inner >= joined[2:])) + 1
        self._last = joined[-2:]
        heights = joined[tops].tolist()
        found: list[int] = []
        for top, height in zip(tops.tolist(), heights, strict=True):
            found += self._judge.peak(start + top, height)
        found += self._judge.until(self._count - 1)
        return self._refined(found)

    def flush(self) -> list[int]:
        """The R peaks that still waited for a decision, at the end of the stream."""
        return self._refined(self._judge.flush())

    def _refined(self, middles: list[int]) -> list[int]:
        peaks = []
        for middle in middles:
            low = max(middle - self._refine - self._first, 0)
            around = np.abs(self._band[low : middle + self._refine + 1 - self._first])
            peaks.append(max(self._first + low + int(around.argmax()) - self._half, 0))
        if len(self._band) > 2 * self._keep:
            self._first += len(self._band) - self._keep
            self._band = self._band[-self._keep :]
        return peaks


class _Judge:
    """Sorts peaks of the envelope into beats and others; knows time by their indices only."""

    def __init__(self, rate_hz: float, settings: QrsSettings) -> None:
        self._set = settings
        self._refractory = round(settings.refractory_s * rate_hz)
        self._t_wave = round(settings.t_wave_s * rate_hz)
        self._learn = round(settings.learn_s * rate_hz)
        self._relearn = round(settings.relearn_s * rate_hz)
        self._candidate: tuple[int, float] | None = None
        self._previous: tuple[int, float] | None = None  # the last one that was judged
        self._early: list[tuple[int, float]] | None = []
        self._missed: deque[tuple[int, float]] = deque(maxlen=64)  # noise since the last beat
        self._beat: tuple[int, float] | None = None
        self._signal: deque[float] = deque(maxlen=settings.memory)
        self._noise: deque[float] = deque(maxlen=settings.memory)
        self._intervals: deque[int] = deque(maxlen=settings.memory)

    def peak(self, index: int, height: float) -> list[int]:
        """Take the next maximum; give the beats that are certain now."""
        found = self.until(index)
        before = self._candidate or self._previous
        shadowed = before and index - before[0] < self._refractory and height <= before[1]
        if not shadowed:
            self._candidate = (index, height)
        return found

    def until(self, index: int) -> list[int]:
        """Time passes to `index`; give the beats that are certain now."""
        candidate = self._candidate
        if candidate is None or index - candidate[0] < self._refractory:
            return []
        self._candidate, self._previous = None, candidate
        return list(self._confirm(candidate))

    def flush(self) -> list[int]:
        found = self.until(self._candidate[0] + self._refractory) if self._candidate else []
        return found + list(self._learned())

    def _confirm(self, peak: tuple[int, float]) -> Iterator[int]:
        if self._early is None:
            yield from self._decide(peak)
            return
        self._early.append(peak)
        if peak[0] >= self._learn:
            yield from self._learned()

    def _learned(self) -> Iterator[int]:
        early, self._early = self._early, None
        if not early:
            return
        heights = sorted(height for _, height in early)
        # The larger maxima of each second are beats; the lower half of all peaks is noise.
        seconds = max(1, round(2 * (early[-1][0] - early[0][0]) / self._learn))
        self._signal.append(median(heights[-max(2, seconds) :]))
        self._noise.append(median(heights[: (len(heights) + 1) // 2]) if len(heights) > 3 else 0)
        for peak in early:
            yield from self._decide(peak)

    def _relearned(self, now: int) -> Iterator[int]:
        """After an artefact that set the levels too high: regular peaks that stand out."""
        recent = [p for p in self._missed if now - p[0] < self._relearn]
        if len(recent) < 4 or recent[0][0] > now - self._relearn // 2:
            return
        heights = sorted(height for _, height in recent)
        strong, weak = median(heights[-3:]), median(heights[: len(heights) // 2])
        if strong < max(3 * weak, 2 * self._set.floor_mv):
            return
        self._signal.clear()
        self._noise.clear()
        self._intervals.clear()
        self._missed.clear()
        self._beat = None
        self._signal.append(strong)
        self._noise.append(weak)
        for peak in recent:
            yield from self._decide(peak)

    def _threshold(self) -> float:
        noise, signal = median(self._noise or [0.0]), median(self._signal or [0.0])
        return max(noise + self._set.threshold * (signal - noise), self._set.floor_mv)

    def _decide(self, peak: tuple[int, float]) -> Iterator[int]:
        yield from self._search_back(peak[0])
        if peak[1] > self._threshold() and not self._is_t_wave(peak):
            yield self._accept(peak)
        else:
            self._noise.append(peak[1])
            self._missed.append(peak)
            if self._beat and peak[0] - self._beat[0] > self._relearn:
                yield from self._relearned(peak[0])

    def _is_t_wave(self, peak: tuple[int, float]) -> bool:
        if self._beat is None or peak[0] - self._beat[0] > self._t_wave:
            return False
        return peak[1] < self._set.t_wave_share * self._beat[1]

    def _search_back(self, now: int) -> Iterator[int]:
        while self._beat and self._intervals:
            if now - self._beat[0] <= self._set.search_back_rr * fmean(self._intervals):
                return
            least = max(self._set.search_back_share * self._threshold(), self._set.floor_mv)
            after = self._beat[0] + self._t_wave
            likely = [p for p in self._missed if p[0] > after and p[1] > least]
            if not likely:
                return
            yield self._accept(max(likely, key=lambda p: p[1]))

    def _accept(self, peak: tuple[int, float]) -> int:
        if self._beat:
            self._intervals.append(peak[0] - self._beat[0])
        usual = median(self._signal or [peak[1]])
        self._signal.append(min(peak[1], 2 * usual))
        self._beat = peak
        later = [p for p in self._missed if p[0] > peak[0]]
        self._missed.clear()
        self._missed.extend(later)
        return peak[0]
