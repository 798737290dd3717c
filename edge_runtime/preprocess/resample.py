"""The step `resample`: the same signal at another rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.ecg.resampler import Resampler
from edge_runtime.ecg.stream import SignalStream
from edge_runtime.errors import BadOptionError
from edge_runtime.frame import Frame

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Resample:
    """Polyphase, linear phase; every output sample is dated exactly.

    The output lags by the filter's look-ahead, 13 samples of the lower rate (52 ms at 250 Hz).

    Args:
        rate_hz: the rate to give. A stream of that rate passes unchanged.
    """

    def __init__(self, *, rate_hz: float) -> None:
        if not 0 < rate_hz < 1e6:
            raise BadOptionError("rate_hz", "must be above 0")
        self._rate_hz = rate_hz
        self._stream = SignalStream()
        self._resampler: Resampler | None = None

    def __call__(self, frame: Frame) -> list[Frame]:
        """Raises FrameError when the signal is not finite or its rate changed."""
        made: list[Frame] = []
        if self._stream.starts_segment(frame):
            made += self.flush()
            self._stream.restart()
            if frame.rate_hz != self._rate_hz:
                self._resampler = Resampler(frame.rate_hz or 0.0, self._rate_hz)
        position = self._stream.count
        self._stream.add(frame)
        if self._resampler is None:
            return [*made, self._frame(np.asarray(frame.data, np.float64), position)]
        samples, first = self._resampler.feed(frame.data.astype(np.float64))
        return [*made, self._frame(samples, first)] if len(samples) else made

    def flush(self) -> list[Frame]:
        """The last samples, which waited for the look-ahead."""
        if self._resampler is None:
            return []
        samples, first = self._resampler.flush()
        self._resampler = None
        return [self._frame(samples, first)] if len(samples) else []

    def _frame(self, samples: NDArray[np.float64], position: float) -> Frame:
        made = self._stream.make(samples.astype(np.float32), position, rate_hz=self._rate_hz)
        self._stream.forget(int(position))
        return made
