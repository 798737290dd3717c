"""An outbox: accepts messages, gives them out to be sent, forgets those that are acknowledged.

Any thread may call it. One thread puts, another takes and acknowledges, and with a file a third
one, the writer, saves. None of them waits for the disk but the writer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

from .gap import Gap, Gaps, Reason
from .keeper import Alarm
from .options import Limits
from .queue import Queue
from .row import Row
from .writer import Writer

Tell: TypeAlias = Callable[[Gap], tuple[str, str, bytes]]  # key, topic and payload of a gap record

FULL = "outbox-full"
CALM_S = 10.0  # without a loss, before an alarm about losses is over


class Outbox:
    """See the module.

    Args:
        limits: how much it may hold.
        path: its file; None keeps everything in memory.
        tell: makes the record of a gap.
        alarm: hears of what somebody should look at, from any thread, without a lock held.
        wake: is called when rows came that could not be taken before.
    """

    def __init__(
        self,
        limits: Limits,
        path: Path | None,
        *,
        tell: Tell,
        alarm: Alarm,
        wake: Callable[[], None],
    ) -> None:
        self.dropped = 0  # pushed out, too old, or not accepted
        self.refused = 0  # by the broker, for good
        self._limits = limits
        self._tell = tell
        self._alarm = alarm
        self._lock = threading.Lock()
        self._queue = Queue()
        self._gaps = Gaps()
        self._largest = 0
        self._lost_at: float | None = None  # monotonic; None when all is well again
        self._told = False
        self._writer = path and Writer(
            path,
            limits,
            self._queue,
            self._gaps,
            self._lock,
            drop=self._drop,
            alarm=alarm,
            wake=wake,
            speak=self._speak,
        )

    @property
    def size(self) -> int:
        """Results that are accepted and not acknowledged, on disk too."""
        return self._queue.rows

    @property
    def empty(self) -> bool:
        """Whether nothing at all waits to be delivered."""
        return not (self._queue.rows or self._queue.others)

    @property
    def kept(self) -> int:
        """How many of the results the next start will find."""
        if not self._writer:
            return 0
        return self._queue.rows - sum(bool(row.source) for row in self._queue.unsaved.rows.values())

    @property
    def waiting(self) -> bool:
        """Whether `take` would give something now."""
        return self._queue.waiting or self._gaps.ripe

    @property
    def settling(self) -> int:
        """Acknowledged rows that a crash would bring back: their removal is not yet written."""
        return self._writer.settling if self._writer else 0

    @property
    def full(self) -> bool:
        """Whether one more row, as large as the largest so far, would push another out."""
        queue, limits, largest = self._queue, self._limits, self._largest
        if queue.rows == 0:  # a row larger than everything would never fit: it is lost either way
            return False
        over = queue.rows >= limits.rows_max or queue.bytes + largest > limits.bytes_max
        return over or self._crowded(largest)

    def open(self) -> None:
        """Find what an earlier process left. Raises ConfigError."""
        if self._writer:
            self._writer.start()

    def put(
        self,
        key: str,
        topic: str,
        payload: bytes,
        *,
        source: str = "",
        seq: int = 0,
        version: str = "",
        keep: bool = False,
        urgent: bool = False,
    ) -> bool:
        """Accept a message; says whether it was. What has no `source` always is.

        Args:
            key: unique for ever; the part before the last "-" names the run.
            topic: where it goes.
            payload: at most what the broker takes.
            source: who said it; a loss is told per source.
            seq: the source's number for it.
            version: of the model.
            keep: refuse it when there is no room, instead of pushing others out.
            urgent: save it at once.
        """
        now, wall = time.monotonic_ns(), time.time_ns()
        with self._lock:
            row_id = self._queue.next_id
            self._queue.next_id = row_id + 1
            row = Row(row_id, key, source, seq, topic, payload, version, wall, keep, now)
            self._largest = max(self._largest, row.weight)
            accepted = not source or self._make_room(row)
            if accepted:
                self._queue.add(row)
                if self._writer:
                    self._writer.notice(urgent=urgent)
            else:
                self._drop([row], "rejected")
        self._speak()
        return accepted

    def take(self, count: int) -> list[Row]:
        """The next rows, at most `count`; they stay here until acknowledged or given back."""
        with self._lock:
            rows = self._queue.take(count)
            gaps = [self._gap_row(gap) for gap in self._gaps.take()]
            self._queue.taken.update((row.id, row) for row in gaps)
            if self._writer and self._queue.wants_more:
                self._writer.hurry()
        return rows + gaps

    def ack(self, row_id: int) -> bool:
        """The message arrived: forget it. Says whether it was not forgotten before."""
        with self._lock:
            row = self._queue.ack(row_id)
            if row and self._writer and self._queue.settled:
                self._writer.hurry()
        self._speak()
        return row is not None

    def give_back(self, row_ids: Iterable[int], *, overtaken: bool = False) -> None:
        """These wait again, in the first place; `overtaken` when others have arrived meanwhile."""
        with self._lock:
            self._queue.give_back(row_ids, overtaken=overtaken)

    def connected(self) -> None:
        """A connection is made: all that waits is backlog, and what comes from now on is live."""
        with self._lock:
            self._queue.connected()

    def bury(self, row_id: int, why: str) -> None:
        """The broker will not have it: it goes to the dead letters, and stands in nobody's way."""
        with self._lock:
            row = self._queue.ack(row_id)
            if row is None or row.id < 0:
                return
            self.refused += 1
            self._gaps.note(row, "refused")
            if self._writer:
                self._writer.bury(row, why)

    def close(self) -> None:
        """Save what is not saved. May be called twice."""
        if self._writer:
            self._writer.stop()

    def _make_room(self, row: Row) -> bool:
        """Whether memory takes a row, after others were pushed out if need be."""
        if self._writer and self._writer.refuses(row):
            return False
        while self._crowded(row.weight):
            gone = [] if row.keep else self._queue.push_out_unsaved(1)
            if not gone:
                return False
            self._drop(gone, "disk" if self._writer else "full")
        return True

    def _crowded(self, weight: int) -> bool:
        """Whether memory has no room for that much."""
        queue, limits = self._queue, self._limits
        if self._writer:
            return queue.unsaved.bytes + weight > limits.unsaved_max
        return queue.rows >= limits.rows_max or queue.bytes + weight > limits.bytes_max

    def _drop(self, rows: list[Row], reason: Reason) -> None:
        """Count and note rows that are let go; the lock is held."""
        self.dropped += len(rows)
        for row in rows:
            self._gaps.note(row, reason)
        if rows and reason != "age":
            self._lost_at = time.monotonic()

    def _speak(self) -> None:
        """Raise or end the alarm about losses."""
        if self._lost_at is None:
            return
        if not self._told:
            self._told = True
            text = f"{self.size} results wait and there is no room: some are let go, and counted"
            self._alarm(FULL, text, False)
        elif time.monotonic() - self._lost_at > CALM_S:
            self._lost_at, self._told = None, False
            self._alarm(FULL, f"there is room again; {self.dropped} results were let go", True)

    def _gap_row(self, gap: Gap) -> Row:
        key, topic, payload = self._tell(gap)
        now = time.monotonic_ns()
        return Row(-gap.id, key, "", 0, topic, payload, "", gap.last_ns, True, now)
