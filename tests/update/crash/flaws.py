"""Ways to build a store, or a set of metadata, that does not survive a power cut.

Each is to be found by the check.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

from edge_runtime import state
from edge_runtime.update.remote import floors
from edge_runtime.update.remote.floors import Floor
from edge_runtime.update.remote.sets import Sets
from edge_runtime.update.store import recover, shelf
from edge_runtime.update.store.books import Books
from edge_runtime.update.store.journal import Journal
from edge_runtime.update.store.shelf import Shelf
from edge_runtime.update.store.slots import Slots


def link_before_journal() -> None:
    """The new model is live before anybody knows that it is on trial."""
    move = Shelf.move

    def moved(shelf: Shelf, journal: Journal, event: str) -> Journal:
        shelf.slots.point(recover.links(journal))
        return move(shelf, journal, event)

    Shelf.move = moved  # type: ignore[method-assign]


def collect_before_journal() -> None:
    """What the new journal does not need goes while the old one stands."""
    move = Shelf.move

    def moved(shelf: Shelf, journal: Journal, event: str) -> Journal:
        if event == "committed":
            shelf.slots.collect(recover.kept(journal))
        return move(shelf, journal, event)

    Shelf.move = moved  # type: ignore[method-assign]


def history_before_journal() -> None:
    """A line tells of what has not happened."""

    def enter(books: Books, journal: Journal, event: str) -> Journal:
        books._tell(event, journal)
        return books.write(journal)

    Books.enter = enter  # type: ignore[method-assign]


def journal_in_place() -> None:
    """The journal is written over, not replaced."""

    def replace(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        state.settle(path.parent)

    state.replace = replace


def link_in_two_steps() -> None:
    """The old link is removed before the new one is made."""

    def point(slots: Slots, links: recover.Links) -> None:
        for name, digest in links._asdict().items():
            with suppress(FileNotFoundError):
                (slots.folder / name).unlink()
            if digest:
                (slots.folder / name).symlink_to(f"slots/{digest}")
        state.settle(slots.folder)

    Slots.point = point  # type: ignore[method-assign]


def previous_is_not_kept() -> None:
    """A commit removes what it could be rolled back to."""

    def kept(journal: Journal) -> frozenset[str]:
        return frozenset({journal.live.digest, journal.active.digest})

    recover.kept = kept


def no_syncs_of_names() -> None:
    """Folders are never synchronised by the store's own hand."""
    state.settle = lambda path: None


def no_sync_at_start() -> None:
    """A start takes for sure what it reads, though whoever wrote it was killed before its sync."""
    shelf.state = SimpleNamespace(settle=lambda path: None)


def no_floor() -> None:
    """What was seen lies in the metadata themselves, and nowhere else."""
    floors.keep = floors.copy = lambda path, floor: None
    floors.read = lambda path: Floor()


def metadata_in_place() -> None:
    """python-tuf works in the set that holds; its files are synced when it is done."""

    def copy(sets: Sets) -> Path:
        held = sets._folder / "1"
        (held / "root_history").mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            (sets._folder / "current").symlink_to("1")
        return held

    def commit(sets: Sets, made: Path) -> None:
        for path in [*made.glob("[!r]*.json"), *made.glob("root_history/*")]:
            with path.open("rb") as file:
                os.fsync(file.fileno())
        for folder in (made / "root_history", made, sets._folder):
            state.settle(folder)

    Sets.copy, Sets.commit = copy, commit  # type: ignore[method-assign]


FLAWS: dict[str, Callable[[], None]] = {
    made.__name__: made
    for made in (
        link_before_journal, collect_before_journal, history_before_journal, journal_in_place,
        link_in_two_steps, previous_is_not_kept, no_syncs_of_names, no_sync_at_start, no_floor,
        metadata_in_place,
    )
}  # fmt: skip
