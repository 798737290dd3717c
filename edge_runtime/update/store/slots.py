"""The folder of a store as it lies on the disk: slots, staging, links, what was set aside."""

from __future__ import annotations

import logging
import os
import re
import secrets
import stat
from pathlib import Path

from edge_runtime import state
from edge_runtime.errors import ConfigError, VerificationError

from . import bundle, tree
from .recover import Links

KEEP_ASIDE = 2  # damaged slots that are kept for whoever wants to know why

_DIGEST = re.compile(r"[0-9a-f]{64}")

log = logging.getLogger(__name__)


class Slots:
    """See the module. Methods raise OSError; each change is on the disk when it returns."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.staging = folder / "staging"
        self._slots = folder / "slots"
        self._aside = folder / "aside"

    def make(self) -> None:
        """Raises ConfigError where they cannot be, are links, or another user's."""
        for path in (self.folder, self._slots, self.staging, self._aside):
            state.ensure(path)
            facts = path.lstat()
            if stat.S_ISLNK(facts.st_mode):
                raise ConfigError(f"{path}: is a link; an update store holds real folders only")
            if facts.st_uid != os.geteuid():
                raise ConfigError(f"{path}: belongs to user {facts.st_uid}; run this as that user")
            if facts.st_mode & 0o022:
                log.warning("%s: others could write here; now its owner alone", path)
                path.chmod(0o700)

    def path(self, digest: str) -> Path:
        return self._slots / digest

    def known(self) -> frozenset[str]:
        """Of all slots, whatever they hold; a link is none."""
        try:
            found = list(self._slots.iterdir())
        except FileNotFoundError:
            return frozenset()
        return frozenset(
            path.name for path in found if _DIGEST.fullmatch(path.name) and tree.is_folder(path)
        )

    def is_whole(self, digest: str) -> bool:
        """Whether a slot is what its name says, read from the disk."""
        try:
            return bundle.digest_of(self.path(digest)) == digest
        except VerificationError:
            return False
        except OSError as exc:
            if tree.is_gone(exc):
                return False
            raise

    def fresh(self) -> Path:
        """A name in staging that nobody could foresee."""
        return self.staging / secrets.token_hex(8)

    def place(self, laid_out: Path, digest: str) -> None:
        """Give a folder of staging its slot, and read it back; what stood there makes way.

        Raises VerificationError("hash"): the disk does not hold what was written.
        """
        if digest in self.known() and self.is_whole(digest):
            tree.remove(laid_out)
            state.settle(self._slots)  # whoever moved it there may have ended before this
            return
        self.set_aside(digest)
        tree.move(laid_out, self.path(digest))
        if not self.is_whole(digest):
            self.set_aside(digest)
            raise VerificationError(
                f"{self.path(digest)}: reads back as something else; set aside", reason="hash"
            )

    def set_aside(self, digest: str) -> None:
        """Move a slot out of the way, whatever it is; only the latest are kept."""
        path = self.path(digest)
        if not os.path.lexists(path):
            return
        old = sorted(self._aside.iterdir(), key=lambda found: found.lstat().st_mtime_ns)
        for found in old[: max(0, len(old) - KEEP_ASIDE + 1)]:
            tree.remove(found)
        tree.move(path, self._aside / f"{digest}.{secrets.token_hex(4)}")

    def links(self) -> Links:
        return Links(self._leads_to("active"), self._leads_to("previous"))

    def point(self, links: Links) -> None:
        """Let the links lead there; one that does already is left alone."""
        for name, digest in links._asdict().items():
            path = self.folder / name
            if digest == self._leads_to(name) and (digest or not os.path.lexists(path)):
                continue
            if digest:
                fresh = self.folder / f"{name}.new"
                tree.remove(fresh)
                fresh.symlink_to(f"slots/{digest}")
                fresh.replace(path)
            else:
                path.unlink()
            state.settle(self.folder)

    def collect(self, keep: frozenset[str]) -> None:
        """Remove all slots but these."""
        for path in self._slots.iterdir():
            if path.name not in keep:
                tree.remove(path)

    def sweep(self, keep: str = "") -> None:
        """Empty staging, but for the half-fetched bundle of one digest."""
        for path in self.staging.iterdir():
            if not keep or path.name != f"{keep}.part":
                tree.remove(path)

    def _leads_to(self, name: str) -> str:
        try:
            target = (self.folder / name).readlink()
        except OSError:
            return ""
        right = target.parent == Path("slots") and _DIGEST.fullmatch(target.name)
        return target.name if right else ""
