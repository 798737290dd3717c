"""A causal QRS detector for a stream of one lead.

The decisions are those of the family of Pan and Tompkins (IEEE Trans Biomed Eng 32:230, 1985)
and Hamilton and Tompkins (IEEE Trans Biomed Eng 33:1157, 1986): peaks of a QRS energy signal
against a threshold between the running medians of beat and noise peaks, a refractory time, a
T-wave check and search-back. The energy signal is ours: the envelope of a complex Gabor filter
(Gabor, J IEE 93:429, 1946), which has linear phase and one maximum for a QRS of any shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .filters import Fir
from .qrs_judge import Judge, Verdict
from .qrs_levels import NEONATE, QrsSettings
from .qrs_peak import Look, PeakLens

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Reals = NDArray[np.float64]

__all__ = ["NEONATE", "QrsDetector", "QrsSettings", "RPeak"]

_DEFAULT = QrsSettings()
_THIN_S = 0.02  # one sample of the envelope so often makes the background
_BACKGROUND_S = 4.0


class RPeak(NamedTuple):
    """An R peak. Positions count samples from the stream's start."""

    position: float  # between the samples, by interpolation
    decided: int  # the sample with which it was certain
    late: bool  # found by looking back, or while the levels were being learned

    @property
    def sample(self) -> int:
        """The sample next to it."""
        return round(self.position)


class QrsDetector:
    """R peaks of a stream; the same ones however the stream is cut.

    They come in the order in which they are decided; one found by looking back can stand before
    one that was given already. `delay_s` is the longest time from the middle of a QRS complex to
    the sample that decides on it, except for those that are `late`; most take `clear_delay_s`.
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
        self._lens = PeakLens(rate_hz)
        if settings.wait_s < (self._lens.reach - self._half) / rate_hz:
            raise ValueError("wait_s: the R peak is not whole so soon after the energy's maximum")
        self._judge = Judge(rate_hz, settings, self._look, self._background)
        self.delay_s = self._half / rate_hz + settings.unclear_s
        self.clear_delay_s = self._half / rate_hz + settings.wait_s
        self._thin = max(1, round(_THIN_S * rate_hz))
        self._keep = 2 * self._lens.reach + self._half + round(settings.unclear_s * rate_hz)
        self._held = np.empty(0)  # the signal, from sample `_first` on
        self._first = 0
        self._calm: list[float] = []  # every `_thin`th sample of the envelope,
        self._calm_first = 0  # from this one on
        self._last = np.empty(0)  # the last two samples of the envelope
        self._count = 0  # samples seen so far

    def feed(self, samples: Reals) -> list[int]:
        """`find`, to the whole sample."""
        return [peak.sample for peak in self.find(samples)]

    def flush(self) -> list[int]:
        """`finish`, to the whole sample."""
        return [peak.sample for peak in self.finish()]

    def find(self, samples: Reals) -> list[RPeak]:
        """Take (samples,) in mV; give the R peaks that are certain now."""
        envelope = np.hypot(self._even(samples), self._odd(samples))
        self._hold(samples, envelope)
        joined = np.concatenate([self._last, envelope])
        start = self._count - len(self._last)
        self._count += len(envelope)
        inner = joined[1:-1]
        tops = np.flatnonzero((inner > joined[:-2]) & (inner >= joined[2:])) + 1
        self._last = joined[-2:]
        found: list[RPeak] = []
        for top, height in zip((tops + start).tolist(), joined[tops].tolist(), strict=True):
            if top >= 2 * self._half:  # before it, the filter sees what was before the stream
                found += self._given(self._judge.peak(top, height))
        found += self._given(self._judge.until(self._count - 1))
        return found

    def finish(self) -> list[RPeak]:
        """The R peaks that still waited for a decision, at the end of the stream."""
        return self._given(self._judge.flush())

    def _given(self, verdicts: Iterable[Verdict]) -> list[RPeak]:
        return [RPeak(beat.look.position, beat.decided, beat.late) for beat in verdicts]

    def _hold(self, samples: Reals, envelope: Reals) -> None:
        surplus = len(self._held) - self._keep
        if surplus > 0:
            self._held = self._held[surplus:]
            self._first += surplus
        self._held = np.concatenate([self._held, samples])
        surplus = len(self._calm) - 2 * round(_BACKGROUND_S / _THIN_S)
        if surplus > 0:
            del self._calm[:surplus]
            self._calm_first += surplus
        self._calm += envelope[-self._count % self._thin :: self._thin].tolist()

    def _look(self, index: int) -> Look:
        """The signal around a maximum of the envelope; it stands still outside the stream."""
        middle = index - self._half
        low, high = middle - self._lens.reach - self._first, middle + self._lens.reach - self._first
        around = self._held[max(low, 0) : high + 1]
        missing = max(-low, 0), max(high + 1 - len(self._held), 0)
        if any(missing):
            around = np.pad(around, missing, mode="edge")
        return self._lens.look(around, middle)

    def _background(self, index: int) -> float:
        """The median of the envelope in the seconds before `index`."""
        end = index // self._thin + 1 - self._calm_first
        return float(np.median(self._calm[max(0, end - round(_BACKGROUND_S / _THIN_S)) : end]))
