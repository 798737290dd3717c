"""The step `limit`: no more frames a second than are wanted."""

from __future__ import annotations

from edge_runtime.errors import BadOptionError
from edge_runtime.frame import Frame

from .numbering import Numbering

_EARLY = 0.25  # of a period: cameras are not punctual


class Limit:
    """Every frame that is due, by the frames' own times; the ones between are left out.

    Args:
        rate_hz: frames a second at most, on the average.
    """

    def __init__(self, *, rate_hz: float) -> None:
        if not 0 < rate_hz <= 1000:
            raise BadOptionError("rate_hz", f"{rate_hz} is not above 0 and at most 1000")
        self._period_ns = round(1e9 / rate_hz)
        self._due_ns: int | None = None
        self._numbering = Numbering()

    def __call__(self, frame: Frame) -> list[Frame]:
        self._numbering.see(frame)
        now_ns, period_ns = frame.timestamp_ns, self._period_ns
        late_ns = period_ns if self._due_ns is None else now_ns - self._due_ns
        if -2 * period_ns <= late_ns < -_EARLY * period_ns:
            return []
        punctual = self._due_ns is not None and abs(late_ns) < period_ns
        # A clock that was set, and a source that paused, begin a new beat.
        self._due_ns = (self._due_ns if punctual and self._due_ns else now_ns) + period_ns
        return [self._numbering.passed(frame)]

    def flush(self) -> list[Frame]:
        """Nothing: no frame is held."""
        return []
