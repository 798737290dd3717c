"""What the signal shows around a peak of the QRS energy: the R peak, its sharpness, a step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Reals = NDArray[np.float64]

_FINE_S = 0.008  # the R peak is sought in the signal smoothed by this standard deviation,
_BROAD_S = 0.040  # less what surrounds it
_REACH_S = 0.06  # the R peak lies this close to the middle of the energy
_HALF_S = 0.1  # half length of both filters
_STEP_S = (0.07, 0.12)  # from the middle: where a step is level
_STEP_LEVEL = 0.2  # "level": within this share of its height
_STEP_SHARE = 0.75  # the levels differ by this share of the height at least


class Look(NamedTuple):
    """What `PeakLens` saw."""

    position: float  # of the R peak, in samples from the stream's start
    sharpness: float  # largest curvature near it, mV per s squared
    is_step: bool  # level before, level after, and not the same: a switch, not a heart


class PeakLens:
    """Looks at the signal around a place; `reach` samples on both sides are seen."""

    def __init__(self, rate_hz: float) -> None:
        self._half = math.ceil(_HALF_S * rate_hz)
        self._near = round(_REACH_S * rate_hz)
        self.reach = self._half + self._near
        time_s = np.arange(-self._half, self._half + 1) / rate_hz
        fine, broad = (np.exp(-0.5 * (time_s / spread) ** 2) for spread in (_FINE_S, _BROAD_S))
        fine /= fine.sum()
        self._rise = fine - broad / broad.sum()
        curved = fine * ((time_s / _FINE_S) ** 2 - 1) / _FINE_S**2
        self._curve = curved - curved.mean()
        inner, outer = (round(at * rate_hz) for at in _STEP_S)
        self._before = slice(self.reach - outer, self.reach - inner + 1)
        self._after = slice(self.reach + inner, self.reach + outer + 1)
        self._all = slice(self.reach - outer, self.reach + outer + 1)

    def look(self, around: Reals, middle: int) -> Look:
        """`around` is the signal from `middle` - reach to `middle` + reach, both included."""
        rise = np.abs(np.convolve(around, self._rise, "valid"))
        top = int(rise.argmax())
        position = middle - self._near + top + _fraction(rise, top)
        curve = np.convolve(around, self._curve, "valid")
        return Look(max(position, 0.0), float(np.abs(curve).max()), self._is_step(around))

    def _is_step(self, around: Reals) -> bool:
        before, after = around[self._before], around[self._after]
        height = float(np.ptp(around[self._all]))
        if max(float(np.ptp(before)), float(np.ptp(after))) > _STEP_LEVEL * height:
            return False
        return abs(float(after.mean() - before.mean())) > _STEP_SHARE * height


def _fraction(values: Reals, top: int) -> float:
    """Where between the samples the maximum is: the vertex of a parabola through three, +-0.5."""
    if not 0 < top < len(values) - 1:
        return 0.0
    left, middle, right = values[top - 1 : top + 2].tolist()
    bend = left - 2 * middle + right
    return 0.5 * (left - right) / bend if bend < 0 else 0.0
