"""The verbs of `edge-release`, each whole: read and verify, change, sign, put in place."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import ConfigError, UpdateError
from edge_runtime.state import settle
from edge_runtime.update import release as releases
from edge_runtime.update.release import Release

from . import candidate, files, repository, rollout, roots
from .candidate import Candidate, Terms
from .keys import Keys
from .publish import Change, publish
from .repository import METADATA, Repository
from .rollout import Rollout

if TYPE_CHECKING:
    from tuf.api.metadata import Metadata, Root


@dataclass(frozen=True, slots=True)
class Tool:
    """One repository, the keys at hand, and the moment in which all is signed (UTC)."""

    folder: Path
    keys: Keys
    now: datetime

    def add(self, directory: Path, terms: Terms) -> tuple[Release, Candidate, bool]:
        """Release a model directory, for nobody yet; False when it was released before.

        Raises ConfigError, also for other bytes under a released version, and ModelLoadError.
        """
        repository.read(self.folder)  # before the work
        with candidate.pack(directory) as packed, files.locked(self.folder):
            seen = repository.read(self.folder)
            made, is_new = _numbered(seen, packed, terms)
            self._place(packed, made)  # also in the place of one that was lost or damaged
            if is_new:
                self._sign(seen, made)
            return made, packed, is_new

    def rollout(self, name: str, version: str, told: Rollout) -> Release:
        """Let more devices have a release. Raises ConfigError for fewer."""
        return self._change(name, version, lambda release: rollout.widen(release, told))

    def revoke(self, name: str, version: str, reason: str) -> Release:
        """Take a release back. Raises ConfigError."""
        return self._change(name, version, lambda release: rollout.revoke(release, reason))

    def refresh(self, days: Mapping[str, int], *, targets: bool = False) -> Repository:
        """Sign snapshot and timestamp anew, and targets too where asked."""
        with files.locked(self.folder):
            seen = repository.read(self.folder)
            same = seen.targets.signed.targets if targets else None
            publish(seen, Change(targets=same, days=days), self.keys, self.now)
            return repository.read(self.folder)

    def draft(self, role: str, old: str, out: Path) -> tuple[Metadata[Root], bool]:
        """The next root with a new key for a role ("" for none), and whether it is published.

        It is not when too few root keys are at hand: then it lies in `out` for them to sign.
        """
        with files.locked(self.folder):
            seen = repository.read(self.folder)
            number = seen.root.signed.version + 1
            names = (self.folder / METADATA / f"{number}.root.json", out)
            with self.keys.kept_with(*(path for path in names if not path.exists())):
                made = roots.successor(seen, role, old, self.keys, self.now)
                whole = roots.complete(seen, made)
                if whole:
                    publish(seen, Change(root=made), self.keys, self.now)
                elif out.exists():  # of another change, which would be lost
                    raise ConfigError(f"{out}: is there already; publish it first, or delete it")
                else:
                    files.write(out, made.to_bytes())
                return made, whole

    def publish_root(self, draft: Metadata[Any]) -> None:
        """Put a root in place that enough keys signed. Raises VerificationError."""
        with files.locked(self.folder):
            seen = repository.read(self.folder)
            roots.check(seen, draft, self.now)
            publish(seen, Change(root=draft), self.keys, self.now)

    def remove(self, name: str, version: str) -> Release:
        """Let a release go that no device is to have. Raises ConfigError for any other."""
        with files.locked(self.folder):
            seen = repository.read(self.folder)
            gone = rollout.removable(seen.releases(), name, version)
            targets = dict(seen.targets.signed.targets)
            del targets[gone.path]
            change = Change(targets=targets, counters=seen.counters())
            publish(seen, change, self.keys, self.now)
            path = repository.bundle_path(self.folder, gone)
            try:  # only now: until the timestamp lay there, clients could ask for it
                path.unlink(missing_ok=True)
            except OSError as exc:
                raise UpdateError(
                    f"{name} {version}: is removed, but for {path}: {exc.strerror}; delete it"
                ) from exc
            return gone

    def _change(self, name: str, version: str, change: Callable[[Release], Release]) -> Release:
        with files.locked(self.folder):
            seen = repository.read(self.folder)
            was = rollout.find(seen.releases(), name, version)
            becomes = change(was)
            if becomes != was:
                self._sign(seen, becomes)
            return becomes

    def _sign(self, seen: Repository, release: Release) -> None:
        from tuf.api.metadata import TargetFile

        custom = release.custom()
        releases.read(release.path, release.digest, release.length, custom)  # as all will, from now
        target = TargetFile(
            release.length, {"sha256": release.digest}, release.path, {"custom": custom}
        )
        targets = {**seen.targets.signed.targets, release.path: target}
        publish(seen, Change(targets=targets), self.keys, self.now)

    def _place(self, packed: Candidate, release: Release) -> None:
        path = repository.bundle_path(self.folder, release)
        for folder in (path.parent.parent, path.parent):
            if not folder.is_dir():
                folder.mkdir()
                folder.chmod(0o755)
                settle(folder.parent)
        for left in path.parent.glob(".*.new"):  # by a run that was killed
            left.unlink()
        with files.replacing(path) as fresh:
            shutil.copyfile(packed.bundle, fresh)


def _numbered(seen: Repository, packed: Candidate, terms: Terms) -> tuple[Release, bool]:
    made = packed.manifest
    for release in seen.releases():
        if (release.name, release.version) == (made.name, made.version):
            return _same(release, packed, terms), False
    return packed.release(1 + seen.counters().get(made.name, 0), terms), True


def _same(release: Release, packed: Candidate, terms: Terms) -> Release:
    called = f"{release.name} {release.version}"
    if release.digest != packed.digest:
        raise ConfigError(
            f"{called}: is released with other bytes; raise version in {packed.manifest.name}'s "
            "model.toml"
        )
    again = packed.release(release.counter, terms)
    asked = replace(release, archs=again.archs, min_memory_mb=again.min_memory_mb)
    if replace(asked, min_version=again.min_version) != release:
        raise ConfigError(f"{called}: is released for other devices; raise its version")
    return release
