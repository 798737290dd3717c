"""Sets of metadata files: read through a link, changed in a copy, swapped whole.

python-tuf writes its folder file by file and syncs nothing. It gets a copy here; what came of it
is synced and a link leads to it then, in one rename. A cut leaves the old set or the new one, and
what else lies there is swept at the next start. One process at a time: the store's lock.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from edge_runtime import state

_LINK = "current"
_ROOTS = "root_history"


class Sets:
    """The sets in `folder`; made if need be."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        state.ensure(folder)

    def current(self) -> Path | None:
        """The set that holds; None before the first, and where the link leads nowhere."""
        try:
            name = (self._folder / _LINK).readlink().name
        except OSError:
            return None
        path = self._folder / name
        return path if name.isdigit() and path.is_dir() else None

    def copy(self) -> Path:
        """A copy of the set that holds, to be changed; all leftovers are gone then."""
        held = self.current()
        self._sweep(held)
        made = self._folder / f"{int(held.name) + 1 if held else 1}.new"
        (made / _ROOTS).mkdir(parents=True, mode=0o700)
        if held:
            for path in _files(held):
                _copy(path, made / path.relative_to(held))
        return made

    def commit(self, made: Path) -> None:
        """Make a changed copy the set that holds. Raises OSError; the old one holds then."""
        held = self.current()
        if held and _same(held, made):
            shutil.rmtree(made)
            return
        for path in _files(made):
            if path.stat().st_nlink == 1:  # another set has the others, settled
                _settle_file(path)
        state.settle(made / _ROOTS)
        state.settle(made)
        final = made.with_suffix("")
        made.rename(final)
        state.settle(self._folder)
        fresh = self._folder / f"{_LINK}.new"
        fresh.symlink_to(final.name)
        fresh.replace(self._folder / _LINK)
        state.settle(self._folder)
        self._sweep(final)

    def _sweep(self, held: Path | None) -> None:
        for path in self._folder.iterdir():
            if path == held or not (path.name[:1].isdigit() or path.name == f"{_LINK}.new"):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                with suppress(FileNotFoundError):
                    path.unlink()


def roots(made: Path) -> Path:
    """Where a set keeps the chain of its roots, `N.root.json`."""
    return made / _ROOTS


def _files(made: Path) -> list[Path]:
    """Its files; the link root.json is python-tuf's own and made anew each time."""
    return [
        path
        for folder in (made, made / _ROOTS)
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if path.is_file() and not path.is_symlink()
    ]


def _same(held: Path, made: Path) -> bool:
    old = {path.relative_to(held): path for path in _files(held)}
    new = {path.relative_to(made): path for path in _files(made)}
    return old.keys() == new.keys() and all(
        old[name].samefile(new[name]) or old[name].read_bytes() == new[name].read_bytes()
        for name in old
    )


def _copy(path: Path, to: Path) -> None:
    """A hard link where there can be one: nobody here writes into a file, only new ones."""
    try:
        to.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, to)


def _settle_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
