"""When live samples were taken, told from when they arrived, and how fast they really come."""

from __future__ import annotations

import logging
from collections import deque

log = logging.getLogger(__name__)

RATE_WINDOW_S = 10.0
SLEW = 0.02  # how fast the estimate may move later: over twice the error of a bad sample clock
RATE_TOLERANCE = 0.01  # beyond it, for as long as the window again, a rate is told to be wrong
USABLE_TOLERANCE = 0.2  # beyond it arrivals say nothing of the device's clock
WARN_EVERY_S = 60.0
_POINT_NS = 250_000_000  # arrivals closer than this share one point of the window
_NS = 1_000_000_000


class RateMeter:
    """Samples per second by arrival, over a sliding window. `rate_hz` is None until it is full."""

    def __init__(self, window_s: float = RATE_WINDOW_S) -> None:
        self._window_ns = round(window_s * _NS)
        self._points: deque[tuple[int, int]] = deque()  # (arrival, samples so far)
        self._samples = 0
        self.rate_hz: float | None = None

    def add(self, samples: int, arrival_ns: int) -> None:
        """Count samples that arrived together."""
        self._samples += samples
        points = self._points
        if points and arrival_ns - points[-1][0] < _POINT_NS:
            return
        points.append((arrival_ns, self._samples))
        while len(points) > 2 and arrival_ns - points[1][0] >= self._window_ns:
            points.popleft()
        span_ns = arrival_ns - points[0][0]
        if span_ns >= self._window_ns:
            self.rate_hz = (self._samples - points[0][1]) * _NS / span_ns

    def restart(self) -> None:
        """Forget: the samples before did not come without a pause."""
        self._points.clear()
        self.rate_hz = None


class RateWatch:
    """Holds the rate that was declared against that of the arrivals, and warns once a minute.

    A rate below `least_hz` is told to be too low for what is made of it.
    """

    def __init__(
        self,
        where: str,
        declared_hz: float,
        window_s: float = RATE_WINDOW_S,
        least_hz: float = 0.0,
    ) -> None:
        self.meter = RateMeter(window_s)
        self._window_ns = round(window_s * _NS)
        self._where, self._declared_hz, self._least_hz = where, declared_hz, least_hz
        self._wrong_since_ns: int | None = None
        self._warned_ns = -(1 << 62)

    def add(self, samples: int, arrival_ns: int) -> float:
        """Count samples that arrived together; gives the rate to reckon with."""
        self.meter.add(samples, arrival_ns)
        measured_hz = self.meter.rate_hz
        rate_hz = measured_hz or self._declared_hz
        error = abs(rate_hz - self._declared_hz) / self._declared_hz
        low = measured_hz is not None and measured_hz < self._least_hz
        if error <= RATE_TOLERANCE and not low:
            self._wrong_since_ns = None
        else:
            self._warn(rate_hz, error, arrival_ns)
        return rate_hz if error <= USABLE_TOLERANCE else self._declared_hz

    def _warn(self, rate_hz: float, error: float, now_ns: int) -> None:
        """Tell what has lasted for a window of its own."""
        if self._wrong_since_ns is None:
            self._wrong_since_ns = now_ns
        lasted = now_ns - self._wrong_since_ns >= self._window_ns
        if not lasted or now_ns - self._warned_ns < WARN_EVERY_S * _NS:
            return
        self._warned_ns = now_ns
        if error > RATE_TOLERANCE:
            log.warning(
                "%s: %.1f samples per second arrive, rate_hz says %g: times are %.1f %% wrong",
                self._where,
                rate_hz,
                self._declared_hz,
                error * 100,
            )
        else:
            log.warning(
                "%s: %.1f samples per second arrive: below %g the times of beats are coarse",
                self._where,
                rate_hz,
                self._least_hz,
            )


class ArrivalClock:
    """Turns a device's own elapsed time into monotonic time.

    A sample can be late but never early, so the earliest arrival says where device time lies:
    the estimate follows an earlier one at once and later ones at no more than 2 % of elapsed
    time. Bursts, as USB converters make them, so leave no jitter beyond that in the times.
    """

    def __init__(self) -> None:
        self._offset_ns: int | None = None
        self._seen_ns = 0  # elapsed time of the last sample that was observed
        self._floor_ns = -(1 << 62)

    def observe(self, elapsed_ns: int, arrival_ns: int) -> None:
        """The sample taken at `elapsed_ns` was the last to arrive at `arrival_ns`."""
        late_ns = arrival_ns - elapsed_ns
        if self._offset_ns is None:
            self._offset_ns = late_ns
        else:
            most_ns = round(SLEW * max(0, elapsed_ns - self._seen_ns))
            self._offset_ns += min(late_ns - self._offset_ns, most_ns)
        self._seen_ns = elapsed_ns

    def time_ns(self, elapsed_ns: int) -> int:
        """Monotonic time of a sample; later than every time that was given before."""
        time_ns = max((self._offset_ns or 0) + elapsed_ns, self._floor_ns + 1)
        self._floor_ns = time_ns
        return time_ns

    def restart(self) -> None:
        """Forget the offset: the device's time has jumped."""
        self._offset_ns = None
