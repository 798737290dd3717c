"""What every signal step keeps of its stream: continuity, time and the numbers of its frames."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_runtime.errors import FrameError
from edge_runtime.frame import Frame

if TYPE_CHECKING:
    from edge_runtime.frame import Array, BeatMark, Quality, Signal


class _Trust(NamedTuple):
    """What a frame's source was in, and how good its signal was, from `start` up to `end`."""

    start: int
    end: int
    state: str
    quality: Quality | None


class _Anchor(NamedTuple):
    """Where a frame began. Wall time counts from `origin`, where the clock was last seen to step.

    A clock that keeps to the rate within a rounding has one origin, so that the time of a sample
    does not depend on how the stream is cut.
    """

    position: int
    monotonic_ns: int
    origin: int
    origin_ns: int


_ROUNDED_NS = 2  # by which whole nanoseconds of a steady clock may differ

STATES = ("bad", "limited", "good")


def goodness(quality: Quality) -> tuple[int, float]:
    """By what qualities are ordered: the state, and of equal ones the score."""
    return STATES.index(quality.state), 1.0 if quality.score is None else quality.score


class SignalStream:
    """Checks the frames of one source, dates samples and numbers what a step makes of them.

    A segment is a run of frames without a gap; a sample's position counts from its segment's
    start. A position is dated from the frame it came in, so that a drifting clock is followed.
    What is made of several frames has the worst of their states and qualities.
    """

    def __init__(self) -> None:
        self._last: Frame | None = None
        self._anchors: list[_Anchor] = []
        self._trust: list[_Trust] = []  # of the frames that were not live, or were judged
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
        self._anchors, self._trust = [], []
        self.count = 0
        if self._last is not None:
            self._seq += 1

    def add(self, frame: Frame) -> None:
        """Append a checked frame to the segment."""
        origin, origin_ns = self.count, frame.timestamp_ns
        if self._anchors:
            last, expected_ns = self._anchors[-1], self.dates(self.count)[0]
            if abs(expected_ns - frame.timestamp_ns) <= _ROUNDED_NS:
                origin, origin_ns = last.origin, last.origin_ns
        self._anchors.append(_Anchor(self.count, frame.monotonic_ns, origin, origin_ns))
        start, self.count = self.count, self.count + len(frame.data)
        if frame.quality is not None or frame.state != "live":
            self._trust.append(_Trust(start, self.count, frame.state, frame.quality))
        self._last = frame

    def forget(self, position: int) -> None:
        """Samples before `position` will not be asked for again."""
        while len(self._anchors) > 1 and self._anchors[1].position <= position:
            del self._anchors[0]
        while self._trust and self._trust[0].end <= position:
            del self._trust[0]

    def dates(self, position: float) -> tuple[int, int]:
        """timestamp_ns and monotonic_ns of a position of this segment."""
        anchor = self._anchors[0]
        for later in reversed(self._anchors):
            if later.position <= position:
                anchor = later
                break
        wall_ns = round((position - anchor.origin) * 1e9 / self.rate_hz)
        after_ns = round((position - anchor.position) * 1e9 / self.rate_hz)
        return anchor.origin_ns + wall_ns, anchor.monotonic_ns + after_ns

    def changes(self, first: float, last: float) -> list[int]:
        """Positions after `first` and up to `last` at which state or quality may change."""
        edges = {edge for trust in self._trust for edge in (trust.start, trust.end)}
        return sorted(edge for edge in edges if first < edge <= last)

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
        made_at_hz = self.rate_hz if rate_hz is None else rate_hz
        last = position + (len(data) - 1) * self.rate_hz / made_at_hz
        state, quality = self._worst(position, last)
        return Frame(
            data=data,
            timestamp_ns=timestamp_ns,
            monotonic_ns=monotonic_ns,
            seq=seq,
            source=self._last.source,
            rate_hz=made_at_hz,
            leads=self.leads if leads is None else leads,
            features={} if features is None else features,
            beat=beat,
            state=state,
            quality=quality,
        )

    def _worst(self, first: float, last: float) -> tuple[str, Quality | None]:
        """State and quality of the samples that stand at `first` to `last`."""
        met = [t for t in self._trust if t.start <= last and t.end > first]
        states = (trust.state for trust in met if trust.state != "live")
        judged = [trust.quality for trust in met if trust.quality is not None]
        return next(states, "live"), min(judged, key=goodness, default=None)

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
