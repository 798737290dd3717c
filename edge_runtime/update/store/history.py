"""What became of every update, line by line: appended, chained by hashes, never changed.

Each line is a JSON object that holds the sha256 of the line before it, and the journal as it then
was: a lost journal is found there. A power cut may leave half a line at the end, or noise in its
place. The next line then says so: it follows the last whole one, and counts the bytes between.
A full file is renamed, over the one before it; the first line of the next one says so, and follows
the last line of the renamed one: the chain goes on.
The chain shows a change to anybody who kept a later hash (`Account.head`, for example published);
who may write the file can also write another chain.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from edge_runtime import state

from . import journal_file
from .journal import Journal

TORN = "torn"  # the event of a line that follows what a power cut left
CONTINUED = "continued"  # of the first line of a file that follows a full one
FULL = 1 << 20  # bytes, from which on a file is renamed
_SPOILT = b"!\n"  # ends what was left, so that it is no line even where only its end was lost
_LATEST = 1 << 38  # a moment that still has a date
_TAIL = 1 << 14  # bytes; a line has some 700, with a full quarantine up to 20,000


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
    def gone(self) -> str:
        """Of lines too old to be kept, such as "after 1500 lines"; "" when all are there."""
        first = next(iter(self.events), None)
        return first.reason if first is not None and first.event == CONTINUED else ""

    @property
    def last(self) -> Journal | None:
        """The latest journal that it holds."""
        known = (one.journal for one in reversed(self.events))
        return next((journal for journal in known if journal is not None), None)


class _Line(NamedTuple):
    before: str
    skipped: int
    event: Event


def older(path: Path) -> Path:
    """Where a full history lies."""
    return path.with_suffix(f".1{path.suffix}")


def read(path: Path) -> Account:
    """Read and verify both files; a missing one is empty. Raises OSError."""
    before = _content(older(path))
    account = verify(before, _content(path))
    if account.gone and not before:
        return replace(account, broken=f"{older(path).name} is missing")
    return account


def end(path: Path) -> Account:
    """The same of the last lines only, which are on the disk then: the next one builds on them.

    (Whoever wrote them may have been killed before that.) Raises OSError.
    """
    content = b""
    with suppress(FileNotFoundError), path.open("rb") as file:
        os.fsync(file.fileno())
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
        content = file.read()
    account = verify(content, whole=len(content) < _TAIL)
    return account if account.events else read(path)


def verify(*parts: bytes, whole: bool = True) -> Account:
    """Follow the chain; a break is told, and what comes after it followed again.

    Without `whole` it begins somewhere in the middle, and the first line is taken as it is.
    """
    events: list[Event] = []
    hashes: list[str] = []
    head = broken = ""
    skipped = 0
    lines = (raw for part in parts for raw in part.splitlines(keepends=True))
    for number, raw in enumerate(lines, start=1):
        line = _parsed(raw)
        if line is None:
            skipped += len(raw)
            continue
        first = not events and (not whole or line.event.event == CONTINUED)
        if not first and (line.before, line.skipped) != (head, skipped) and not broken:
            broken = f"line {number} does not follow the one before it"
        events.append(line.event)
        head, skipped = _hash(raw), 0
        hashes.append(head)
    return Account(tuple(events), head, skipped, broken, frozenset(hashes))


def append(path: Path, event: Event) -> str:
    """Add a line, which is on the disk when this returns; gives its hash. Raises OSError."""
    _make_way(path, event.at)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    new = not path.exists()
    with os.fdopen(os.open(path, flags, 0o600), "ab", buffering=0) as file:
        account = end(path)
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


def _make_way(path: Path, at: int) -> None:
    """Rename a full file and begin the next, which is there with its first line or not at all."""
    with suppress(FileNotFoundError):
        if path.lstat().st_size >= FULL:
            path.replace(older(path))
            state.settle(path.parent)
    if not path.exists() and older(path).exists():  # also when that was cut off here
        full = read(path)
        after = Event(at, CONTINUED, f"after {len(full.events)} lines")
        state.replace(path, _line(after, full.head, full.torn))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _line(event: Event, before: str, skipped: int) -> bytes:
    values = {"at": event.at, "event": event.event, "reason": event.reason, "table": event.table}
    return _text({"before": before, "skipped": skipped, **values})


def _parsed(raw: bytes) -> _Line | None:
    """A line as we write it; None for anything else."""
    try:
        values = json.loads(raw.decode())
        if _text(values) != raw:
            return None
        line = _Line(values.pop("before"), values.pop("skipped"), Event(**values))
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
        return None
    event = line.event
    words = (line.before, event.event, event.reason)
    right = type(event.at) is int and 0 <= event.at < _LATEST and isinstance(event.table, dict)
    return line if right and all(isinstance(word, str) for word in words) else None


def _text(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values).encode() + b"\n"


def _write(file: Any, content: bytes) -> None:
    while content:
        content = content[file.write(content) :]


def _hash(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
