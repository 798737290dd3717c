"""Beats of a detector here, for rules that watch without a model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_runtime.ecg.qrs import QrsDetector

if TYPE_CHECKING:
    from edge_runtime.ecg.stream import SignalStream
    from edge_runtime.frame import Signal


class BareBeat(NamedTuple):
    """A beat without a class."""

    at_ns: int
    rr_s: float | None


class OwnBeats:
    """The beats of one lead of one segment of `stream`, dated by it."""

    def __init__(self, stream: SignalStream, rate_hz: float) -> None:
        self._stream, self._rate_hz = stream, rate_hz
        self._detector = QrsDetector(rate_hz)
        self._last: float | None = None

    def feed(self, samples: Signal) -> list[BareBeat]:
        """Take (samples,) that the stream has been told of; give the beats that are certain."""
        return self._dated(self._detector.feed(samples.astype(np.float64)))

    def flush(self) -> list[BareBeat]:
        """The beats that still waited for a decision."""
        return self._dated(self._detector.flush())

    def _dated(self, peaks: Iterable[float]) -> list[BareBeat]:
        made = []
        for peak in peaks:
            if self._last is None or peak > self._last:
                rr_s = None if self._last is None else (peak - self._last) / self._rate_hz
                made.append(BareBeat(self._stream.dates(peak)[0], rr_s))
                self._last = peak
        return made
