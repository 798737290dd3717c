"""A stateful resampler between any two rates: a polyphase bank of windowed sinc filters.

The filter is Kaiser's (Kaiser 1974; Oppenheim and Schafer, Discrete-Time Signal Processing,
sections 4.6 and 7.6): flat within 0.1 % up to 0.34 of the lower rate, at least 60 dB down from
half of it on.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Reals = NDArray[np.float64]

_LOBES = 13  # half length of the filter, in samples of the lower rate
_CUTOFF = 0.42  # of the lower rate
_BETA = 5.65  # Kaiser's parameter for 60 dB
_PHASES = 1000  # the largest denominator of the ratio; its error is below one in a million
_BLOCK = 256  # output samples that are computed at once; bounds the memory


class Resampler:
    """Turns a stream of `rate_in_hz` into one of `rate_out_hz`; it delays nothing.

    Output sample n stands exactly at input position n * `step`, a time that `feed` gives with the
    samples. It is given once `look_ahead` later input samples are there. Before its start and
    after its end the stream is taken to stand still.
    """

    def __init__(self, rate_in_hz: float, rate_out_hz: float) -> None:
        ratio = Fraction(rate_out_hz / rate_in_hz).limit_denominator(_PHASES)
        if ratio <= 0:
            raise ValueError(f"cannot resample {rate_in_hz} Hz to {rate_out_hz} Hz")
        self.step = 1 / ratio
        self.look_ahead = math.ceil(_LOBES * max(Fraction(1), self.step))
        self._bank = _filter_bank(ratio, self.look_ahead)
        self._reach = np.arange(2 * self.look_ahead)
        self._held = np.empty((0, 0))  # input from position `_held_from` on
        self._held_from = 0
        self._next = 0  # output samples given so far

    def feed(self, samples: Reals) -> tuple[Reals, float]:
        """Take (samples, columns); give what is ready and the input position of its first."""
        if not self._held.size:
            self._held_from = 1 - self.look_ahead
            self._held = np.repeat(samples[:1], self.look_ahead - 1, axis=0)
        self._held = np.concatenate([self._held, samples])
        return self._ready()

    def flush(self) -> tuple[Reals, float]:
        """The rest, up to the position of the last input sample."""
        if not self._held.size:
            return np.empty((0, 0)), 0.0
        self._held = np.concatenate([self._held, self._held[-1:].repeat(self.look_ahead, axis=0)])
        return self._ready()

    def _ready(self) -> tuple[Reals, float]:
        up, down = self.step.denominator, self.step.numerator
        first = self._next
        last_base = self._held_from + len(self._held) - 1 - self.look_ahead
        end = max(first, ((last_base + 1) * up + down - 1) // down)
        result = np.empty((end - first, self._held.shape[1]))
        for at in range(first, end, _BLOCK):
            outputs = np.arange(at, min(at + _BLOCK, end), dtype=np.int64) * down
            rows = outputs // up + 1 - self.look_ahead - self._held_from
            # (outputs, columns, taps): the sum goes along memory, in the same order for any cut
            inputs = self._held[rows[:, None] + self._reach].transpose(0, 2, 1).copy()
            inputs *= self._bank[outputs % up][:, None]
            result[at - first : at - first + len(outputs)] = inputs.sum(axis=2)
        self._next = end
        self._drop_used()
        return result, float(first * self.step)

    def _drop_used(self) -> None:
        base = math.floor(self._next * self.step)
        used = min(base + 1 - self.look_ahead - self._held_from, len(self._held))
        if used > 0:
            self._held = self._held[used:]
            self._held_from += used


def _filter_bank(ratio: Fraction, half: int) -> Reals:
    """(phases, 2 * half) taps; each phase passes a constant unchanged."""
    phases = np.arange(ratio.numerator) / ratio.numerator
    offsets = np.arange(1 - half, half + 1)[None, :] - phases[:, None]
    cutoff = _CUTOFF * min(1.0, float(ratio))  # cycles per input sample
    inside = np.clip(1 - (offsets / half) ** 2, 0, None)
    taps = np.sinc(2 * cutoff * offsets) * np.i0(_BETA * np.sqrt(inside))
    return np.asarray(taps / taps.sum(axis=1, keepdims=True))
