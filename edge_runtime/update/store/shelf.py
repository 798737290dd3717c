"""Slots, links, journal and history as one: in order after any end, and changed in turns."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from edge_runtime import state
from edge_runtime.errors import ConfigError, UpdateError

from . import recover, tree
from .books import Books
from .journal import Journal
from .journal_file import DamagedError
from .lock import Lock
from .slots import Slots

WAIT_S = 10.0  # for another process to finish a change of the journal
_FETCHED = ("fetching", "staged")  # the bundle is still needed

log = logging.getLogger(__name__)


class Shelf:
    """See the module. `journal` is the last that was read or written."""

    def __init__(self, folder: Path, factory: Path, clock: Callable[[], float]) -> None:
        self.folder = folder
        self.factory = factory
        self.journal = Journal()
        self.slots = Slots(folder)
        self.books = Books(folder, clock)
        self.updating = Lock(folder / "updating.lock")  # for as long as an update takes
        self._turns = Lock(folder / "lock")  # for one change

    def put_in_order(self) -> None:
        """Recover, or find out what recovery would come to where nothing can be written."""
        try:
            self.slots.make()
            with self._turns.hold(WAIT_S):
                self._recover()
        except (OSError, UpdateError) as exc:
            log.error("the update store cannot be put in order: %s", exc)  # noqa: TRY400 - told whole
            self._look()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """The lock, the journal as it now is, and typed errors."""
        with tree.told_as(str(self.folder)), self._turns.hold(WAIT_S):
            try:
                self.journal = self.books.read()
            except DamagedError:
                self._recover()
            yield

    def move(self, journal: Journal, event: str) -> Journal:
        """The journal first: with it, it has happened; the next open does what fails later."""
        self.journal = self.books.enter(journal, event)
        self._follow(recover.links(self.journal))
        return self.journal

    def _follow(self, links: recover.Links) -> None:
        try:
            self.slots.point(links)
        except OSError as exc:
            log.warning("%s: the links are not as they should be: %s", self.folder, exc)

    def collect(self) -> None:
        """Remove slots that nothing needs, and what lies in staging unless it is being fetched."""
        keep = recover.kept(self.journal) | set(self.slots.links())
        with suppress(UpdateError), self.updating.hold():  # else another process is at work there
            fetched = self.journal.candidate if self.journal.state in _FETCHED else None
            try:
                self.slots.collect(keep)
                self.slots.sweep(fetched.digest if fetched else "")
            except OSError as exc:
                log.warning("%s: something is left to remove: %s", self.folder, exc)

    def note(self, journal: Journal) -> Journal:
        """Write what is no step of an update, if it is new; without a line in the history."""
        if journal != self.journal:
            self.journal = self.books.write(journal)
        return self.journal

    def back(self, journal: Journal) -> Journal:
        """To the best model that is whole. A full disk is emptied of what the trial needed."""
        given_up = self.journal.candidate
        plan = self._plan(journal)
        self.journal = plan.journal
        try:
            self._carry_out(plan, "rolled_back")
        except OSError as exc:
            if not tree.is_full(exc):
                raise
            self.slots.sweep()
            if given_up is not None and given_up.digest not in plan.keep:
                tree.free(self.slots.path(given_up.digest))
            self._carry_out(plan, "rolled_back")
        if plan.lost:
            raise self._nothing()
        return self.journal

    def _recover(self) -> None:
        with ExitStack() as stack:
            try:
                stack.enter_context(self.updating.hold())
                alone = True
            except UpdateError:
                alone = False
            before, lost = self._known(self.slots.is_whole)
            if not lost:
                state.settle(self.folder)  # whoever renamed it may have ended before this
                self.journal = before
                self.collect()  # what follows needs room
                self.books.catch_up(before)
            plan = self._plan(before, alone=alone)
            self.journal = plan.journal
            for digest in plan.aside:
                log.error("%s: damaged or missing", self.slots.path(digest))
            self._carry_out(plan, "recovered" if lost or plan.journal != before else "")
        if plan.lost:
            raise self._nothing()

    def _look(self) -> None:
        """Change nothing; what cannot be read is not there."""

        def is_whole(digest: str) -> bool:
            with suppress(OSError):
                return self.slots.is_whole(digest)
            return False

        try:
            known, _ = self._known(is_whole)
        except OSError:
            known = recover.rebuilt(None, self.slots.links(), is_whole)
        seen = recover.Seen(recover.kept(known), is_whole, self._has_factory(), alone=False)
        plan = recover.plan(known, seen)
        self.journal = plan.journal
        if plan.lost:
            raise self._nothing()

    def _known(self, is_whole: Callable[[str], bool]) -> tuple[Journal, bool]:
        """The journal; where it is lost, one made from the history or the links, and True.

        Raises OSError where it cannot be read now and may be whole.
        """
        try:
            return self.books.read(), False
        except DamagedError as exc:
            log.error("%s: the journal is lost: %s", self.folder, exc)  # noqa: TRY400 - told whole
            return recover.rebuilt(self.books.last(), self.slots.links(), is_whole), True

    def _plan(self, journal: Journal, *, alone: bool = True) -> recover.Plan:
        slots = self.slots
        seen = recover.Seen(slots.known(), slots.is_whole, self._has_factory(), alone)
        return recover.plan(journal, seen)

    def _has_factory(self) -> bool:
        return os.path.exists(self.factory)  # noqa: PTH110 - no error where it cannot be looked at

    def _carry_out(self, plan: recover.Plan, event: str) -> None:
        for digest in plan.aside:
            self.slots.set_aside(digest)
        if event:
            self.journal = self.books.enter(plan.journal, event)
        self._follow(plan.links)
        self.collect()

    def _nothing(self) -> ConfigError:
        return ConfigError(
            f"{self.factory}: the factory model is missing or not ours to read, and no model of an "
            f"update in {self.folder} is whole; copy the model again"
        )
