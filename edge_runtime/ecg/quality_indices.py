"""Signal quality indices of a window of one lead: what a score of quality is made of.

All are computed from one Fourier transform of the window, on a grid of 125 Hz, so that they mean
the same at every rate. Names in brackets are those of the literature (Clifford, Behar, Li, Rezek,
Physiol Meas 33:1419, 2012; Li, Mark, Clifford, Physiol Meas 23:15, 2008).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .matching import match_beats
from .runs import FlagRuns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .quality_model import QualitySettings

    Reals = NDArray[np.float64]
    Places = NDArray[np.int64]

GRID_HZ = 125.0
TOLERANCE_S = 0.1  # two detectors mean the same beat
_AROUND = np.r_[-31:-7, 11:50]  # of an R peak, on the grid: what is not the QRS
EDGE_S = 0.5  # no beat is compared this close to an end of the window: one may be undecided


class Indices(NamedTuple):
    """What a score is made of; all of them rise with quality."""

    agreement: float  # [bSQI] of two detectors: 2 * both / (first + second)
    baseline: float  # [basSQI] 1 - power in 0..1 Hz / in 0..40 Hz
    likeness: float  # the usual correlation of a beat with the third likest of the others
    contrast: float  # log10 of the usual QRS deflection / root mean square between beats
    steadiness: float  # smallest / largest QRS deflection, of the inner nine tenths
    spacing: float  # two intervals around a beat / two usual ones; about 0.5 when it is false
    snr_db: float  # the QRS over what lies between beats and does not repeat


class Window(NamedTuple):
    """What was measured of a window."""

    indices: Indices | None
    baseline: float
    tone: float  # share of the power in 1..30 Hz that lies within 0.6 Hz of one, 2.2 to 8 Hz
    hum: float  # power of the mains / power in 1..40 Hz
    clipped: float  # share of samples on plateaus at the largest or the smallest value
    quiet_s: float  # longest time without a beat and without a deflection


def measure(samples: Reals, beats: Places, rate_hz: float, settings: QualitySettings) -> Window:
    """Measure (samples,) in mV with R peaks at the samples `beats`."""
    spectrum = Spectrum(samples, rate_hz)
    qrs, shape = spectrum.band(5, 30), spectrum.band(1, 35)
    places = np.minimum(np.rint(beats * (GRID_HZ / rate_hz)).astype(np.int64), len(qrs) - 1)
    far = _far_from(places, len(qrs))
    baseline = 1 - spectrum.power(0, 1) / spectrum.power(0, 40)
    edge = EDGE_S * GRID_HZ
    inner = places[(places >= edge) & (places < len(qrs) - edge)]
    indices = None
    if len(inner) >= 2:
        usual, steadiness = _heights(qrs, inner)
        noise = float(np.sqrt(np.mean(qrs[far] ** 2))) if far.any() else usual
        indices = Indices(
            agreement=_agreement(inner, second_opinion(qrs), len(qrs)),
            baseline=baseline,
            likeness=_likeness(shape, inner),
            contrast=math.log10(usual / max(noise, 1e-6)),
            steadiness=steadiness,
            spacing=spacing(inner),
            snr_db=snr_db(spectrum.band(0.5, 40), places, inner),
        )
    return Window(
        indices=indices,
        baseline=baseline,
        tone=spectrum.tone(),
        hum=spectrum.hum(settings.mains_hz),
        clipped=clipped_share(samples, rate_hz),
        quiet_s=FlagRuns()(far & (np.abs(qrs) < settings.silence_mv)) / GRID_HZ,
    )


class Spectrum:
    """The Fourier transform of a window, less the line through its ends."""

    def __init__(self, samples: Reals, rate_hz: float) -> None:
        count = len(samples)
        level = samples - np.linspace(samples[0], samples[-1], count)
        self._bins = np.fft.rfft(level) / count
        self._hz: Reals = np.arange(len(self._bins), dtype=np.float64) * (rate_hz / count)
        self._grid = round(count / rate_hz * GRID_HZ)
        smooth = self._bins.copy()  # as if weighted by Hann's window
        smooth[1:-1] -= (self._bins[:-2] + self._bins[2:]) / 2
        self._power = np.abs(smooth) ** 2

    def power(self, low_hz: float, high_hz: float) -> float:
        """Power of a band, in mV^2 up to a factor; never 0."""
        inside = (self._hz >= low_hz) & (self._hz <= high_hz)
        return float(self._power[inside].sum()) + 1e-12

    def band(self, low_hz: float, high_hz: float) -> Reals:
        """The signal in a band, without delay, on the grid of 125 Hz."""
        bins = np.zeros(self._grid // 2 + 1, np.complex128)
        kept = min(len(bins), len(self._bins))
        gain = _edge(self._hz[:kept], low_hz) * (1 - _edge(self._hz[:kept], high_hz))
        bins[:kept] = self._bins[:kept] * gain
        return np.asarray(np.fft.irfft(bins, self._grid) * self._grid)

    def tone(self) -> float:
        """Share of the power in 1 to 30 Hz that lies within 0.6 Hz of one, 2.2 to 8 Hz."""
        step = self._hz[1]
        width = round(1.2 / step)
        start, stop, end = (round(hz / step) for hz in (2.2 - 0.6, 8 - 0.6, 30))
        total = np.cumsum(self._power[: end + 1])
        inside = total[start + width : stop + width] - total[start:stop]
        return float(inside.max() / (total[-1] - total[round(1 / step)] + 1e-12))

    def hum(self, mains_hz: int) -> float:
        """Power of the mains, 50 and 60 Hz unless one is named, over that in 1 to 40 Hz."""
        powers = [self.power(hz - 1, hz + 1) for hz in (50, 60) if mains_hz in (0, hz)]
        return max(powers) / self.power(1, 40)


def second_opinion(qrs: Reals) -> Places:
    """Beats on the grid, by the length of the curve, with the whole window in view.

    After the length transform (Zong, Moody, Jiang, Computers in Cardiology 30:737, 2003).
    """
    width, apart = round(0.13 * GRID_HZ), round(0.25 * GRID_HZ)
    total = np.cumsum(np.concatenate([np.zeros(width + 1), np.abs(np.diff(qrs))]))
    length = np.roll(total[width:] - total[:-width], -(width // 2))
    padded = np.pad(length, apart)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * apart + 1).max(axis=1)
    seconds = length[: len(length) // 125 * 125].reshape(-1, 125).max(axis=1)
    floor = np.median(length)
    level = max(0.4 * (np.quantile(seconds, 0.6) - floor), 0.12 * (seconds.max() - floor))
    tops = np.flatnonzero((length == around) & (length > floor + level))
    return tops[np.diff(tops, prepend=-apart) > apart // 2].astype(np.int64)


def _agreement(first: Places, second: Places, count: int) -> float:
    edge = EDGE_S * GRID_HZ
    inner = second[(second >= edge) & (second < count - edge)]
    both = len(match_beats(first.tolist(), inner.tolist(), round(TOLERANCE_S * GRID_HZ)))
    return 2 * both / (len(first) + len(inner))


def clipped_share(samples: Reals, rate_hz: float) -> float:
    """Share of samples on plateaus of 20 ms at the largest or the smallest value of the window."""
    share = 0.0
    for extreme in (samples.max(), samples.min()):
        at = np.flatnonzero(samples == extreme)
        runs = np.split(at, np.flatnonzero(np.diff(at) > 1) + 1)
        plateaus = [len(run) for run in runs if len(run) >= max(3, round(0.02 * rate_hz))]
        share += sum(plateaus) / len(samples) if len(plateaus) > 1 else 0.0
    return share


def _far_from(beats: Places, count: int) -> NDArray[np.bool_]:
    """Which of `count` samples are more than 0.12 s away from every beat."""
    far = np.ones(count, np.bool_)
    for beat in beats.tolist():
        far[max(beat - 15, 0) : beat + 16] = False
    return far


def _heights(qrs: Reals, beats: Places) -> tuple[float, float]:
    """The usual deflection within 64 ms of a beat, and the smallest over the largest."""
    around = np.clip(beats[:, None] + np.arange(-8, 9), 0, len(qrs) - 1)
    heights = np.abs(qrs[around]).max(axis=1)
    low, usual, high = np.quantile(heights, (0.05, 0.5, 0.95)).tolist()
    return max(usual, 1e-6), low / max(high, 1e-6)


def _likeness(shape: Reals, beats: Places) -> float:
    """How like the beats are to the third likest of the others: the median.

    The third, and not a template of all, so that beats of two kinds do not count as noise.
    """
    half = 15
    inside = beats[(beats >= half) & (beats < len(shape) - half)]
    cut = shape[inside[:, None] + np.arange(-half, half + 1)]
    cut = cut - cut.mean(axis=1, keepdims=True)
    cut /= np.maximum(np.sqrt((cut**2).sum(axis=1, keepdims=True)), 1e-9)
    alike = np.sort(cut @ cut.T, axis=1)  # the largest is that with itself
    return float(np.median(alike[:, max(0, len(inside) - 4)]))


def spacing(beats: Places) -> float:
    """The two intervals around a beat over two usual ones: the least, at most 1.

    It counts where the intervals beside the two are usual, so that a beat that came between two
    is told from the beats of a run and from a premature one with its pause.
    """
    intervals = np.diff(beats).astype(np.float64)
    least = 1.0
    for n in range(len(intervals) - 1):
        others = np.delete(intervals, [n, n + 1])
        usual = float(np.median(others)) if len(others) else float(intervals.max())
        beside = intervals[[k for k in (n - 1, n + 2) if 0 <= k < len(intervals)]]
        if np.all((beside > 0.75 * usual) & (beside < 1.3 * usual)):
            least = min(least, float(intervals[n] + intervals[n + 1]) / (2 * usual))
    return least


def snr_db(signal: Reals, beats: Places, inner: Places) -> float:
    """The power of the QRS, as `nst` has it, over that of the noise around the beats, in dB.

    Noise is half of the mean squared difference to the second likest surroundings of another
    beat, 0.25 s before to 0.4 s after the R peak without any QRS, less their means; the median of
    the beats. So P and T waves are no noise, and beats of two kinds are none.
    """
    quiet = np.ones(len(signal))
    for beat in beats.tolist():
        quiet[max(beat - 7, 0) : beat + 11] = 0
    height = float(np.median(np.ptp(signal[inner[:, None] + np.arange(-6, 7)], axis=1)))
    counts = quiet[inner[:, None] + _AROUND]
    around = signal[inner[:, None] + _AROUND] * counts
    around -= counts * (around.sum(axis=1) / np.maximum(counts.sum(axis=1), 1))[:, None]
    shared, power = counts @ counts.T, around**2 @ counts.T
    unlike = (power + power.T - 2 * around @ around.T) / (2 * np.maximum(shared, 1))
    unlike[shared < 15] = np.inf  # 0.12 s
    second = np.sort(unlike, axis=1)[:, min(2, len(inner) - 1)]
    known = second[np.isfinite(second)]
    noise = float(np.median(known)) if len(known) else height**2
    return 10 * math.log10(max(height**2 / 8, 1e-12) / max(noise, 1e-12))


def _edge(hz: Reals, corner_hz: float) -> Reals:
    """0 below the corner, 1 above, a raised cosine of a fifth of the corner's width between."""
    if corner_hz <= 0:
        return np.ones_like(hz)
    way = np.clip((hz - 0.9 * corner_hz) / (0.2 * corner_hz), 0, 1)
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * way))
