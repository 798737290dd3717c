"""A store on a device, and ways to hurt it."""

from __future__ import annotations

import shutil
from pathlib import Path

from edge_runtime.update.store.journal import Installed
from edge_runtime.update.store.store import Store

from .bundles import model, packed


class Device:
    """A store, its factory model, and releases to put in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "state" / "update"
        self.factory = model(folder / "factory", "0.1")
        self.store = self.restarted()
        self._count = 0

    def restarted(self) -> Store:
        self.store = Store(self.home, self.factory)
        self.store.open()
        return self.store

    def fetched(self) -> Installed:
        """A release whose bundle lies in staging."""
        self._count += 1
        made, release = packed(self.folder, f"1.{self._count}", self._count)
        self.store.fetching(release)
        shutil.copyfile(made, self.store.part(release.digest))
        return release

    def validated(self) -> Installed:
        release = self.fetched()
        self.store.stage(self.store.part(release.digest), release)
        self.store.validate("passed")
        return release

    def on_trial(self) -> Installed:
        release = self.validated()
        self.store.begin_trial()
        return release

    def committed(self) -> Installed:
        release = self.on_trial()
        self.store.commit()
        return release

    def slots(self) -> set[str]:
        return {path.name for path in (self.home / "slots").iterdir()}

    def link(self, name: str) -> str:
        path = self.home / name
        return path.readlink().name if path.is_symlink() else ""


def zero(folder: Path) -> None:
    """What a cut left on a Jetson: names without contents."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(0o600)
            path.write_bytes(b"")
