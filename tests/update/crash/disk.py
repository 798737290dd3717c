"""The disk of tests/crash with folders and symbolic links: what a power cut may leave of a tree.

Contents are as there. Names belong to folders, which are files with entries: a name made, changed
or removed is sure once its folder was synced; a rename, which is one change, once the folder that
it leads to was. Until then any subset of the changes may be there, in their order. What a folder
holds goes where it goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import NamedTuple

from ...crash.disk import Change, Cut, File, Names
from ...crash.recorder import Kind, Operation


class Link:
    """A symbolic link; it says the same for ever."""

    is_open = False

    def __init__(self, target: bytes) -> None:
        self.target = Target(target)

    def after(self, _cut: Cut) -> bytes:
        return self.target


class Folder:
    """An inode with names; `sure` are those that no power cut takes."""

    is_open = False

    def __init__(self) -> None:
        self.sure: dict[str, Node] = {}

    def after(self, _cut: Cut) -> bytes:
        return FOLDER


class Target(bytes):
    """What a link says, where contents are expected."""


class Directory(bytes):
    """Stands for a folder, where contents are expected."""


FOLDER = Directory()
Node = File | Link | Folder
Tree = Mapping[str, bytes]  # by path in the folder; Target and Directory are no contents


class NameChange(NamedTuple):
    """In `folder`: `name` is now `file`; None: it is gone. `source`: where a rename took it."""

    folder: Folder
    name: str
    file: Node | None
    source: tuple[Folder, str] | None = None


Entries = dict[Folder, dict[str, Node]]


class Disk:
    """One folder, followed operation by operation; `tree` is what lies in it at first."""

    def __init__(self, home: str, tree: Tree) -> None:
        self.home = home
        self.root = Folder()
        self.changes: list[NameChange] = []
        self._open: dict[int, File | Folder] = {}
        self._now: Entries = {self.root: self.root.sure.copy()}
        self._journalled = 0
        for path in sorted(tree):
            self._place(path, tree[path])

    def apply(self, operation: Operation) -> bool:
        """Follow it; says whether a power cut after it could leave anything new."""
        kind, fd, a, existed, data = operation
        if kind in (Kind.CLOSE, Kind.MARK):
            if kind == Kind.CLOSE:
                self._open.pop(fd, None)
            return False
        if kind == Kind.SYNC:
            self._synced(self._open[fd])
        elif kind == Kind.SYNC_FAILED:
            what = self._open[fd]
            if isinstance(what, File):
                what.sync_failed()
        elif kind in (Kind.WRITE, Kind.TRUNCATE):
            what = self._open[fd]
            assert isinstance(what, File)
            what.change(Change(a, data if kind == Kind.WRITE else None))
        elif kind == Kind.OPEN:
            return self._opened(fd, data.decode(), empty=bool(a), existed=bool(existed))
        else:
            self._named(kind, *data.split(b"\0"))
        return True

    def after(self, chosen: Iterable[int]) -> Names:
        """The tree when of the open changes only the chosen ones are there; paths are relative."""
        chosen = list(chosen)
        entries: Entries = {}
        for number in chosen:
            _apply(entries, self.changes[number])
        ordered = chosen == list(range(len(chosen))) and len(chosen) >= self._journalled
        found = dict(_walk(self.root, entries, ""))
        return Names(found, "ordered" if ordered else "posix")  # type: ignore[arg-type]

    def _place(self, path: str, content: bytes) -> None:
        folder, name = self._parent(f"{self.home}/{path}")
        node: Node = File(content)
        if isinstance(content, Target):
            node = Link(content)
        elif isinstance(content, Directory):
            node = Folder()
        folder.sure[name] = self._now[folder][name] = node
        if isinstance(node, Folder):
            self._now[node] = {}

    def _parent(self, path: str) -> tuple[Folder, str]:
        pure = PurePath(path).relative_to(self.home)
        folder = self.root
        for part in pure.parts[:-1]:
            below = self._now[folder][part]
            assert isinstance(below, Folder)
            folder = below
        return folder, pure.name

    def _opened(self, fd: int, path: str, *, empty: bool, existed: bool) -> bool:
        if path == self.home:
            self._open[fd] = self.root
            return False
        folder, name = self._parent(path)
        if not existed:
            self._note(NameChange(folder, name, File()))
        node = self._now[folder][name]
        assert not isinstance(node, Link)
        if empty and existed:
            assert isinstance(node, File)
            node.change(Change(0, None))
        self._open[fd] = node
        return empty or not existed

    def _named(self, kind: Kind, path: bytes, other: bytes = b"") -> None:
        folder, name = self._parent(path.decode())
        if kind == Kind.UNLINK:
            self._note(NameChange(folder, name, None))
        elif kind == Kind.MKDIR:
            made = Folder()
            self._now[made] = {}
            self._note(NameChange(folder, name, made))
        elif kind == Kind.SYMLINK:
            self._note(NameChange(folder, name, Link(other)))
        else:
            target, new = self._parent(other.decode())
            source = (folder, name) if kind == Kind.RENAME else None
            assert source or kind == Kind.LINK
            self._note(NameChange(target, new, self._now[folder][name], source))

    def _note(self, change: NameChange) -> None:
        self.changes.append(change)
        _apply(self._now, change)

    def _synced(self, what: File | Folder) -> None:
        if isinstance(what, File):
            if what.grew or any(change.file is what for change in self.changes):
                self._journalled = len(self.changes)
            what.synced()
            return
        kept: Entries = {}
        moved = set()  # what stands elsewhere now is not made anew where it was
        for change in self.changes:
            if change.folder is what:
                _apply(kept, change)
                if change.source is not None:
                    moved.add((*change.source, change.file))
        for folder, names in kept.items():
            folder.sure = names
        self.changes = [
            change
            for change in self.changes
            if change.folder is not what and (change.folder, change.name, change.file) not in moved
        ]
        self._forget_the_unreachable()
        self._journalled = min(self._journalled, len(self.changes))

    def _forget_the_unreachable(self) -> None:
        """Changes in folders that are gone for good leave nothing to see."""
        known = _below(self.root)
        for change in self.changes:
            if isinstance(change.file, Folder):
                known |= _below(change.file)
        self.changes = [change for change in self.changes if change.folder in known]


def _apply(entries: Entries, change: NameChange) -> None:
    if change.source is not None:
        folder, name = change.source
        names = entries.setdefault(folder, dict(folder.sure))
        if names.get(name) is change.file:
            del names[name]
    names = entries.setdefault(change.folder, dict(change.folder.sure))
    if change.file is None:
        names.pop(change.name, None)
    else:
        names[change.name] = change.file


def _walk(folder: Folder, entries: Entries, prefix: str) -> Iterator[tuple[str, Node]]:
    for name, node in entries.get(folder, folder.sure).items():
        yield prefix + name, node
        if isinstance(node, Folder):
            yield from _walk(node, entries, f"{prefix}{name}/")


def _below(folder: Folder) -> set[Folder]:
    found = {folder}
    for node in folder.sure.values():
        if isinstance(node, Folder):
            found |= _below(node)
    return found
