"""An artificial ECG with known beats, after a published dynamical model.

The waves P, Q, R, S and T are Gaussians on a limit cycle whose turns last as long as the heart's
intervals, which follow a low (0.1 Hz) and a respiratory (0.25 Hz) rhythm: McSharry, Clifford,
Tarassenko, Smith, IEEE Trans Biomed Eng 50:289 (2003). Places are given in seconds from the R
peak; that of the T wave goes with the square root of the interval (Bazett 1920). Premature beats
follow textbook electrocardiography: a supraventricular one is early, with another P wave and the
same QRS, and resets the sinus node; a ventricular one is early, wide, without P wave and with a
discordant T wave, and a full compensatory pause follows.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Reals = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Wave:
    """A Gaussian: height in mV, place in seconds from the R peak, standard deviation in seconds.

    `late` moves the place with the square root of the interval, in seconds.
    """

    height_mv: float
    at_s: float
    width_s: float
    late: bool = False


_P = Wave(0.13, -0.165, 0.022)
_QRS = (Wave(-0.10, -0.028, 0.008), Wave(1.15, 0.0, 0.0105), Wave(-0.22, 0.027, 0.009))
_T = (Wave(0.18, 0.25, 0.050, late=True), Wave(0.16, 0.30, 0.032, late=True))
WAVES: dict[str, tuple[Wave, ...]] = {
    "N": (_P, *_QRS, *_T),
    "S": (Wave(-0.07, -0.125, 0.016), *_QRS, *_T),
    "V": (
        Wave(-0.20, -0.070, 0.020),
        Wave(1.55, 0.0, 0.032),
        Wave(-0.55, 0.085, 0.030),
        Wave(-0.42, 0.27, 0.055, late=True),
    ),
}


@dataclass(frozen=True, slots=True)
class Noise:
    """Disturbances in mV: amplitude of baseline wander and of mains, deviation of muscle noise."""

    baseline_mv: float = 0.10
    muscle_mv: float = 0.015
    mains_mv: float = 0.0
    mains_hz: float = 50.0


@dataclass(frozen=True, slots=True)
class SyntheticBeat:
    """A beat as it was made: class N, S or V, R peak, interval before it, size against usual."""

    label: str
    r_s: float
    rr_s: float
    size: float


@dataclass(frozen=True, slots=True)
class SyntheticEcg:
    """One lead of `seconds` at `rate_hz`; the same for the same arguments.

    `premature` is the share of beats that are early, `ventricular` the share of those that
    come from a ventricle.
    """

    rate_hz: float
    seconds: float
    seed: int = 0
    mean_bpm: float = 70.0
    premature: float = 0.12
    ventricular: float = 0.5
    noise: Noise = field(default_factory=Noise)

    @property
    def count(self) -> int:
        """Samples in all."""
        return round(self.seconds * self.rate_hz)

    def beats(self) -> tuple[SyntheticBeat, ...]:
        """Every beat whose R peak lies in the signal."""
        random = np.random.default_rng([self.seed, 1])
        low, high = random.uniform(0, 2 * math.pi, 2)
        made: list[SyntheticBeat] = []
        at_s, label, pause_s = 0.5, "N", 0.0
        while True:
            rhythm = 0.020 * math.sin(2 * math.pi * 0.10 * at_s + low)
            rhythm += 0.025 * math.sin(2 * math.pi * 0.25 * at_s + high)
            sinus_s = 60 / self.mean_bpm * (1 + rhythm + 0.006 * random.standard_normal())
            label = self._label(random, label if len(made) > 4 else "S")
            rr_s = pause_s or sinus_s
            if label != "N":
                rr_s = sinus_s * random.uniform(0.60, 0.74)
            pause_s = 2 * sinus_s - rr_s if label == "V" else 0.0
            at_s += rr_s
            if at_s * self.rate_hz >= self.count - 1:
                return tuple(made)
            made.append(SyntheticBeat(label, at_s, rr_s, 1 + 0.03 * random.standard_normal()))

    def _label(self, random: np.random.Generator, before: str) -> str:
        early, ventricular = random.uniform(size=2)
        # No two in a row: the share among the beats that may be early is a little higher.
        share = self.premature / max(1 - self.premature, 0.5)
        if before != "N" or early >= share:
            return "N"
        return "V" if ventricular < self.ventricular else "S"


class Player:
    """Computes a synthetic ECG piece by piece; the pieces do not depend on how it is cut."""

    def __init__(self, ecg: SyntheticEcg) -> None:
        self.ecg = ecg
        self.beats = ecg.beats()
        self._times = [beat.r_s for beat in self.beats]
        self._random = np.random.default_rng([ecg.seed, 2])
        self._phases = np.random.default_rng([ecg.seed, 3]).uniform(0, 2 * math.pi, 3)
        self._at = 0

    def next(self, samples: int) -> Reals:
        """The next (samples,) in mV; fewer at the end, none after it."""
        stop = min(self._at + samples, self.ecg.count)
        time_s = np.arange(self._at, stop) / self.ecg.rate_hz
        self._at = stop
        if not len(time_s):
            return time_s
        low = bisect.bisect_left(self._times, time_s[0] - 1.0)
        high = bisect.bisect_right(self._times, time_s[-1] + 1.0)
        signal = self._disturbance(time_s)
        for beat in self.beats[low:high]:
            signal += _beat(time_s, beat)
        return signal

    def _disturbance(self, time_s: Reals) -> Reals:
        noise, turn = self.ecg.noise, 2 * math.pi
        breath, drift, mains = self._phases
        signal = noise.muscle_mv * self._random.standard_normal(len(time_s))
        signal += 0.6 * noise.baseline_mv * np.sin(turn * 0.25 * time_s + breath)
        signal += 0.4 * noise.baseline_mv * np.sin(turn * 0.05 * time_s + drift)
        return np.asarray(
            signal + noise.mains_mv * np.sin(turn * noise.mains_hz * time_s + mains), np.float64
        )


def _beat(time_s: Reals, beat: SyntheticBeat) -> Reals:
    stretch = math.sqrt(min(max(beat.rr_s, 0.5), 1.5))
    signal = np.zeros(len(time_s))
    for wave in WAVES[beat.label]:
        place = beat.r_s + wave.at_s * (stretch if wave.late else 1.0)
        away = (time_s - place) / wave.width_s
        near = np.abs(away) < 6
        signal[near] += beat.size * wave.height_mv * np.exp(-0.5 * away[near] ** 2)
    return signal
