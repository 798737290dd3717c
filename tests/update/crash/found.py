"""What a start finds in a store after a power cut, and whether that is what was promised."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.errors import EdgeRunError
from edge_runtime.update.store import history
from edge_runtime.update.store.journal import Installed, Journal
from edge_runtime.update.store.store import Store

from .disk import Directory, Target, Tree

if TYPE_CHECKING:
    from .life import Files, Promise


@dataclass(frozen=True)
class Found:
    """By the link before the recovery, and by the store after it."""

    link: str  # "" for none
    live: str
    floor: tuple[tuple[str, int], ...]
    blocked: frozenset[str]
    faults: tuple[str, ...]  # whatever was promised

    def broken(self, promise: Promise) -> list[str]:
        wrong = list(self.faults)
        if self.live not in promise.live:
            wrong.append(f"live is {self.live[:8] or 'factory'}")
        if self.link not in promise.link:
            wrong.append(f"the link leads to {self.link[:8] or 'nothing'}")
        if self.link in promise.later and self.live != self.link:
            wrong.append("the link led to it before the journal did")
        floor = dict(self.floor)
        if any(floor.get(name, 0) < counter for name, counter in promise.floor):
            wrong.append(f"the floor fell to {floor}")
        if promise.blocked - self.blocked - promise.live:
            wrong.append("a quarantine is forgotten")
        return wrong


def put(home: Path, tree: Tree) -> None:
    """Lay a tree out, in place of what is there."""
    if home.exists():
        shutil.rmtree(home)
    home.mkdir(0o700)
    for path in sorted(tree):
        content, place = tree[path], home / path
        if isinstance(content, Target):
            place.symlink_to(content.decode())
        elif isinstance(content, Directory):
            place.mkdir(0o700)
        else:
            place.write_bytes(content)


def taken(home: Path | str, prefix: str = "") -> dict[str, bytes]:
    """What lies there, as `put` lays it out."""
    tree: dict[str, bytes] = {}
    with os.scandir(home) as found:
        for entry in found:
            name = prefix + entry.name
            if entry.is_symlink():
                tree[name] = Target(os.readlink(entry.path).encode())  # noqa: PTH115 - fast
            elif entry.is_dir():
                tree[name] = Directory()
                tree |= taken(entry.path, f"{name}/")
            else:
                descriptor = os.open(entry.path, os.O_RDONLY)
                tree[name] = os.read(descriptor, 1 << 24)
                os.close(descriptor)
    return tree


def inspect(home: Path, factory: Path, models: dict[str, Files]) -> Found:
    """Start, twice, on what lies there."""
    faults = []
    before = taken(home)
    link = _leads_to(before, "active")
    if link and not _whole(before, link, models):
        faults.append(f"the link leads to {link[:8]}, which is not whole")
    store = Store(home, factory, clock=lambda: 1_800_000_001)
    try:
        journal = store.open()
        once = taken(home)
        faults += _faults(once, journal, models)
        again = Store(home, factory, clock=lambda: 1_800_000_002)
        if again.open() != journal or taken(home) != once:
            faults.append("a second recovery does something else")
    except (EdgeRunError, OSError) as exc:
        return Found(link, "?", (), frozenset(), (*faults, f"{type(exc).__name__}: {exc}"))
    blocked = frozenset(one.digest for one in journal.quarantine)
    return Found(link, journal.live.digest, journal.floor, blocked, tuple(faults))


def _faults(tree: Tree, journal: Journal, models: dict[str, Files]) -> list[str]:
    needed: list[Installed | None] = [journal.live, journal.active, journal.previous]
    if journal.state in ("verified", "validated"):
        needed.append(journal.candidate)
    digests = {model.digest for model in needed if model is not None and model.digest}
    faults = [f"{one[:8]} is needed, not whole" for one in digests if not _whole(tree, one, models)]
    if _names(tree, "slots") != digests:
        faults.append("slots that nothing needs are left")
    candidate = journal.candidate.digest if journal.candidate is not None else "none"
    if _names(tree, "staging") - {f"{candidate}.part"}:
        faults.append("staging is not swept")
    if journal.reason == "journal-lost":
        faults.append("the journal was lost")
    if _names(tree, "aside"):
        faults.append("a slot was taken for damaged")
    account = history.verify(tree.get("history.1.jsonl", b""), tree.get("history.jsonl", b""))
    if account.broken or account.torn:
        faults.append(f"history: {account.broken or 'torn'}")
    previous = journal.previous.digest if journal.previous else ""
    if (_leads_to(tree, "active"), _leads_to(tree, "previous")) != (journal.live.digest, previous):
        faults.append("the links are not as the journal says")
    return faults


def _names(tree: Tree, folder: str) -> set[str]:
    return {path.split("/")[1] for path in tree if path.startswith(f"{folder}/")}


def _leads_to(tree: Tree, name: str) -> str:
    return tree[name].decode().removeprefix("slots/") if name in tree else ""


def _whole(tree: Tree, digest: str, models: dict[str, Files]) -> bool:
    """Against what was packed, byte for byte."""
    slot = f"slots/{digest}/"
    files = {
        path[len(slot) :]: content
        for path, content in tree.items()
        if path.startswith(slot) and type(content) is bytes
    }
    return files == models[digest]
