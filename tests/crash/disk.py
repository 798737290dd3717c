"""A disk that honours sync, as a power cut may leave it: what is sure, and what is open.

The model, which is the strictest reading of POSIX.1-2017 fsync() that keeps to whole sectors:

- What was written to a file before its last completed sync (fsync, fdatasync) is on the disk.
- Of what came later, each 512-byte sector of a file holds what any prefix of the writes to it
  left there, independently of every other sector. Nothing between: sectors are written whole.
- A later truncation is there or not; later ones only with earlier ones. Where the file grew, its
  size may have grown without the data, which then reads as zeros or as noise.
- After a failed sync the writes before it are never sure again, whatever sync succeeds later: Linux
  drops them from its list of what is to be written (https://lwn.net/Articles/752063).
- Names (made, removed, renamed) are sure once their folder was synced. Until then any subset of
  the changes may be there, in their order. ext4 and xfs are kinder: they keep a prefix of the
  changes, and sync those before a sync of a new file along with it. `Names.kind` says whether such
  a disk could have done it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from types import MappingProxyType
from typing import NamedTuple

from .recorder import Kind, Operation

SECTOR = 512
NOISE = b"\xa5"


class Change(NamedTuple):
    """A write of `data` at `offset`; with data None, a truncation to `offset` bytes."""

    offset: int
    data: bytes | None
    sure: bool = False
    lost: bool = False  # a sync of it failed

    @property
    def sectors(self) -> range:
        return range(self.offset // SECTOR, (self.offset + len(self.data or b"") - 1) // SECTOR + 1)


class Cut(NamedTuple):
    """Which changes of a file are there: those before `at`; before `sectors[n]` for sector n.

    `truncations` and `at` count changes of both kinds; `tail` fills a file that has its last size
    without the data; None leaves it as long as what is there.
    """

    at: int
    truncations: int
    sectors: Mapping[int, int] = MappingProxyType({})
    tail: bytes | None = None


class File:
    """One inode."""

    def __init__(self, content: bytes = b"") -> None:
        self.base = content
        self.size = len(content)
        self.changes: list[Change] = []
        self.grew = False  # since the last sync

    @property
    def is_open(self) -> bool:
        """Whether a power cut could leave more than one content."""
        return not all(change.sure for change in self.changes)

    def change(self, change: Change) -> None:
        self.changes.append(change)
        size = self.size
        self.size = change.offset if change.data is None else max(
            self.size, change.offset + len(change.data)
        )  # fmt: skip
        self.grew |= self.size != size

    def synced(self) -> None:
        self.changes = [
            change if change.lost else change._replace(sure=True) for change in self.changes
        ]
        self.grew = False
        sure = 0
        while sure < len(self.changes) and self.changes[sure].sure:
            sure += 1
        if sure:
            self.base = self.after(Cut(sure, sure), self.changes[:sure])
            del self.changes[:sure]

    def sync_failed(self) -> None:
        self.changes = [
            change if change.sure or change.data is None else change._replace(lost=True)
            for change in self.changes
        ]

    def after(self, cut: Cut, changes: list[Change] | None = None) -> bytes:
        """The content that such a power cut leaves."""
        content = bytearray(self.base)
        for number, change in enumerate(self.changes if changes is None else changes):
            if change.data is None:
                if change.sure or number < cut.truncations:
                    _resize(content, change.offset)
            elif change.sure or (not cut.sectors and number < cut.at):
                _write(content, change.offset, change.data)
            elif cut.sectors:
                for sector in change.sectors:
                    if number < cut.sectors.get(sector, cut.at):
                        start = max(sector * SECTOR, change.offset)
                        end = (sector + 1) * SECTOR - change.offset
                        _write(content, start, change.data[start - change.offset : end])
        if cut.tail is not None and len(content) < self.size:
            content += cut.tail * (self.size - len(content))
        return bytes(content)


def _resize(content: bytearray, size: int) -> None:
    if len(content) > size:
        del content[size:]
    else:
        content += bytes(size - len(content))


def _write(content: bytearray, offset: int, data: bytes) -> None:
    if len(content) < offset:
        content += bytes(offset - len(content))
    content[offset : offset + len(data)] = data


class NameChange(NamedTuple):
    """A name made (`file` is new), renamed (from `old`) or removed (`file` is None)."""

    path: str
    file: File | None
    old: str = ""

    @property
    def folders(self) -> set[str]:
        return {str(PurePath(path).parent) for path in (self.path, self.old) if path}


class Names(NamedTuple):
    """The files that are found by name after a power cut, and on which kind of disk."""

    files: dict[str, File]
    kind: str  # "ordered": also on ext4 and xfs; "posix"


@dataclass
class Disk:
    """One folder, followed operation by operation; paths are absolute."""

    folder: str
    names: dict[str, File] = field(default_factory=dict)
    changes: list[NameChange] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._kept = dict(self.names)
        self._folders = {self.folder}
        self._open: dict[int, File | str] = {}
        self._journalled = 0  # of the changes, those that ext4 would have kept by now

    def apply(self, operation: Operation) -> bool:
        """Follow it; says whether a power cut after it could leave anything new."""
        kind, fd, a, existed, data = operation
        if kind in (Kind.SYNC, Kind.SYNC_FAILED):
            self._synced(self._open[fd], failed=kind == Kind.SYNC_FAILED)
        elif kind == Kind.CLOSE:
            self._open.pop(fd, None)
        elif kind == Kind.WRITE:
            self._file(fd).change(Change(a, data))
        elif kind == Kind.TRUNCATE:
            self._file(fd).change(Change(a, None))
        elif kind == Kind.OPEN:
            return self._opened(fd, data.decode(), empty=bool(a), existed=bool(existed))
        elif kind != Kind.MARK:
            self._rename(kind, data.decode().split("\0"))
        return kind not in (Kind.CLOSE, Kind.MARK)

    def after(self, chosen: Iterable[int]) -> Names:
        """The names when of the open changes only the chosen ones (by number) are there."""
        chosen = list(chosen)
        files = dict(self._kept)
        for number in chosen:
            _rename(files, self.changes[number])
        ordered = chosen == list(range(len(chosen))) and len(chosen) >= self._journalled
        return Names(files, "ordered" if ordered else "posix")

    def _opened(self, fd: int, path: str, *, empty: bool, existed: bool) -> bool:
        if path in self._folders:
            self._open[fd] = path
            return False
        if not existed:
            self._note(NameChange(path, File()))
        file = self.names[path]
        if empty and existed:
            file.change(Change(0, None))
        self._open[fd] = file
        return empty or not existed

    def _file(self, fd: int) -> File:
        file = self._open[fd]
        assert isinstance(file, File)
        return file

    def _synced(self, what: File | str, *, failed: bool) -> None:
        if isinstance(what, File):
            if failed:
                what.sync_failed()
                return
            if what.grew or any(change.file is what for change in self.changes):
                self._journalled = len(self.changes)
            what.synced()
        elif not failed:
            left = [change for change in self.changes if what not in change.folders]
            for change in self.changes:
                if what in change.folders:
                    _rename(self._kept, change)
            self.changes = left
            self._journalled = min(self._journalled, len(left))

    def _rename(self, kind: Kind, paths: list[str]) -> None:
        if kind == Kind.UNLINK:
            self._note(NameChange(paths[0], None))
        elif kind == Kind.RENAME:
            self._note(NameChange(paths[1], self.names[paths[0]], old=paths[0]))
        else:
            raise ValueError(f"{kind.name} is not modelled: make the folder before")

    def _note(self, change: NameChange) -> None:
        self.changes.append(change)
        _rename(self.names, change)


def _rename(files: dict[str, File], change: NameChange) -> None:
    if change.old and files.get(change.old) is change.file:
        del files[change.old]
    if change.file is None:
        files.pop(change.path, None)
    else:
        files[change.path] = change.file
