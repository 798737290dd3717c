"""Samples that come with times of their sender: which are missing, and when they were taken."""

from __future__ import annotations

from .arrival import ArrivalClock

GAP_S = 0.1  # senders stamp in bursts: a pause that is shorter says nothing


class StampedClock:
    """Turns the stamps of a steady signal into monotonic times without their jitter."""

    def __init__(self, rate_hz: float) -> None:
        self._period_ns = 1e9 / rate_hz
        self._clock = ArrivalClock()
        self._elapsed_ns = 0.0
        self._stamp_ns: int | None = None

    def place(self, stamp_ns: int, step: int | None = None) -> tuple[int, int]:
        """The time of a sample stamped so, and how many are missing before it.

        `step` is what the sender's counter says; where it has none, the stamps tell a pause.
        """
        missing = (step or 1) - 1
        pause_ns = 0 if self._stamp_ns is None else stamp_ns - self._stamp_ns
        if step is None and pause_ns > GAP_S * 1e9 + self._period_ns:
            missing = max(1, round(pause_ns / self._period_ns) - 1)
        elif pause_ns < -GAP_S * 1e9:  # its clock was set back
            self._clock.restart()
            missing = max(1, missing)
        self._stamp_ns = stamp_ns
        self._elapsed_ns += (1 + missing) * self._period_ns
        elapsed_ns = round(self._elapsed_ns)
        self._clock.observe(elapsed_ns, stamp_ns)
        return self._clock.time_ns(elapsed_ns), missing
