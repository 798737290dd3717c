"""How old rows are, on boards whose clock jumps from 1970 to today after the start.

Rows of this process are measured by the monotonic clock, at a resolution of a thousandth of the
limit. Rows of an earlier one have only a wall time: they are too old when both it and the clock
now can be true, and the difference is beyond the limit.
"""

from __future__ import annotations

import time
from collections import deque

from .row import Row

SAMPLES = 1000
PLAUSIBLE_NS = 1_767_225_600_000_000_000  # 2026-01-01: before it, a clock was not set


class Ages:
    """See the module. `limit_s` 0 is no limit."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._first_id = 1
        self._over_id = 0  # rows of this process up to here are too old
        self._samples: deque[tuple[float, int]] = deque()  # monotonic seconds, last id by then

    def begin(self, first_id: int) -> None:
        """Rows from here on are of this process."""
        self._first_id = first_id

    def note(self, last_id: int) -> None:
        """All rows up to `last_id` were accepted by now."""
        now = time.monotonic()
        if not self._samples or now - self._samples[-1][0] >= self._limit_s / SAMPLES:
            self._samples.append((now, last_id))
        while self._samples and now - self._samples[0][0] > self._limit_s:
            self._over_id = self._samples.popleft()[1]

    def is_over(self, row: Row) -> bool:
        """Whether a row has waited for longer than the limit."""
        if row.id >= self._first_id:
            return row.id <= self._over_id
        age_ns = time.time_ns() - row.timestamp_ns
        return row.timestamp_ns > PLAUSIBLE_NS and age_ns > self._limit_s * 1e9
