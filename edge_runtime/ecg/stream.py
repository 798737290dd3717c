"""What every signal step keeps of its stream: continuity, time and the numbers of its frames."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.errors import FrameError
from edge_runtime.frame import Frame

if TYPE_CHECKING:
    from edge_runtime.frame import Array, BeatMark, Signal


class SignalStream:
    """Checks the frames of one source, dates samples and numbers what a step makes of them.

    A segment is a run of frames without a gap; a sample's position counts from its segment's
    start. A position is dated from the frame it came in, so that a drifting clock is followed.
    """

    def __init__(self) -> None:
        self._last: Frame | None = None
        self._anchors: list[tuple[int, int, int]] = []  # position, timestamp_ns, monotonic_ns
        self._seq = 0
        self.count = 0  # samples of this segment so far

    def starts_segment(self, frame: Frame) -> bool:
        """Whether something is missing before this frame, or it is the first one.

        Raises FrameError when it is no finite (samples, leads) signal, or its rate or leads are
        not those of the frames before. It is then as missing as any other.
        """
        self._check(frame)
        return self._last is None or frame.seq != self._last.seq + 1

    def restart(self) -> None:
        """Begin a segment; unless it is the first, the next frame made has a jump in `seq`."""
        self._anchors = []
        self.count = 0
        if self._last is not None:
            self._seq += 1

    def add(self, frame: Frame) -> None:
        """Append a checked frame to the segment."""
        self._anchors.append((self.count, frame.timestamp_ns, frame.monotonic_ns))
        self.count += len(frame.data)
        self._last = frame

    def forget(self, position: int) -> None:
        """Samples before `position` will not be asked for again."""
        while len(self._anchors) > 1 and self._anchors[1][0] <= position:
            del self._anchors[0]

    def dates(self, position: float) -> tuple[int, int]:
        """timestamp_ns and monotonic_ns of a position of this segment."""
        anchor = self._anchors[0]
        for later in self._anchors:
            if later[0] > position:
                break
            anchor = later
        after_ns = round((position - anchor[0]) * 1e9 / self.rate_hz)
        return anchor[1] + after_ns, anchor[2] + after_ns

    @property
    def rate_hz(self) -> float:
        """The rate of the frames taken; 0 before the first."""
        return (self._last.rate_hz or 0.0) if self._last else 0.0

    @property
    def leads(self) -> tuple[str, ...]:
        """The leads of the frames taken."""
        return self._last.leads if self._last else ()

    def make(
        self,
        data: Signal,
        position: float,
        *,
        rate_hz: float | None = None,
        leads: tuple[str, ...] | None = None,
        features: Mapping[str, Array] | None = None,
        beat: BeatMark | None = None,
    ) -> Frame:
        """The step's next frame; its first sample stands at `position` of the segment."""
        if self._last is None:
            raise FrameError("no frame was taken yet")
        timestamp_ns, monotonic_ns = self.dates(position)
        seq, self._seq = self._seq, self._seq + 1
        return Frame(
            data=data,
            timestamp_ns=timestamp_ns,
            monotonic_ns=monotonic_ns,
            seq=seq,
            source=self._last.source,
            rate_hz=self.rate_hz if rate_hz is None else rate_hz,
            leads=self.leads if leads is None else leads,
            features={} if features is None else features,
            beat=beat,
        )

    def _check(self, frame: Frame) -> None:
        if frame.data.ndim != 2 or not len(frame.data):
            raise FrameError(
                f"{frame.source}: a signal is (samples, leads), not {frame.data.shape}"
            )
        if not frame.rate_hz or not math.isfinite(frame.rate_hz) or frame.rate_hz < 0:
            raise FrameError(f"{frame.source}: a signal needs a rate, not {frame.rate_hz} Hz")
        if not np.isfinite(frame.data).all():
            raise FrameError(f"{frame.source}: frame {frame.seq} holds NaN or infinity")
        last = self._last
        if last is None:
            return
        if frame.rate_hz != last.rate_hz:
            raise FrameError(f"{frame.source}: {frame.rate_hz} Hz after {last.rate_hz} Hz")
        if frame.leads != last.leads or frame.data.shape[1] != last.data.shape[1]:
            raise FrameError(f"{frame.source}: leads {frame.leads} after {last.leads}")
