"""Keeps the file usable: opens it, goes on in memory while the disk fails, replaces a damaged one.

When the disk is full, read-only or failing, rows stay in memory, an alarm says so, and the file is
opened anew every few seconds until it is usable: an error of fsync is never taken for success, and
never tried again on the same descriptor (https://lwn.net/Articles/752063/).
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from edge_runtime.errors import ConfigError

from . import damage
from .row import Batch
from .store import DamagedError, Store, is_damage

if TYPE_CHECKING:
    from .gap import Gaps
    from .queue import Queue
    from .room import Room

Alarm: TypeAlias = Callable[[str, str, bool], None]  # kind, text, whether it is over

REOPEN_S = 5.0
IN_MEMORY, DAMAGED = "outbox-in-memory", "outbox-damaged"  # alarms


class Keeper:
    """See the module. For the writer's thread only; `failing` says why there is no file."""

    def __init__(
        self,
        store: Store,
        queue: Queue,
        gaps: Gaps,
        room: Room,
        *,
        lock: threading.Lock,
        alarm: Alarm,
    ) -> None:
        self.failing = ""
        self._store = store
        self._queue = queue
        self._gaps = gaps
        self._room = room
        self._lock = lock
        self._alarm = alarm
        self._retry_at = 0.0
        self._known = False  # what lay in the file at first has been counted

    def open_first(self) -> str:
        """Open the file for the first time; gives what is broken in it, if it cannot be used.

        Raises ConfigError: another process has it, or another folder or user is needed.
        """
        self._queue.next_id = time.time_ns() // 1000  # above all in a file that cannot be read now
        try:
            self._open()
        except PermissionError as exc:
            raise ConfigError(
                f"{self._store.path}: {exc.strerror}: give it to the user who runs this, or name "
                "another folder in the option state"
            ) from exc
        except (sqlite3.Error, DamagedError) as exc:
            if is_damage(exc):
                return str(exc)
            self._fail(str(exc))
        except OSError as exc:
            self._fail(exc.strerror or str(exc))
        return ""

    def guard(self, act: Callable[[], None], *, now: bool = False) -> None:
        """Do something with the file; what it suffers is told, and healed if that is possible.

        While the disk fails nothing is done, but for an attempt every few seconds, or `now`.
        """
        if self.failing and not now and time.monotonic() < self._retry_at:
            return
        try:
            if self.failing:
                self._open()
            act()
        except (sqlite3.Error, DamagedError) as exc:
            if not is_damage(exc):
                self._fail(str(exc))
                return
            cause = str(exc)
            self.guard(lambda: self.replace(cause))
        except ConfigError as exc:
            self._fail(str(exc))
        except OSError as exc:
            self._fail(exc.strerror or str(exc))

    def replace(self, cause: str) -> None:
        """Begin a new file in the place of a damaged one, with what can be read of it."""
        self._store.close()
        aside = damage.set_aside(self._store.path)
        text = f"{self._store.path}: {cause}: set aside as {aside.name}; what is readable is kept"
        self._alarm(DAMAGED, text, False)
        self._known = True
        with self._lock:
            self._queue.next_id = max(self._queue.next_id, damage.last_id(aside) + 1)
            self._queue.start_afresh()
        self._store.open()
        kept = 0
        for rows in damage.readable(aside):
            self._store.commit(Batch(add=rows))
            kept += len(rows)
            with self._lock:
                self._queue.salvaged(rows)
        self._alarm(DAMAGED, f"{aside}: {kept} results could be read and are kept", True)

    def _open(self) -> None:
        stock = self._store.open()
        if not self._known:
            self._known = True
            with self._lock:
                if not self.failing:  # else rows have been put meanwhile
                    self._queue.next_id = stock.end_id
                self._room.begin(self._queue.next_id)
                self._queue.found(stock.rows, stock.bytes, stock.first_id, stock.end_id)
                self._gaps.restore(stock.gaps)
        if self.failing:
            self.failing = ""
            self._alarm(IN_MEMORY, f"{self._store.path}: results are saved again", True)

    def _fail(self, cause: str) -> None:
        """Go on in memory; try again later."""
        self._store.close()
        self._retry_at = time.monotonic() + REOPEN_S
        if not self.failing:
            self.failing = cause
            text = f"{self._store.path}: {cause}: results are kept in memory only, and tried again"
            self._alarm(IN_MEMORY, text, False)
