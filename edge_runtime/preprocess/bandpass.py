"""The step `bandpass`: keep a band of a signal, and none of the mains."""

from __future__ import annotations

from typing import Literal

import numpy as np

from edge_runtime.ecg.filters import Biquad, SectionFilter, highpass, lowpass, notch, phase_delay_s
from edge_runtime.ecg.stream import SignalStream
from edge_runtime.errors import BadOptionError, ConfigError
from edge_runtime.frame import Frame

_QRS_HZ = 10.0  # where a QRS complex has most of its energy (Thakor 1984)


class Bandpass:
    """Causal Butterworth filters, 12 dB per octave on each side; one frame in, one frame out.

    The output is dated back by the filters' delay at 10 Hz, where a QRS complex has most of its
    energy (`delay_s`, about 4.5 ms for 0.5 to 40 Hz). A corner of 0.5 Hz makes the ST level
    unusable: 0.05 Hz or less is needed there.

    Args:
        low_hz: high-pass corner; 0 for none.
        high_hz: low-pass corner; 0 for none.
        mains_hz: 50 or 60 puts a notch there; 0 for none.
    """

    def __init__(
        self, *, low_hz: float = 0.5, high_hz: float = 40.0, mains_hz: Literal[0, 50, 60] = 0
    ) -> None:
        if low_hz < 0:
            raise BadOptionError("low_hz", "must be 0 (none) or a corner in Hz")
        if high_hz < 0 or 0 < high_hz <= low_hz:
            raise BadOptionError("high_hz", f"must be 0 (none) or above low_hz = {low_hz:g}")
        self._low_hz, self._high_hz, self._mains_hz = low_hz, high_hz, mains_hz
        self._stream = SignalStream()
        self._filter = SectionFilter(())
        self.delay_s = 0.0  # known from the first frame on

    def __call__(self, frame: Frame) -> list[Frame]:
        """Raises FrameError for an unusable signal, ConfigError when its rate is too low."""
        if self._stream.starts_segment(frame):
            sections = self._sections(frame)
            self._stream.restart()
            self._filter = SectionFilter(sections)
        position = self._stream.count - self.delay_s * (frame.rate_hz or 0.0)
        self._stream.forget(self._stream.count)
        self._stream.add(frame)
        filtered = self._filter(frame.data.astype(np.float64)).astype(np.float32)
        return [self._stream.make(filtered, position)]

    def flush(self) -> list[Frame]:
        """Nothing is held."""
        return []

    def _sections(self, frame: Frame) -> tuple[Biquad, ...]:
        rate_hz = frame.rate_hz or 0.0
        top_hz = max(self._low_hz, self._high_hz, float(self._mains_hz))
        if top_hz >= rate_hz / 2:
            raise ConfigError(f"bandpass: {top_hz:g} Hz is out of reach at {rate_hz:g} samples/s")
        sections: tuple[Biquad, ...] = ()
        if self._low_hz:
            sections += highpass(2, self._low_hz, rate_hz)
        if self._high_hz:
            sections += lowpass(2, self._high_hz, rate_hz)
        middle_hz = min(max(_QRS_HZ, self._low_hz), self._high_hz or _QRS_HZ)
        self.delay_s = phase_delay_s(sections, middle_hz, rate_hz) if sections else 0.0
        return sections + (notch(self._mains_hz, rate_hz) if self._mains_hz else ())
