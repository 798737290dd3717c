"""Outboxes for the tests, and what they said."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from edge_runtime.outbox.gap import Gap
from edge_runtime.outbox.options import Limits
from edge_runtime.outbox.outbox import Outbox
from edge_runtime.outbox.row import Row

from .brokers import wait_until


class Box(Outbox):
    """An outbox that keeps its alarms and gap records, and can be emptied in one call."""

    def __init__(self, path: Path | None = None, **limits) -> None:
        self.alarms: list[tuple[str, bool]] = []
        self.texts: list[str] = []
        self.told: list[Gap] = []
        self.woken = threading.Event()
        if path is None:
            limits = {"durability": "memory", **limits}
        super().__init__(
            Limits(**limits), path, tell=self._note, alarm=self._hear, wake=self.woken.set
        )
        self.open()

    def fill(self, count: int, start: int = 0, size: int = 3, **more) -> list[bool]:
        """Put payloads "0", "1", ... from source s."""
        more = {"source": "s", **more}
        return [
            self.put(f"run-{at}", "t", str(at).encode().ljust(size), seq=at, **more)
            for at in range(start, start + count)
        ]

    def empty_out(self, *, quiet_s: float = 0.3, most: int = 10**9) -> list[Row]:
        """Take and acknowledge until nothing has come for a while."""
        rows: list[Row] = []
        until = time.monotonic() + quiet_s
        while len(rows) < most and time.monotonic() < until + (0 if self.empty else 3):
            for row in self.take(20):
                rows.append(row)
                self.ack(row.id)
                until = time.monotonic() + quiet_s
            time.sleep(0.001)
        return rows

    def wait_until_saved(self) -> None:
        wait_until(lambda: not self._queue.unsaved)

    def _note(self, gap: Gap) -> tuple[str, str, bytes]:
        self.told.append(gap)
        return f"gap-{gap.id:x}", "t/gap", b"gap"

    def _hear(self, kind: str, text: str, cleared: bool) -> None:
        self.alarms.append((kind, cleared))
        self.texts.append(text)


def numbers(rows: list[Row]) -> list[int]:
    """The payloads of results, as numbers."""
    return [int(row.payload) for row in rows if row.source]
