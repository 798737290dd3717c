"""Noise for benchmarks/quality.py: recorded, and a stand-in for the motion of electrodes.

It is scaled as the program `nst` of the WFDB Software Package does it (bemoody/wfdb, app/nst.c
and app/sigamp.c): S is the squared peak-to-peak height of the QRS within 50 ms of the annotation
over 8, N the square of the noise's root mean square over windows of 1 s less their means; both are
means over the first 300, without the largest and the smallest twentieth. So 0 dB means about 7 dB
more muscle noise than a ratio to the noise's whole power would.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]
Pulse = Callable[[Reals], Reals]

RATE_HZ = 360.0
_PARTS = {  # shifts, transients, baseline wander, muscle noise: root mean squares
    "motion": (1.0, 0.6, 0.5, 0.2),
    "shifts": (1.0, 0.3, 1.0, 0.1),
}
_PER_S = 1.5  # shifts, and as many transients


def qrs_power(samples: Reals, beats: NDArray[np.int64], rate_hz: float) -> float:
    """S of (samples,) with R peaks at the samples `beats`."""
    half = round(0.05 * rate_hz)
    inside = [b for b in beats.tolist() if half <= b < len(samples) - half]
    heights = [float(np.ptp(samples[b - half : b + half + 1])) for b in inside[:300]]
    return _trimmed(np.array(heights)) ** 2 / 8


def noise(
    recorded: Mapping[str, Reals],
    kind: str,
    count: int,
    random: np.random.Generator,
    *,
    fit: bool,
) -> Reals:
    """(count,) of N = 1 at 360 Hz; `recorded` holds "ma" and "bw", (samples, leads).

    The first half of a recording is for the fit, the second for the tests.
    """
    if kind in _PARTS:
        return _motion(recorded, kind, count, random, fit=fit)
    names = kind.split("+")
    total = sum((_piece(recorded[n], count, random, fit=fit) for n in names), np.zeros(count))
    return (total - total.mean()) / math.sqrt(len(names))


def _motion(
    recorded: Mapping[str, Reals],
    kind: str,
    count: int,
    random: np.random.Generator,
    *,
    fit: bool,
) -> Reals:
    """A stand-in for record `em` of the NSTDB, after what its page says of that noise.

    It can pass for ectopic beats, and simple filters do not take it away (Moody, Muldrow, Mark,
    Computers in Cardiology 11:381, 1984): abrupt shifts that fade, transients as short as a QRS,
    wander and muscle noise, by turns stronger and weaker. Every figure in it is our choice.
    """
    seconds = np.arange(count) / RATE_HZ / 3
    strength = np.exp(0.5 * random.standard_normal(int(seconds[-1]) + 2))
    activity = np.interp(seconds, np.arange(len(strength)), strength)
    parts = (
        _unit(_train(activity, random, _shift)),
        _unit(_train(activity, random, _transient)),
        *(_piece(recorded[name], count, random, fit=fit) for name in ("bw", "ma")),
    )
    total = sum((w * part for w, part in zip(_PARTS[kind], parts, strict=True)), np.zeros(count))
    return _unit(total - total.mean())


def _train(
    activity: Reals, random: np.random.Generator, draw: Callable[[np.random.Generator], Pulse]
) -> Reals:
    """Pulses at random times, of random heights times the activity."""
    signal = np.zeros(len(activity))
    time_s = np.arange(len(activity)) / RATE_HZ
    at_s = random.exponential(1 / _PER_S)
    while at_s < time_s[-1]:
        height = random.standard_t(4) * activity[int(at_s * RATE_HZ)]
        signal += height * draw(random)(time_s - at_s)
        at_s += random.exponential(1 / _PER_S)
    return signal


def _shift(random: np.random.Generator) -> Pulse:
    """A rise of 20 to 150 ms that fades with a time constant of 0.1 to 2 s."""
    rise_s = random.uniform(0.02, 0.15)
    fade_s = math.exp(random.uniform(math.log(0.1), math.log(2.0)))

    def pulse(after_s: Reals) -> Reals:
        after_s = np.maximum(after_s, 0)
        way = np.minimum(after_s / rise_s, 1)
        return np.asarray((0.5 - 0.5 * np.cos(np.pi * way)) * np.exp(-after_s / fade_s))

    return pulse


def _transient(random: np.random.Generator) -> Pulse:
    """One, two or three waves of a bell of 12 to 50 ms (its standard deviation)."""
    width_s, waves = random.uniform(0.012, 0.05), random.integers(3)

    def pulse(after_s: Reals) -> Reals:
        away = after_s / width_s
        shape = (1.0, 1.65 * away, 1 - away**2)[waves]
        return np.asarray(np.exp(-0.5 * away**2) * shape)

    return pulse


def _piece(recorded: Reals, count: int, random: np.random.Generator, *, fit: bool) -> Reals:
    half = len(recorded) // 2
    first = 0 if fit else half
    column = recorded[first : first + half, int(random.integers(recorded.shape[1]))]
    start = int(random.integers(0, half - count))
    return _unit(column)[start : start + count]


def _unit(samples: Reals) -> Reals:
    """Scaled to N = 1, as `sigamp -r` measures it."""
    second = round(RATE_HZ)
    seconds = samples[: len(samples) // second * second].reshape(-1, second)[:300]
    sizes = np.sqrt(np.mean((seconds - seconds.mean(axis=1, keepdims=True)) ** 2, axis=1))
    return samples / _trimmed(sizes)


def _trimmed(values: Reals) -> float:
    cut = len(values) // 20
    return float(np.sort(values)[cut : len(values) - cut].mean())
