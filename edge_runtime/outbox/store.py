"""The outbox's file: SQLite in WAL mode, one connection, exclusively locked.

What a commit has returned for survives a power cut (durability "power": the log is synchronised
at each commit that adds something) or the end of the process ("process": it is synchronised when
SQLite moves it into the file; a power cut may take the last seconds, and never the whole).
Commits that only remove are not waited for: a power cut may bring removed rows back, which are
then delivered again.

One connection is a rule: SQLite 3.7.0 to 3.51.2 can damage a file in WAL mode that two connections
write (https://sqlite.org/wal.html, "the WAL-reset bug"). It is used by one thread, which the
sqlite3 module enforces, and the exclusive lock keeps every other process out.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from edge_runtime import state
from edge_runtime.errors import ConfigError

from .gap import Gap
from .log import renew
from .row import Batch, Row, to_row

FORMAT = 1
APPLICATION = 0x65646765  # "edge", in the file's header
DEAD_MAX = 1000  # dead letters that are kept; the oldest go first
VACUUM_PAGES = 256  # returned to the file system at a time
CHECKPOINT_BYTES = 4_000_000  # of the log, when it is moved into the file

_SCHEMA = """
CREATE TABLE row (id INTEGER PRIMARY KEY, key TEXT NOT NULL, source TEXT NOT NULL,
    seq INTEGER NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL, version TEXT NOT NULL,
    timestamp_ns INTEGER NOT NULL, keep INTEGER NOT NULL);
CREATE TABLE gap (id INTEGER PRIMARY KEY, source TEXT NOT NULL, run TEXT NOT NULL,
    reason TEXT NOT NULL, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,
    count INTEGER NOT NULL, first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL);
CREATE TABLE dead (number INTEGER PRIMARY KEY, id INTEGER NOT NULL, key TEXT NOT NULL,
    source TEXT NOT NULL, seq INTEGER NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL,
    version TEXT NOT NULL, timestamp_ns INTEGER NOT NULL, keep INTEGER NOT NULL,
    reason TEXT NOT NULL);
