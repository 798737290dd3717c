"""What is done about a file that is damaged: it is set aside, and what is readable is kept."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from edge_runtime import state

from .row import Row, to_row

CHUNK = 256
SIDES = ("", "-wal", "-shm", "-journal")  # the files that make one database, by their endings
_FORWARD = "SELECT * FROM row WHERE id > ? ORDER BY id LIMIT 1"
_BACKWARD = "SELECT * FROM row WHERE id < ? ORDER BY id DESC LIMIT 1"


def set_aside(path: Path) -> Path:
    """Rename the file, and those that belong to it; gives its new name, which says when."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    number = 0
    while (
        aside := path.with_name(f"{path.name}.corrupt-{stamp}{f'-{number}' * bool(number)}")
    ).exists():
        number += 1
    for side in SIDES:
        with suppress(FileNotFoundError):
            Path(f"{path}{side}").rename(f"{aside}{side}")
    state.settle(path.parent)
    return aside


def last_id(aside: Path) -> int:
    """Of the newest row in a damaged file, if that can be read; else 0."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(aside)) as database:
        return int(database.execute("SELECT max(id) FROM row").fetchone()[0] or 0)
    return 0


def readable(aside: Path) -> Iterator[list[Row]]:
    """Rows of a damaged file, some at a time: from the oldest on, and what is left from the newest.

    A page that cannot be read hides the rows on it, and those around it that SQLite cannot reach.
    """
    last = 0
    for rows in _chunks(aside, _FORWARD, 0):
        last = rows[-1].id
        yield rows
    for rows in _chunks(aside, _BACKWARD, 2**63 - 1):
        fresh = [row for row in rows if row.id > last]
        if fresh:
            yield fresh
        if len(fresh) < len(rows):
            return


def _chunks(aside: Path, sql: str, start: int) -> Iterator[list[Row]]:
    with suppress(sqlite3.Error, UnicodeDecodeError), closing(sqlite3.connect(aside)) as database:
        database.execute("PRAGMA writable_schema = ON")  # else a file cut short is not read at all
        rows: list[Row] = []
        try:
            while found := database.execute(sql, (start,)).fetchone():
                start = found[0]
                if _is_whole(found):
                    rows.append(to_row(found))
                if len(rows) == CHUNK:
                    yield rows
                    rows = []
        finally:
            if rows:
                yield rows


def _is_whole(found: tuple[object, ...]) -> bool:
    """Whether a row has the types that ours have."""
    wanted = (int, str, str, int, str, bytes, str, int, int)
    return len(found) == len(wanted) and all(map(isinstance, found, wanted))
