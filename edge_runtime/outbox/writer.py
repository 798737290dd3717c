"""The thread that saves: it owns the file, commits in groups, loads the backlog, makes room.

A commit is due when 64 rows wait for it, when one has waited 50 ms at one of the ticks, which come
every 50 ms, or at once for an urgent row.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from edge_runtime.errors import ConfigError

from .gap import Reason
from .keeper import Alarm, Keeper
from .room import Room
from .row import Batch, Row
from .store import Store

if TYPE_CHECKING:
    from .gap import Gaps
    from .options import Limits
    from .queue import Queue

GROUP_ROWS = 64  # a commit is due when so many rows wait
TICK_S = 0.05  # how often the writer looks for rows that waited at least as long
IDLE_S = 1.0
COMMIT_ROWS = 1024  # in one transaction, at most
LOAD_ROWS = 256
STOP_TIMEOUT_S = 30.0

Drop: TypeAlias = Callable[[list[Row], Reason], None]


class Writer:
    """See the module. `lock` guards `queue` and `gaps`, and is never held while the disk works."""

    def __init__(
        self,
        path: Path,
        limits: Limits,
        queue: Queue,
        gaps: Gaps,
        lock: threading.Lock,
        *,
        drop: Drop,
        alarm: Alarm,
        wake: Callable[[], None],
        speak: Callable[[], None],
    ) -> None:
        self._store = Store(path, power=limits.durability == "power")
        self._queue = queue
        self._gaps = gaps
        self._lock = lock
        self._drop = drop
        self._wake = wake
        self._speak = speak
        self._bell = threading.Condition(lock)
        self._asleep = False
        self._due = False
        self._dead: list[tuple[Row, str]] = []
        self._removing = 0  # rows that a transaction removes which has not returned
        self._room = Room(limits, queue, lock)
        self._keeper = Keeper(self._store, queue, gaps, self._room, lock=lock, alarm=alarm)
        self._opened = threading.Event()
        self._error: ConfigError | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)

    @property
    def settling(self) -> int:
        """Acknowledged rows that are on disk, or will be; while it fails, they block nobody."""
        if self._keeper.failing:
            return 0
        return len(self._queue.settled) + self._removing + self._queue.unsaved.dropped

    def refuses(self, row: Row) -> bool:
        """Whether there is no room for it, and none to be made."""
        return self._room.is_full_for(row) and (row.keep or self._room.stuffed)

    def start(self) -> None:
        """Open the file. Raises ConfigError."""
        self._thread.start()
        self._opened.wait()
        if self._error:
            raise self._error

    def notice(self, *, urgent: bool) -> None:
        """A row was added; the lock is held."""
        if urgent or len(self._queue.unsaved.rows) >= GROUP_ROWS:
            self.hurry()
        elif self._asleep:
            self._asleep = False
            self._bell.notify()

    def hurry(self) -> None:
        """There is something to do at once; the lock is held."""
        if not self._due:
            self._due = True
            self._bell.notify()

    def bury(self, row: Row, why: str) -> None:
        """Move a row to the dead letters; the lock is held."""
        self._dead.append((row, why))
        self.hurry()

    def stop(self) -> None:
        """Save what is not saved, give the file back."""
        with self._lock:
            self._stopping = True
            self._bell.notify()
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)

    def _run(self) -> None:
        damaged = ""
        try:
            damaged = self._keeper.open_first()
        except ConfigError as exc:
            self._error = exc
            return
        finally:
            self._opened.set()
        if damaged:
            self._keeper.guard(lambda: self._keeper.replace(damaged))
        while not self._stopping:
            with self._lock:
                self._sleep()
            self._keeper.guard(self._work)
            self._speak()
        self._keeper.guard(self._work, now=True)
        self._store.close()

    def _sleep(self) -> None:
        if self._keeper.failing and not self._stopping:
            self._bell.wait(IDLE_S)
        elif not (self._due or self._stopping):
            busy = bool(self._queue.unsaved) or self._gaps.is_changed
            self._asleep = not busy
            self._bell.wait(TICK_S if busy else IDLE_S)
        self._asleep = False

    def _work(self) -> None:
        more = True
        while more:
            batch = self._batch()
            if batch:
                self._save(batch)
            more = self._load() or bool(batch)
        while let_go := self._room.let_go(self._store):
            with self._lock:
                self._drop(*let_go)
                batch = Batch(remove=let_go[0], gaps=self._gaps.changed())
            self._save(batch)

    def _batch(self) -> Batch:
        """What is due now."""
        with self._lock:
            queue, due = self._queue, self._due or self._stopping
            self._due = False
            oldest = next(iter(queue.unsaved.rows.values()), None)
            waited_ns = time.monotonic_ns() - oldest.accepted_ns if oldest else 0
            batch = Batch(gaps=self._gaps.changed(), dead=self._dead, remove=queue.settled)
            self._dead, queue.settled = [], []
            self._removing = len(batch.remove)
            if due or waited_ns >= TICK_S * 1e9 or len(queue.unsaved.rows) >= GROUP_ROWS:
                batch.add = queue.unsaved.begin(COMMIT_ROWS)
        return batch

    def _save(self, batch: Batch) -> None:
        try:
            self._store.commit(batch)
        except (sqlite3.Error, OSError):
            with self._lock:
                self._queue.undo_save(batch.remove)
                self._gaps.unsaved(batch.gaps)
                self._dead += batch.dead
                self._removing = 0
            raise
        with self._lock:
            self._queue.end_save(batch.add)
            self._removing = 0
        if batch.remove:
            self._wake()

    def _load(self) -> bool:
        """Bring some of the backlog into memory, if it is wanted there."""
        with self._lock:
            wanted, first, end = self._queue.wants_more, self._queue.disk_next, self._queue.disk_end
        if wanted:
            rows = self._store.load(first, end, LOAD_ROWS)
            with self._lock:
                self._queue.loaded(rows, rows[-1].id + 1 if rows else end)
            self._wake()
        return wanted
