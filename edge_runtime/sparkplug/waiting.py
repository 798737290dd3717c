"""Results on their way to a Sparkplug broker, in memory; the oldest go when there are too many."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_runtime.frame import Result

LIVE_NS = 2_000_000_000  # a result that leaves later than this after it was accepted is historical


class Waiting:
    """One thread puts, another takes; the counters may be read from any."""

    def __init__(self, rows_max: int) -> None:
        self.dropped = 0
        self._rows_max = rows_max
        self._rows: deque[tuple[Result, int]] = deque()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def full(self) -> bool:
        """Whether one more would push another out."""
        return len(self._rows) >= self._rows_max

    def put(self, result: Result) -> None:
        with self._lock:
            if self.full:
                self._rows.popleft()
                self.dropped += 1
            self._rows.append((result, time.monotonic_ns()))

    def take(self) -> tuple[Result, int] | None:
        """The oldest, and when it was accepted (monotonic clock); None when none waits."""
        with self._lock:
            return self._rows.popleft() if self._rows else None

    def put_back(self, row: tuple[Result, int]) -> None:
        """It could not be sent: it is the oldest again, and the first to go."""
        with self._lock:
            if self.full:
                self.dropped += 1
            else:
                self._rows.appendleft(row)


def late(accepted_ns: int) -> bool:
    """Whether a result that leaves now is historical."""
    return time.monotonic_ns() - accepted_ns > LIVE_NS
