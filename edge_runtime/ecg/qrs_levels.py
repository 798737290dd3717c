"""The running levels of beats and noise, from which a QRS detector makes its threshold."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median
from typing import NamedTuple

from .qrs_peak import Look


@dataclass(frozen=True, slots=True)
class QrsSettings:
    """Times in seconds, amplitudes in mV of the envelope; docs/ecg.md says how they were found."""

    centre_hz: float = 15.0  # middle of the QRS band
    spread_s: float = 0.024  # standard deviation of the Gabor window
    refractory_s: float = 0.2  # two beats are never closer
    wait_s: float = 0.1  # a clear peak is decided on so long after it,
    clear: float = 0.6  # "clear": above this share of the way from noise to signal level
    unclear_s: float = 0.235  # any other waits so long for a higher one: it may be a P wave
    doubt_s: float = 60.0  # nothing is clear for so long after a clear peak was followed by the QRS
    t_wave_s: float = 0.32  # a peak this soon after a beat may be its T wave:
    t_wave_share: float = 0.4  # when below this share of the beat before,
    blunt_share: float = 0.85  # or below this one, and
    blunt: float = 0.6  # its curvature is below this share of the beat's
    threshold: float = 0.4  # between the noise level (0) and the signal level (1)
    search_back_rr: float = 1.5  # look back when this many mean intervals had no beat
    search_back_share: float = 0.5  # for peaks above this share of the threshold
    learn_s: float = 2.0  # the first levels come from this much signal
    relearn_s: float = 4.0  # so long without a beat, the levels are learned anew
    floor_mv: float = 0.105  # nothing below is a beat
    memory: int = 12  # peaks that make a level
    contrast: float = 3.0  # a signal level below this many backgrounds, and
    unsteady: float = 0.05  # intervals that change by this share: noise, no beats


# For complexes of 40 to 80 ms at up to 300 beats a minute.
NEONATE = QrsSettings(refractory_s=0.14, wait_s=0.09, unclear_s=0.14, t_wave_s=0.2)


class Peak(NamedTuple):
    """A maximum of the QRS energy."""

    place: int  # sample of the envelope
    height: float  # mV
    look: Look


class Levels:
    """Medians of the last peaks that were beats, and of those that were not."""

    def __init__(self, settings: QrsSettings) -> None:
        self._set = settings
        self._signal: deque[float] = deque(maxlen=settings.memory)
        self._noise: deque[float] = deque(maxlen=settings.memory)
        self._intervals: deque[float] = deque(maxlen=settings.memory)

    def learn(self, signal: float, noise: float) -> None:
        """Start anew from these levels."""
        for values in (self._signal, self._noise, self._intervals):
            values.clear()
        self._signal.append(signal)
        self._noise.append(noise)

    def beat(self, height: float, interval: float | None) -> None:
        """A beat; an artefact counts as twice the usual at most."""
        self._add(height)
        if interval is not None:
            self._intervals.append(interval)

    def corrected(self, height: float) -> None:
        """The last beat's true peak was this one."""
        self._signal.pop()
        self._add(height)

    def _add(self, height: float) -> None:
        self._signal.append(min(height, 2 * median(self._signal)) if self._signal else height)

    def noise(self, height: float) -> None:
        """A peak that was no beat."""
        self._noise.append(height)

    def at(self, share: float) -> float:
        """The height at `share` of the way from the noise level to the signal level, or floor."""
        noise = median(self._noise) if self._noise else 0.0
        signal = median(self._signal) if self._signal else 0.0
        return max(noise + share * (signal - noise), self._set.floor_mv)

    @property
    def mean_interval(self) -> float | None:
        """Samples; None before there is one."""
        return fmean(self._intervals) if self._intervals else None

    def is_noise(self, background: float) -> bool:
        """Whether the "beats" are peaks of noise: low above the background, and at no rhythm.

        A ventricular tachycardia is as low, and steady.
        """
        if median(self._signal) >= self._set.contrast * background:
            return False
        if len(self._intervals) < 4:  # too few to know
            return True
        changes = [abs(after - before) for before, after in pairwise(self._intervals)]
        return median(changes) > self._set.unsteady * median(self._intervals)
