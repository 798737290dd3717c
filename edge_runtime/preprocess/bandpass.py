"""The step `bandpass`: keep a band of a signal, and none of the mains."""

from __future__ import annotations

from typing import Literal

import numpy as np

from edge_runtime.ecg.filters import (
    Biquad,
    SectionFilter,
    highpass,
    lowpass,
    notch,
    phase_delay_s,
    settling_s,
)
from edge_runtime.ecg.stream import SignalStream
from edge_runtime.errors import BadOptionError, ConfigError
from edge_runtime.frame import Frame

# Whose phase delay is the shift of the R peak: measured on six records of mitdb, within 0.2 ms
# for bands from 0.05 to 1 Hz up to 30 to 150 Hz.
_QRS_HZ = 15.0


class Bandpass:
    """Causal Butterworth filters; one frame in, one out, two where the filters have settled.

    The output is dated back by the filters' phase delay at 15 Hz, which is the shift of the R
    peak (`delay_s`, 5.2 ms for 0.5 to 40 Hz). After the start and after a gap the filters begin
    anew, and frames have the state "settling" or "gap" until a twentieth is left of what they
    began with (1.5 s for 0.5 Hz).

    A corner of 0.5 Hz makes the ST level unusable. For ST take `low_hz = 0.05` with
    `low_order = 1`, the time constant of 3.2 s of diagnostic electrocardiographs: it leaves less
    than 0.1 mV behind a pulse of 3 mV and 100 ms, the second order leaves more.

    Args:
        low_hz: high-pass corner; 0 for none.
        high_hz: low-pass corner, 12 dB per octave; 0 for none.
        mains_hz: 50 or 60 puts a notch there, 1.7 or 2 Hz wide; 0 for none.
        low_order: of the high-pass; 1 falls by 6 dB per octave, 2 by 12.
    """

    def __init__(
        self,
        *,
        low_hz: float = 0.5,
        high_hz: float = 40.0,
        mains_hz: Literal[0, 50, 60] = 0,
        low_order: Literal[1, 2] = 2,
    ) -> None:
        if not 0 <= low_hz < float("inf"):
            raise BadOptionError("low_hz", "must be 0 (none) or a corner in Hz")
        if not 0 <= high_hz < float("inf") or 0 < high_hz <= low_hz:
            raise BadOptionError("high_hz", f"must be 0 (none) or above low_hz = {low_hz:g}")
        if low_order not in (1, 2):
            raise BadOptionError("low_order", "must be 1 or 2")
        self._low_hz, self._high_hz, self._mains_hz = low_hz, high_hz, mains_hz
        self._low_order = low_order
        self._stream = SignalStream()
        self._sections: tuple[Biquad, ...] | None = None
        self._filter = SectionFilter(())
        self._unsettled, self._why = 0, "settling"
        self.delay_s = 0.0  # known from the first frame on
        self.highpass_hz = low_hz

    def __call__(self, frame: Frame) -> list[Frame]:
        """Raises FrameError for an unusable signal, ConfigError when its rate is too low."""
        if self._stream.starts_segment(frame):
            self._why = "settling" if self._sections is None else "gap"
            sections = self._sections or self._design(frame.rate_hz or 0.0)
            self._stream.restart()
            self._filter = SectionFilter(sections)
        start = self._stream.count
        self._stream.forget(start)
        self._stream.add(frame)
        filtered = self._filter(frame.data.astype(np.float64)).astype(np.float32)
        edge = min(max(self._unsettled - start, 0), len(filtered))
        parts = ((0, filtered[:edge], self._why), (edge, filtered[edge:], "live"))
        position = start - self.delay_s * (frame.rate_hz or 0.0)
        made = []
        for at, part, settled in parts:
            if len(part):
                state = settled if frame.state == "live" else frame.state
                out = self._stream.make(part, position + at)
                made.append(out._replace(state=state, quality=frame.quality))
        return made

    def flush(self) -> list[Frame]:
        """Nothing is held."""
        return []

    def _design(self, rate_hz: float) -> tuple[Biquad, ...]:
        top_hz = max(self._low_hz, self._high_hz, float(self._mains_hz))
        if top_hz >= rate_hz / 2:
            raise ConfigError(f"bandpass: {top_hz:g} Hz is out of reach at {rate_hz:g} samples/s")
        sections: tuple[Biquad, ...] = ()
        if self._low_hz:
            sections += highpass(self._low_order, self._low_hz, rate_hz)
        if self._high_hz:
            sections += lowpass(2, self._high_hz, rate_hz)
        if self._mains_hz:
            sections += notch(self._mains_hz, rate_hz)
        middle_hz = min(max(_QRS_HZ, self._low_hz), self._high_hz or _QRS_HZ, rate_hz / 4)
        self.delay_s = phase_delay_s(sections, middle_hz, rate_hz)
        self._unsettled = round(settling_s(sections, rate_hz) * rate_hz)
        self._sections = sections
        return sections
