"""Where results wait until a broker has them: the seam, and a bounded one in memory.

One thread puts, one other takes and acknowledges. A row is in one of three places: waiting, taken
(in flight), gone. Rows leave in the order in which they came; a row that was taken but never
acknowledged goes back to the front when its connection is lost.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import OrderedDict, deque
from typing import NamedTuple, Protocol

from .errors import BadOptionError

log = logging.getLogger(__name__)

ROW_BYTES = 250  # what a row weighs in CPython 3.11 beside its payload


class Row(NamedTuple):
    """One accepted message."""

    id: int  # grows by one; unique within the outbox
    topic: str
    payload: bytes
    version: str  # of the model that spoke
    accepted_ns: int  # monotonic clock; 0 when it was accepted before this process started


class Outbox(Protocol):
    """Holds accepted messages until they are acknowledged; every loss is counted.

    The counters may be read from any thread.
    """

    @property
    def size(self) -> int:
        """Rows that are accepted and not acknowledged."""
        ...

    @property
    def size_bytes(self) -> int:
        """What those rows weigh in memory or on disk."""
        ...

    @property
    def dropped(self) -> int:
        """Rows that were pushed out before they were acknowledged."""
        ...

    @property
    def waiting(self) -> int:
        """Rows that no one has taken yet."""
        ...

    @property
    def full(self) -> bool:
        """Whether one more row, as large as the largest so far, would push another out."""
        ...

    def put(self, topic: str, payload: bytes, version: str = "") -> int:
        """Accept a message, pushing out the oldest waiting ones if need be; gives its id."""
        ...

    def take(self, count: int) -> list[Row]:
        """The oldest waiting rows, at most `count`; they stay here until acknowledged."""
        ...

    def ack(self, row_id: int) -> None:
        """The message arrived: forget it. An unknown id is no error."""
        ...

    def rewind(self) -> None:
        """Every taken row waits again, in its old place: its connection is gone."""
        ...


class MemoryOutbox:
    """An outbox that a restart empties, bounded by rows and by bytes; the oldest rows go first.

    Rows in flight are never pushed out: when they alone fill it, the new row is the one lost.
    Raises BadOptionError for a limit below one row.
    """

    def __init__(self, *, rows_max: int, bytes_max: int) -> None:
        if rows_max < 1:
            raise BadOptionError("outbox_rows", f"{rows_max} is less than 1")
        if bytes_max < ROW_BYTES:
            raise BadOptionError("outbox_mb", "is too small for a single result")
        self.size = 0
        self.size_bytes = 0
        self.dropped = 0
        self._rows_max = rows_max
        self._bytes_max = bytes_max
        self._ids = itertools.count(1)
        self._largest = 0
        self._waiting: deque[Row] = deque()
        self._taken: OrderedDict[int, Row] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        if self.size == 0:  # a row larger than everything would never fit: it is lost either way
            return False
        return self.size >= self._rows_max or self.size_bytes + self._largest > self._bytes_max

    def put(self, topic: str, payload: bytes, version: str = "") -> int:
        row = Row(next(self._ids), topic, payload, version, time.monotonic_ns())
        weight = _weight(row)
        with self._lock:
            self._waiting.append(row)
            self.size += 1
            self.size_bytes += weight
            self._largest = max(self._largest, weight)
            if self.size > self._rows_max or self.size_bytes > self._bytes_max:
                self._make_room()
        return row.id

    def take(self, count: int) -> list[Row]:
        with self._lock:
            rows = [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]
            for row in rows:
                self._taken[row.id] = row
        return rows

    def ack(self, row_id: int) -> None:
        with self._lock:
            row = self._taken.pop(row_id, None)
            if row is not None:
                self._forget(row)

    def rewind(self) -> None:
        with self._lock:
            self._waiting.extendleft(reversed(self._taken.values()))
            self._taken.clear()

    def _make_room(self) -> None:
        first = self.dropped == 0
        while self._waiting and (self.size > self._rows_max or self.size_bytes > self._bytes_max):
            self._forget(self._waiting.popleft())
            self.dropped += 1
        if first:
            log.warning(
                "outbox full at %d results, %.1f MB: the oldest are dropped and counted",
                self.size,
                self.size_bytes / 1e6,
            )

    def _forget(self, row: Row) -> None:
        self.size -= 1
        self.size_bytes -= _weight(row)


def _weight(row: Row) -> int:
    return len(row.payload) + ROW_BYTES
