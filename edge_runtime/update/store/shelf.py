"""Slots, links, journal and history as one: in order after any end, and changed in turns."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from edge_runtime.errors import ConfigError, UpdateError

from . import recover, tree
from .books import Books
from .journal import Journal
from .journal_file import DamagedError
from .lock import Lock
from .slots import Slots

WAIT_S = 10.0  # for another process to finish a change of the journal

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
        except (OSError, UpdateError):
            log.exception("%s: the update store cannot be put in order", self.folder)
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
        if self.slots.links() != recover.links(self.journal):
            return  # what a link leads to stays
        with suppress(UpdateError), self.updating.hold():  # else another process is at work there
            fetched = self.journal.candidate if self.journal.state == "fetching" else None
            try:
                self.slots.collect(recover.kept(self.journal))
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
            before, lost = self._known()
            if not lost:
                self.books.catch_up(before)
            plan = self._plan(before, alone=alone)
            self.journal = plan.journal
            for digest in plan.aside:
                log.error("%s: damaged or missing", self.slots.path(digest))
            self._carry_out(plan, "recovered" if lost or plan.journal != before else "")
        if plan.lost:
            raise self._nothing()

    def _look(self) -> None:
        plan = self._plan(self._known()[0], alone=False)
        self.journal = plan.journal
        if plan.lost:
            raise self._nothing()

    def _known(self) -> tuple[Journal, bool]:
        """The journal; where it is lost, one made from the history or the links, and True."""
        try:
            return self.books.read(), False
        except DamagedError as exc:
            log.error("%s: the journal is lost: %s", self.folder, exc)  # noqa: TRY400 - told whole
            last = self.books.account().last
            return recover.rebuilt(last, self.slots.links(), self._seen()), True

    def _seen(self, *, alone: bool = True) -> recover.Seen:
        return recover.Seen(self.slots.known(), self.slots.is_whole, self.factory.exists(), alone)

    def _plan(self, journal: Journal, *, alone: bool = True) -> recover.Plan:
        return recover.plan(journal, self._seen(alone=alone))

    def _carry_out(self, plan: recover.Plan, event: str) -> None:
        for digest in plan.aside:
            self.slots.set_aside(digest)
        if event:
            self.journal = self.books.enter(plan.journal, event)
        self._follow(plan.links)
        self.collect()

    def _nothing(self) -> ConfigError:
        return ConfigError(
            f"{self.factory}: the factory model is missing, and no model of an update in "
            f"{self.folder} is whole; copy the model again"
        )
