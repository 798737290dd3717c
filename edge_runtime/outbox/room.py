"""What the file may hold: which rows are let go when they are too many, too heavy or too old."""

from __future__ import annotations

import itertools
import math
import os
import threading
import time
from typing import TYPE_CHECKING

from .age import Ages
from .gap import Reason
from .row import Row

if TYPE_CHECKING:
    from .options import Limits
    from .queue import Queue
    from .store import Store

LOOK_S = 1.0  # between looks at the age of rows and at the free room
TRIM_ROWS = 64  # let go in one transaction, at most
SHRINK_STEPS = 16  # in one look


class Room:
    """See the module. `stuffed` says that nothing in a full file may be pushed out."""

    def __init__(self, limits: Limits, queue: Queue, lock: threading.Lock) -> None:
        self.stuffed = False
        self._limits = limits
        self._queue = queue
        self._lock = lock
        self._bytes_max = limits.bytes_max  # less while the disk has no room to spare
        self._ages = Ages(limits.age_s)
        self._look_at = 0.0

    def begin(self, first_id: int) -> None:
        """Rows from here on are of this process."""
        self._ages.begin(first_id)

    def is_full_for(self, row: Row) -> bool:
        """Whether it has no room for one more."""
        queue = self._queue
        return queue.rows >= self._limits.rows_max or queue.bytes + row.weight > self._bytes_max

    def let_go(self, store: Store) -> tuple[list[Row], Reason] | None:
        """Rows to remove now, already out of the queue, and why; None when all fits."""
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_S
            self._look(store)
        expired = self._expire(store) if self._limits.age_s else []
        if expired:
            return expired, "age"
        count = self._excess()
        gone = self._push_out(store, count) if count else []
        self.stuffed = bool(count) and not gone
        if not gone:
            return None
        return gone, "disk" if self._bytes_max < self._limits.bytes_max else "full"

    def _excess(self) -> int:
        """How many rows of usual size are too many; at most TRIM_ROWS."""
        rows, size = self._queue.rows, self._queue.bytes
        heavy = (size - self._bytes_max) * rows / size if size > self._bytes_max else 0.0
        return min(TRIM_ROWS, max(0, rows - self._limits.rows_max, math.ceil(heavy)))

    def _push_out(self, store: Store, count: int) -> list[Row]:
        queue = self._queue
        with self._lock:
            gone = queue.push_out_saved(count, lately=False)
            first, end = queue.disk_next, queue.disk_end
        if gone:
            return gone
        gone = store.droppable(first, end, count)
        with self._lock:
            gone = queue.let_go(gone)
            return gone or queue.push_out_saved(count, lately=True)

    def _expire(self, store: Store) -> list[Row]:
        with self._lock:
            gone = self._queue.expire(self._ages.is_over)
            first, end = self._queue.disk_next, self._queue.disk_end
        if gone or first >= end:
            return gone
        found = store.load(first, end, TRIM_ROWS)
        with self._lock:
            return self._queue.let_go(list(itertools.takewhile(self._ages.is_over, found)))

    def _look(self, store: Store) -> None:
        facts = os.statvfs(store.path.parent)
        spare = facts.f_bavail * facts.f_frsize - int(self._limits.reserve_mb * 1e6)
        self._bytes_max = min(self._limits.bytes_max, max(0, self._queue.bytes + spare))
        self._ages.note(self._queue.next_id - 1)
        steps = 0
        while steps < SHRINK_STEPS and store.shrink():
            steps += 1