CREATE TABLE stock (rows INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT INTO stock VALUES (0, 0);
"""
_ADD = "INSERT OR IGNORE INTO row VALUES (?,?,?,?,?,?,?,?,?)"


class DamagedError(Exception):
    """The file cannot be used, and no attempt will change that."""


class Stock(NamedTuple):
    """What lies in the file; `rows` and `bytes` count results only."""

    rows: int
    bytes: int
    first_id: int  # of the oldest row
    end_id: int  # after the newest row; both are 1 when there is none
    gaps: list[Gap]


class Store:
    """See the module. All methods are for one thread, the one that opens it.

    Any sqlite3.Error of any method means: close it, and open it anew before the next use.
    """

    def __init__(self, path: Path, *, power: bool = True) -> None:
        self.path = path
        self.rows = 0
        self.bytes = 0
        self._power = power
        self._shrunk = False
        self._connection: sqlite3.Connection | None = None
        self._log = path.with_name(f"{path.name}-wal")
        self._failed = False  # a sync may have failed, and the log must be written anew

    def open(self) -> Stock:
        """Lock the file, or make it; never reads more than its ends.

        Raises ConfigError when another process has it, or a setting did not take, DamagedError,
        and as all methods sqlite3.Error: `is_damage` tells which of them no attempt will change.
        """
        try:
            self._connect()
            return self._take_stock()
        except sqlite3.OperationalError as exc:
            self.close()
            if "locked" in str(exc):
                raise ConfigError(
                    f"{self.path}: another process uses this outbox: is the pipeline already "
                    "running? Each needs a name of its own"
                ) from exc
            raise
        except (sqlite3.DatabaseError, OSError, ConfigError, DamagedError):
            self.close()
            raise

    def commit(self, batch: Batch) -> None:
        """Do all of it; when this returns, it has the durability that was asked for."""
        run = self._db.execute
        self._checkpoint(CHECKPOINT_BYTES)  # before anything: an error leaves nothing half done
        lasting = self._power and bool(batch.add or batch.gaps or batch.dead)
        run(f"PRAGMA synchronous = {'FULL' if lasting else 'NORMAL'}")
        rows, size = self.rows, self.bytes
        run("BEGIN IMMEDIATE")
        try:
            for row in batch.add:
                added = run(_ADD, row[:9]).rowcount
                if row.source:
                    rows, size = rows + added, size + added * row.weight
            for row in batch.remove:
                if row.id < 0:
                    run("DELETE FROM gap WHERE id = ?", (-row.id,))
                    continue
                gone = run("DELETE FROM row WHERE id = ?", (row.id,)).rowcount
                if row.source:
                    rows, size = rows - gone, size - gone * row.weight
            for gap in batch.gaps:
                run("INSERT OR REPLACE INTO gap VALUES (?,?,?,?,?,?,?,?,?)", gap)
            for row, reason in batch.dead:
                run("INSERT INTO dead VALUES (NULL,?,?,?,?,?,?,?,?,?,?)", (*row[:9], reason))
            if batch.alive:
                run("DELETE FROM dead")
            if batch.dead:
                run("DELETE FROM dead WHERE number <= (SELECT max(number) FROM dead) - ?",
                    (DEAD_MAX,))  # fmt: skip
            run("UPDATE stock SET rows = ?, bytes = ?", (rows, size))
            run("COMMIT")
        except sqlite3.Error:
            self._failed = True
            with suppress(sqlite3.Error):
                run("ROLLBACK")
            raise
        self.rows, self.bytes = rows, size

    def load(self, first_id: int, end_id: int, count: int) -> list[Row]:
        """At most `count` rows from `first_id` on, before `end_id`, oldest first."""
        sql = "SELECT * FROM row WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
        return [to_row(found) for found in self._db.execute(sql, (first_id, end_id, count))]

    def droppable(self, first_id: int, end_id: int, count: int) -> list[Row]:
        """The same, of rows that need not be kept."""
        sql = "SELECT * FROM row WHERE id >= ? AND id < ? AND NOT keep ORDER BY id LIMIT ?"
        return [to_row(found) for found in self._db.execute(sql, (first_id, end_id, count))]

    def dead_letters(self) -> list[tuple[Row, str]]:
        """Messages that the broker refused for good, and why, oldest first."""
        found = self._db.execute("SELECT * FROM dead ORDER BY number")
        return [(to_row(item[1:10]), item[10]) for item in found]

    def revive(self, first_id: int) -> int:
        """Put the dead letters back in line, as rows from `first_id` on; gives how many."""
        letters = [row for row, _ in self.dead_letters()]
        rows = [row._replace(id=first_id + at) for at, row in enumerate(letters)]
        self.commit(Batch(add=rows, alive=True))
        return len(rows)

    def shrink(self) -> bool:
        """Give some of the room that nothing needs back to the disk; says whether there is more."""
        if self._value("freelist_count") >= VACUUM_PAGES:
            # `execute` would stop after the first page.
            self._db.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
            self._shrunk = True
        elif self._shrunk:  # the log has the smaller file, and the file has it after a checkpoint
            self._checkpoint(0)
            self._shrunk = False
        return self._shrunk

    def close(self) -> None:
        """May be called twice, and after any error."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if self._failed:  # closing moves the log into the file
                with suppress(OSError):
                    renew(self._log)
            with suppress(sqlite3.Error):
                connection.close()

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.ProgrammingError("the outbox is not open")
        return self._connection

    def _connect(self) -> None:
        state.ensure(self.path.parent)
        if not self.path.exists():
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))  # whatever the umask
            state.settle(self.path.parent)
        self._connection = sqlite3.connect(self.path, timeout=0, isolation_level=None)
        run = self._connection.execute
        run("PRAGMA locking_mode = EXCLUSIVE")
        run("PRAGMA auto_vacuum = INCREMENTAL")
        run("PRAGMA journal_mode = WAL").close()  # takes the lock
        run("PRAGMA wal_autocheckpoint = 0").close()  # it would not tell of errors
        self._failed = True
        renew(self._log)
        self._failed = False
        run("PRAGMA synchronous = FULL" if self._power else "PRAGMA synchronous = NORMAL")
        run("PRAGMA journal_size_limit = 8388608")
        run("BEGIN IMMEDIATE")  # takes the lock, which is then kept to the end
        if self._value("application_id") == 0 and self._value("schema_version") == 0:
            for statement in _SCHEMA.strip().split(";\n"):
                run(statement)
            run(f"PRAGMA application_id = {APPLICATION}")
            run(f"PRAGMA user_version = {FORMAT}")
        run("COMMIT")
        state.settle(self.path.parent)  # SQLite does not look whether that succeeded
        self._check()

    def _checkpoint(self, above: int) -> None:
        """Move a log of more than so many bytes into the file, and empty it."""
        try:
            if self._log.stat().st_size > above:
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
        except sqlite3.Error:
            self._failed = True
            raise

    def _check(self) -> None:
        wanted = {"journal_mode": "wal", "locking_mode": "exclusive",
                  "synchronous": 2 if self._power else 1}  # fmt: skip
        for setting, value in wanted.items():
            if self._value(setting) != value:
                raise ConfigError(
                    f"{self.path}: SQLite {sqlite3.sqlite_version} does not keep {setting} = "
                    f"{value} here; put the outbox on a local disk, or set durability = 'memory'"
                )
        if self._value("application_id") != APPLICATION:
            raise DamagedError("it is not an outbox of edge-run")
        if self._value("user_version") != FORMAT:
            raise DamagedError(f"its format is {self._value('user_version')}, not {FORMAT}")

    def _take_stock(self) -> Stock:
        stock = self._db.execute("SELECT rows, bytes FROM stock").fetchone()
        if stock is None:
            raise DamagedError("its stock is missing")
        self.rows, self.bytes = stock
        first, last = self._db.execute(
            "SELECT (SELECT min(id) FROM row), (SELECT max(id) FROM row)"
        ).fetchone()
        gaps = [Gap(*found) for found in self._db.execute("SELECT * FROM gap")]
        return Stock(self.rows, self.bytes, first or 1, (last or 0) + 1, gaps)

    def _value(self, pragma: str) -> Any:
        return self._db.execute(f"PRAGMA {pragma}").fetchone()[0]


def is_damage(exc: Exception) -> bool:
    """Whether the file is broken, and not only the disk full, read-only or failing."""
    if isinstance(exc, sqlite3.OperationalError):  # a table is missing, or a text is none
        return "no such" in str(exc) or "decode" in str(exc)
    return isinstance(exc, DamagedError | sqlite3.DatabaseError)
