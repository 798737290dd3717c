"""The step `resample`: the same signal at another rate."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.ecg.resampler import Resampler
from edge_runtime.ecg.stream import SignalStream
from edge_runtime.errors import BadOptionError, ConfigError
from edge_runtime.frame import Frame

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Resample:
    """Polyphase, linear phase; every output sample is dated exactly.

    The output lags by the filter's look-ahead, 13 samples of the lower rate (`delay_s`, 52 ms at
    250 Hz); its first and last 52 ms take the signal to stand still before and after.

    Args:
        rate_hz: the rate to give. A stream of that rate passes unchanged.
    """

    highpass_hz = 0.0

    def __init__(self, *, rate_hz: float) -> None:
        if not 0 < rate_hz < 1e6:
            raise BadOptionError("rate_hz", "must be above 0")
        self._rate_hz = rate_hz
        self._stream = SignalStream()
        self._resampler: Resampler | None = None
        self._step = Fraction(1)  # input samples from one output sample to the next
        self.delay_s = 0.0  # known from the first frame on

    def __call__(self, frame: Frame) -> list[Frame]:
        """Raises FrameError when the signal is not finite or its rate changed."""
        made: list[Frame] = []
        if self._stream.starts_segment(frame):
            made += self.flush()
            self._stream.restart()
            if frame.rate_hz != self._rate_hz:
                self._resampler = self._design(frame.rate_hz or 0.0)
        position = self._stream.count
        self._stream.add(frame)
        if self._resampler is None:
            return [*made, *self._frames(np.asarray(frame.data, np.float64), position)]
        return [*made, *self._frames(*self._resampler.feed(frame.data.astype(np.float64)))]

    def flush(self) -> list[Frame]:
        """The last samples, which waited for the look-ahead."""
        if self._resampler is None:
            return []
        samples, first = self._resampler.flush()
        self._resampler = None
        return self._frames(samples, first)

    def _design(self, rate_hz: float) -> Resampler:
        try:
            made = Resampler(rate_hz, self._rate_hz)
        except ValueError as exc:
            raise ConfigError(f"resample: {exc}") from exc
        self._step = made.step
        self.delay_s = made.look_ahead / rate_hz
        return made

    def _frames(self, samples: NDArray[np.float64], position: float) -> list[Frame]:
        """One frame, or more where the state or the quality of what came in changes."""
        if not len(samples):
            return []
        step = self._step
        first = round(position / step)  # of all output samples
        stop = first + len(samples)
        changes = self._stream.changes(position, float((stop - 1) * step))
        edges = [first, *sorted({math.ceil(edge / step) for edge in changes}), stop]
        made = []
        for begin, end in pairwise(edges):
            part = samples[begin - first : end - first].astype(np.float32)
            made.append(self._stream.make(part, float(begin * step), rate_hz=self._rate_hz))
        self._stream.forget(int(position))
        return made
