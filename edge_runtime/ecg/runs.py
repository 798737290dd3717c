"""Runs of samples that share a property, over a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class EqualRuns:
    """How long a lead has given one value."""

    def __init__(self) -> None:
        self._value = np.nan
        self._count = 0

    def __call__(self, samples: NDArray[np.floating]) -> int:
        """The longest run of equal samples that reaches into these (samples,), in samples."""
        before = self._count if samples[0] == self._value else 0
        self._value = float(samples[-1])
        ends = np.flatnonzero(samples[1:] != samples[:-1])
        if not len(ends):
            self._count = before + len(samples)
            return self._count
        self._count = len(samples) - 1 - int(ends[-1])
        inner = int(np.diff(ends).max(initial=0))
        return max(before + int(ends[0]) + 1, inner, self._count)


class FlagRuns:
    """How long a property has held."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, flags: NDArray[np.bool_]) -> int:
        """The longest run of True that reaches into these (samples,), in samples."""
        before = self._count
        broken = np.flatnonzero(~flags)
        if not len(broken):
            self._count = before + len(flags)
            return self._count
        self._count = len(flags) - 1 - int(broken[-1])
        inner = int(np.diff(broken).max(initial=1)) - 1
        first = before + int(broken[0]) if broken[0] else 0
        return max(first, inner, self._count)
