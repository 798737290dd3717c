"""Causal filters over streams: second-order sections and finite impulse responses.

Both keep their state between calls and compute each sample by the same operations in the same
order wherever the stream is cut, so that the output does not depend on the chunk size by a bit.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Reals = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Biquad:
    """A second-order section: (b0 + b1/z + b2/z^2) / (1 + a1/z + a2/z^2)."""

    b0: float
    b1: float
    b2: float
    a1: float
    a2: float


def lowpass(order: int, corner_hz: float, rate_hz: float) -> tuple[Biquad, ...]:
    """A Butterworth low-pass; -3 dB at the corner (Butterworth 1930).

    Made from the analogue prototype by the bilinear transform with a prewarped corner
    (Oppenheim and Schafer, Discrete-Time Signal Processing, chapter 7).
    """
    return _butterworth(order, corner_hz, rate_hz, high=False)


def highpass(order: int, corner_hz: float, rate_hz: float) -> tuple[Biquad, ...]:
    """A Butterworth high-pass; see `lowpass`."""
    return _butterworth(order, corner_hz, rate_hz, high=True)


def notch(centre_hz: float, rate_hz: float, quality: float = 30.0) -> tuple[Biquad, ...]:
    """A second-order notch; its -3 dB width is centre_hz / quality."""
    k = math.tan(math.pi * centre_hz / rate_hz)
    norm = 1 / (1 + k / quality + k * k)
    side = 2 * (k * k - 1) * norm
    both = (1 + k * k) * norm
    return (Biquad(both, side, both, side, (1 - k / quality + k * k) * norm),)


def phase_delay_s(sections: Sequence[Biquad], at_hz: float, rate_hz: float) -> float:
    """How much later a sine of `at_hz` comes out; the delay must be under half its period."""
    return -cmath.phase(_response(sections, at_hz, rate_hz)) / (2 * math.pi * at_hz)


def settling_s(sections: Sequence[Biquad], rate_hz: float) -> float:
    """Seconds after which at most a twentieth is left of what a filter started with wrongly.

    By its slowest pole, and with room for the pair of a Butterworth filter, whose step response
    lies within sqrt(2) times the decay of its poles.
    """
    slowest = max((_pole_radius(section) for section in sections), default=0.0)
    return math.log(20 * math.sqrt(2)) / -math.log(slowest) / rate_hz if slowest else 0.0


class SectionFilter:
    """A cascade of second-order sections over a stream of columns.

    It starts as if the first sample had stood for ever, so that an offset makes no transient.
    """

    def __init__(self, sections: Sequence[Biquad]) -> None:
        self._sections = tuple(sections)
        self._states: list[list[tuple[float, float]]] = []

    def __call__(self, samples: Reals) -> Reals:
        """Filter (samples, columns); the number of columns must not change between calls."""
        out = np.empty(samples.shape, np.float64)
        if len(samples) and not self._states:
            self._states = [_settled(self._sections, float(first)) for first in samples[0]]
        for column, states in enumerate(self._states):
            values: list[float] = samples[:, column].tolist()
            for index, section in enumerate(self._sections):
                states[index] = _run(section, values, states[index])
            out[:, column] = values
        return out


class Fir:
    """A finite impulse response over a stream of one column, delayed by none: causal taps.

    It starts as if the first sample had stood for ever.
    """

    def __init__(self, taps: Reals) -> None:
        self._taps = taps
        self._past: Reals | None = None

    def __call__(self, samples: Reals) -> Reals:
        """Filter (samples,) and give as many."""
        if not len(samples):
            return samples
        if self._past is None:
            self._past = np.full(len(self._taps) - 1, samples[0])
        joined = np.concatenate([self._past, samples])
        self._past = joined[len(samples) :]
        return np.convolve(joined, self._taps, "valid")


def _butterworth(order: int, corner_hz: float, rate_hz: float, *, high: bool) -> tuple[Biquad, ...]:
    first = (_first_order(corner_hz, rate_hz, high=high),) if order % 2 else ()
    pairs = (_section(corner_hz, rate_hz, q, high=high) for q in _quality_factors(order))
    return (*first, *pairs)


def _first_order(corner_hz: float, rate_hz: float, *, high: bool) -> Biquad:
    k = math.tan(math.pi * corner_hz / rate_hz)
    gain = (1.0 if high else k) / (1 + k)
    return Biquad(gain, -gain if high else gain, 0.0, (k - 1) / (k + 1), 0.0)


def _pole_radius(section: Biquad) -> float:
    """Distance of the outer pole from zero: roots of z^2 + a1 z + a2."""
    square = section.a1 * section.a1 - 4 * section.a2
    if square < 0:
        return math.sqrt(section.a2)
    return (abs(section.a1) + math.sqrt(square)) / 2


def _quality_factors(order: int) -> list[float]:
    return [1 / (2 * math.sin(math.pi * (2 * k + 1) / (2 * order))) for k in range(order // 2)]


def _section(corner_hz: float, rate_hz: float, quality: float, *, high: bool) -> Biquad:
    k = math.tan(math.pi * corner_hz / rate_hz)
    norm = 1 / (1 + k / quality + k * k)
    gain = norm if high else k * k * norm
    middle = -2 * gain if high else 2 * gain
    return Biquad(gain, middle, gain, 2 * (k * k - 1) * norm, (1 - k / quality + k * k) * norm)


def _response(sections: Sequence[Biquad], at_hz: float, rate_hz: float) -> complex:
    back = cmath.exp(-2j * math.pi * at_hz / rate_hz)
    response = complex(1)
    for s in sections:
        response *= s.b0 + (s.b1 + s.b2 * back) * back
        response /= 1 + (s.a1 + s.a2 * back) * back
    return response


def _settled(sections: Sequence[Biquad], value: float) -> list[tuple[float, float]]:
    states = []
    for s in sections:
        given = value * (s.b0 + s.b1 + s.b2) / (1 + s.a1 + s.a2)
        second = s.b2 * value - s.a2 * given
        states.append((s.b1 * value - s.a1 * given + second, second))
        value = given
    return states


def _run(section: Biquad, values: list[float], state: tuple[float, float]) -> tuple[float, float]:
    """Filter `values` in place (transposed direct form II)."""
    b0, b1, b2, a1, a2 = section.b0, section.b1, section.b2, section.a1, section.a2
    first, second = state
    for index, value in enumerate(values):
        given = b0 * value + first
        first = b1 * value - a1 * given + second
        second = b2 * value - a2 * given
        values[index] = given
    return first, second
