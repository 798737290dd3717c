"""When each sample leaves: a clock that may run fast, slow or unsteadily, laid on ours."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DRIFT_PERIOD_S = 600.0


class TapeClock:
    """Time of a sample in seconds after the first one, by a right clock.

    Args:
        rate_hz: samples per second as declared.
        error: of the rate: 0.01 gives 1 % more samples per second.
        swing: largest further error, which comes and goes as a sine of ten minutes.

    With the swing, the time between two samples is 1 / rate * (1 / (1 + error) - swing * sin);
    the sum has a closed form, so that nothing adds up over days.
    """

    def __init__(self, rate_hz: float, error: float = 0.0, swing: float = 0.0) -> None:
        self._rate_hz = rate_hz
        self._stretch = 1 / (1 + error)
        self._turn = 2 * math.pi / DRIFT_PERIOD_S
        self._swing_s = swing / self._turn

    def time_s(self, sample: float) -> float:
        """When a sample is taken."""
        at_s = sample / self._rate_hz
        return at_s * self._stretch + self._swing_s * (math.cos(self._turn * at_s) - 1)

    def times_us(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """The same for many, in whole microseconds."""
        import numpy as np

        at_s = samples / self._rate_hz
        swing = self._swing_s * (np.cos(self._turn * at_s) - 1)
        return np.asarray(np.floor((at_s * self._stretch + swing) * 1e6 + 0.5), np.int64)


class Pace:
    """Waits until a time of the signal has come; every deadline is reckoned from the start.

    `speed` is signal time over real time; inf never waits. `late_s` is the most by which a
    deadline was missed, in real seconds.
    """

    def __init__(self, speed: float, stop: threading.Event) -> None:
        self.speed, self.late_s = speed, 0.0
        self._stop = stop
        self.begin()

    @property
    def lossless(self) -> bool:
        """Whether a slow reader is waited for: faster than real, nothing is meant to be lost."""
        return self.speed != 1.0

    def begin(self) -> None:
        """The first sample is taken now."""
        self._began_ns = time.monotonic_ns()

    def wait(self, time_s: float) -> bool:
        """Wait for a time of the signal; False when the replay is to stop."""
        if math.isfinite(self.speed):
            left_s = self._began_ns / 1e9 + time_s / self.speed - time.monotonic_ns() / 1e9
            self.late_s = max(self.late_s, -left_s)
            if left_s > 0:
                self._stop.wait(left_s)
        return not self._stop.is_set()
