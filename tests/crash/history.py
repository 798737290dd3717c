"""Lives of an outbox's file: random, recorded, and told as promises."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple, TypeAlias

from edge_runtime.outbox import store
from edge_runtime.outbox.gap import Gap
from edge_runtime.outbox.row import Batch, Row
from edge_runtime.outbox.store import Store

from .promise import Found, Promise, look
from .recorder import Fault, recorder

NAME = "outbox.db"
FRAME_BYTES = (
    4096 + 24
)  # what a page takes in the log (https://sqlite.org/fileformat2.html#walformat)


class Style(NamedTuple):
    """What kind of life it is."""

    steps: int
    batch_max: int
    payload_max: int
    checkpoint_pages: int  # in the log, before they are moved into the file
    faults: bool

    @staticmethod
    def draw(random: Random, *, faults: bool) -> Style:
        return Style(
            steps=random.randint(2, 14),
            batch_max=random.choice((1, 3, 8, 24)),
            payload_max=random.choice((150, 600, 5_000, 20_000)),
            checkpoint_pages=random.choice((4, 16, 40, 1000)),
            faults=faults,
        )


class Ground(NamedTuple):
    """Where a life begins: the files, what they owe, and the first id that was never given."""

    files: dict[str, bytes]
    promise: Promise
    next_id: int = 1


Make: TypeAlias = Callable[[Path], Store]


class Life:
    """One use of an outbox, from opening to an end.

    `ground` is where it begins; `promises` are those of its marks, by number.
    """

    def __init__(
        self, path: Path, ground: Ground, random: Random, style: Style, make: Make = Store
    ) -> None:
        self.promises = [ground.promise]
        self.troubles: list[str] = []  # promises that were broken without a power cut
        self.next_id = ground.next_id
        self._path = path
        self._random = random
        self._style = style
        self._make = make
        self._store = make(path)
        self._rows: list[Row] = []
        self._gaps: list[Gap] = []

    def live(self) -> None:
        """Under the recorder. Half of the lives end without a close."""
        store.CHECKPOINT_BYTES = self._style.checkpoint_pages * FRAME_BYTES
        recorder().mark(0)
        self._open()
        steps: tuple[Callable[[], None], ...] = (
            self._add, self._add, self._add, self._add_and_remove, self._remove, self._remove,
            self._drop, self._refuse, self._shrink, self._reopen,
        )  # fmt: skip
        for _ in range(self._style.steps):
            step = self._random.choice(steps)
            if self._style.faults and self._random.random() < 0.3:
                self._fail()
            try:
                step()
                recorder().heal()
            except (sqlite3.Error, OSError):
                self._recover()
        if self._random.random() < 0.5:
            self._store.close()

    def end(self) -> None:
        """After the recorder has stopped."""
        self._store.close()

    def _say(self, promise: Promise) -> None:
        self.promises.append(promise)
        recorder().mark(len(self.promises) - 1)

    def _commit(self, batch: Batch) -> None:
        self._say(self.promises[-1].begin(batch))
        self._store.commit(batch)
        self._say(self.promises[-1].accept())
        gone = {row.id for row in batch.remove}
        self._rows = [row for row in self._rows if row.id not in gone] + batch.add
        changed = {gap.id for gap in batch.gaps}
        self._gaps = [gap for gap in self._gaps if gap.id not in changed | {-n for n in gone}]
        self._gaps += batch.gaps

    def _add(self) -> None:
        self._commit(Batch(add=self._new_rows()))

    def _remove(self) -> None:
        self._commit(Batch(remove=self._some(self._random.randint(1, 20))))

    def _add_and_remove(self) -> None:
        self._commit(Batch(add=self._new_rows(), remove=self._some(self._random.randint(1, 8))))

    def _drop(self) -> None:
        """The oldest rows are pushed out, and a gap tells of it; or an old gap is told."""
        gone = self._rows[: self._random.randint(1, 6)]
        if gone and self._random.random() < 0.7:
            grown = [gap for gap in self._gaps if self._random.random() < 0.3][:1]
            gap = grown[0] if grown else Gap(self.next_id, "a", "run", "full", 0, 0, 0, 1, 2)
            self.next_id += 1
            gap = gap._replace(count=gap.count + len(gone), last_seq=gone[-1].seq)
            self._commit(Batch(add=self._new_rows(), remove=gone, gaps=[gap]))
        elif self._gaps:
            told = Row(-self._gaps[0].id, "", "", 0, "", b"", "", 0, False, 0)
            self._commit(Batch(remove=[told]))

    def _refuse(self) -> None:
        refused = self._some(self._random.randint(1, 3))
        dead = [(row, "too large") for row in refused]
        self._commit(Batch(remove=refused, dead=dead))

    def _shrink(self) -> None:
        store.VACUUM_PAGES = 4
        self._store.shrink()

    def _reopen(self) -> None:
        self._store.close()
        self._open()

    def _open(self) -> None:
        self._store = self._make(self._path)
        found = look(self._store)
        self.troubles += self.promises[-1].broken_by(found)
        self._adopt(found)
        self._say(self.promises[-1].opened(found))

    def _adopt(self, found: Found) -> None:
        places = [place for place in found.places.values() if place is not None]
        self._rows = [Row._make((*place[1:], 0)) for place in places if place[0] == "row"]
        self._gaps = [Gap(*place[1:]) for place in places if place[0] == "gap"]

    def _fail(self) -> None:
        kind = self._random.choice((Fault.WRITE, Fault.SYNC))
        error = errno.EIO if kind == Fault.SYNC else self._random.choice((errno.EIO, errno.ENOSPC))
        nth = self._random.randint(1, 3 if kind == Fault.SYNC else 12)
        recorder().fault(kind, nth, error, stays=self._random.random() < 0.5)

    def _recover(self) -> None:
        """What the store asks for after any error: close it, and open it anew."""
        self._store.close()
        while True:
            if self._random.random() < 0.7:
                recorder().heal()
            try:
                self._open()
            except (sqlite3.Error, OSError):
                self._store.close()
            else:
                recorder().heal()
                return

    def _some(self, count: int) -> list[Row]:
        count = min(count, len(self._rows))
        if self._random.random() < 0.6:
            return self._rows[:count]
        return self._random.sample(self._rows, count)

    def _new_rows(self) -> list[Row]:
        rows = []
        for _ in range(self._random.randint(1, self._style.batch_max)):
            size = int(100 * (self._style.payload_max / 100) ** self._random.random())
            source = self._random.choice(("a", "b", ""))  # "" is an alert
            rows.append(Row(self.next_id, f"run-{self.next_id}", source, self.next_id,
                            "edge/d/p/a/result", self._random.randbytes(size), "1.0.0",
                            self.next_id, False, 0))  # fmt: skip
            self.next_id += 1
        return rows
