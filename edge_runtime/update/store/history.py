"""What became of every update, line by line: appended, chained by hashes, never changed.

Each line is a JSON object that holds the sha256 of the line before it, and the journal as it then
was: a lost journal is found there. A power cut may leave half a line at the end, or noise in its
place. The next line then says so: it follows the last whole one, and counts the bytes between.
The chain shows a change to anybody who kept a later hash (`Account.head`, for example published);
who may write the file can also write another chain.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from edge_runtime import state

from . import journal_file
from .journal import Journal

TORN = "torn"  # the event of a line that follows what a power cut left
_SPOILT = b"!\n"  # ends what was left, so that it is no line even where only its end was lost
_TAIL = 1 << 14  # bytes; a line has some 700, with a full quarantine 6,000


@dataclass(frozen=True, slots=True)
class Event:
    """One line; `table` is the journal after it, {} for none."""

    at: int  # seconds since 1970, UTC, by the clock of the device
    event: str
    reason: str = ""
    table: Mapping[str, Any] = field(default_factory=dict)

    @property
    def journal(self) -> Journal | None:
        try:
            return journal_file.from_table(self.table) if self.table else None
        except journal_file.DamagedError:
            return None


@dataclass(frozen=True, slots=True)
class Account:
    """A history; `broken` says where and why it is not to be believed, "" when it is."""

    events: tuple[Event, ...]
    head: str  # sha256 of the last whole line
    torn: int  # bytes at the end that are no whole line
    broken: str
    hashes: frozenset[str]  # of all lines

    @property
    def last(self) -> Journal | None:
        """The latest journal that it holds."""
        known = (one.journal for one in reversed(self.events))
        return next((journal for journal in known if journal is not None), None)


class _Line(NamedTuple):
    before: str
    skipped: int
    event: Event


def read(path: Path) -> Account:
    """Read and verify; a missing file is an empty history. Raises OSError."""
    try:
        return verify(path.read_bytes())
    except FileNotFoundError:
        return verify(b"")


def end(path: Path) -> Account:
    """The same of the last lines only: what a start needs. Raises OSError."""
    try:
        with path.open("rb", buffering=0) as file:
            return _end(file)
    except FileNotFoundError:
        return verify(b"")


def verify(content: bytes, *, whole: bool = True) -> Account:
    """Follow the chain; a break is told, and what comes after it followed again.

    Without `whole` it begins somewhere in the middle, and the first line is taken as it is.
    """
    events: list[Event] = []
    hashes: list[str] = []
    head = broken = ""
    skipped = 0
    for number, raw in enumerate(content.splitlines(keepends=True), start=1):
        line = _parsed(raw)
        if line is None:
            skipped += len(raw)
            continue
        follows = (line.before, line.skipped) == (head, skipped) or not (whole or events)
        if not follows and not broken:
            broken = f"line {number} does not follow the one before it"
        events.append(line.event)
        head, skipped = _hash(raw), 0
        hashes.append(head)
    return Account(tuple(events), head, skipped, broken, frozenset(hashes))


def append(path: Path, event: Event) -> str:
    """Add a line, which is on the disk when this returns; gives its hash. Raises OSError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    new = not path.exists()
    with os.fdopen(os.open(path, flags, 0o600), "r+b", buffering=0) as file:
        account = _end(file)
        head = account.head
        if account.torn:
            left = account.torn + len(_SPOILT)
            mend = _line(Event(event.at, TORN, f"{account.torn} bytes"), head, left)
            _write(file, _SPOILT + mend)
            os.fsync(file.fileno())
            head = _hash(mend)
        line = _line(event, head, 0)
        _write(file, line)
        os.fsync(file.fileno())
    if new:
        state.settle(path.parent)
    return _hash(line)


def _end(file: Any) -> Account:
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - _TAIL)
    file.seek(start)
    account = verify(file.read(), whole=start == 0)
    if start and not account.events:  # a very long torn end
        file.seek(0)
        account = verify(file.read())
    return account


def _line(event: Event, before: str, skipped: int) -> bytes:
    values = {"at": event.at, "event": event.event, "reason": event.reason, "table": event.table}
    return _text({"before": before, "skipped": skipped, **values})


def _parsed(raw: bytes) -> _Line | None:
    """A line as we write it; None for anything else."""
    try:
        values = json.loads(raw.decode())
        if _text(values) != raw:
            return None
        before, skipped = values.pop("before"), values.pop("skipped")
        return _Line(before, skipped, Event(**values))
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
        return None


def _text(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values).encode() + b"\n"


def _write(file: Any, content: bytes) -> None:
    while content:
        content = content[file.write(content) :]


def _hash(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
