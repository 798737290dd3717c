"""Where models of updates lie on a device, and which of them runs, through any power cut.

    <folder>/slots/<digest>/     a model, never changed
             staging/            bundles half fetched, models half laid out
             aside/              damaged slots
             active, previous    links, for people and other programs
             journal.json        what follows from it is done anew at every start: `recover`
             history.jsonl       what became of every update: `history`

Each step is on the disk before the next begins: files, their folder, its name under `slots`, the
hash read back, the journal, the links; only then what nothing needs any more is removed. The
factory model is the run file's own and never written.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path

from edge_runtime.errors import DownloadError, UpdateError, VerificationError

from . import bundle, steps, tree
from .history import Account
from .journal import Installed, Journal
from .shelf import Shelf

RESERVE = 32 << 20  # bytes that stay free for everything else on the disk

log = logging.getLogger(__name__)


class Store:
    """See the module. Every change is made under a lock between processes, and of one thread.

    All methods that change something raise UpdateError: "busy", "order" for a step out of its
    order, "disk"; DownloadError("no-space"). The model in use is untouched then.
    """

    def __init__(
        self, folder: Path, factory: Path, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.folder = folder
        self._shelf = Shelf(folder, factory, clock)

    @property
    def journal(self) -> Journal:
        """As it was last read or written; `journal.live` is the model to run."""
        return self._shelf.journal

    def open(self) -> Journal:
        """Recover, and say what there is.

        A disk that is full, read-only or failing keeps nobody from running the best model there is.
        Raises ConfigError: there is no model at all, or no place for a store.
        """
        self._shelf.put_in_order()
        return self.journal

    def refresh(self) -> Journal:
        """What another process made of it meanwhile."""
        with self._shelf.turn():
            return self.journal

    def lock(self, wait_s: float = 0.0) -> AbstractContextManager[None]:
        """For whoever fetches and stages, from the first byte to the last: UpdateError("busy")."""
        return self._shelf.updating.hold(wait_s)

    def part(self, digest: str) -> Path:
        """Where a bundle is fetched to; it stays over a restart while the state is "fetching"."""
        return self._shelf.slots.staging / f"{digest}.part"

    def room_for(self, digest: str, length: int) -> None:
        """Raises DownloadError("no-space").

        Wanted is room to fetch a bundle of this length and to lay it out, and a reserve for others.
        """
        with tree.told_as(str(self.folder)):
            part = self.part(digest)
            held = part.stat().st_size if part.exists() else 0
            needed = 2 * length + RESERVE - held
            available = shutil.disk_usage(self.folder).free
        if available < needed:
            raise DownloadError(
                f"{self.folder}: {needed >> 20} MB are needed for this update and "
                f"{available >> 20} MB are free",
                reason="no-space",
            )

    def path_of(self, model: Installed) -> Path:
        return self._shelf.slots.path(model.digest) if model.digest else self._shelf.factory

    def fetching(self, release: Installed, job: str = "") -> Journal:
        """This release was chosen; its bytes are on the way."""
        with self._shelf.turn():
            return self._shelf.move(steps.fetching(self.journal, release, job), "fetching")

    def stage(self, part: Path, release: Installed) -> Path:
        """Lay out a bundle that was fetched; gives its slot, "verified".

        Raises VerificationError("hash", "malformed"): rejected.
        """
        with self.lock():
            with self._shelf.turn():
                self._shelf.move(steps.staged(self.journal, release), "staged")
            fresh = self._shelf.slots.fresh()
            try:
                with tree.told_as(str(self.folder)):
                    bundle.unpack(part, fresh, release.digest)
                    self._shelf.slots.place(fresh, release.digest)
                with self._shelf.turn():
                    self._shelf.move(steps.verified(self.journal), "verified")
            except UpdateError as exc:
                self._give_up(exc, fresh, part)
                raise
            tree.free(part)
        return self.path_of(release)

    def laid_out(self, release: Installed, job: str = "") -> Path | None:
        """The slot that an earlier call left "verified" and nobody judged; hashed once more."""
        with self._shelf.turn():
            journal, waits = self.journal, self.journal.state == "verified"
            same = (journal.candidate, journal.job) == (release, job)
            if waits and same and self._shelf.slots.is_whole(release.digest):
                return self.path_of(release)
        return None

    def validate(self, summary: str) -> Journal:
        """The gate passed it."""
        with self._shelf.turn():
            return self._shelf.move(steps.validated(self.journal, summary), "validated")

    def reject(self, reason: str) -> Journal:
        """The gate or a person refused it."""
        with self._shelf.turn():
            self._shelf.move(steps.rejected(self.journal, reason), "rejected")
            self._shelf.collect()
            return self.journal

    def drop(self, reason: str) -> Journal:
        """The candidate is not wanted any more; nothing is wrong with it, so it may come again."""
        with self._shelf.turn():
            self._shelf.move(steps.rejected(self.journal, reason, quarantine=False), "dropped")
            self._shelf.collect()
            return self.journal

    def approve(self) -> Journal:
        with self._shelf.turn():
            return self._shelf.move(steps.approved(self.journal), "approved")

    def begin_trial(self) -> Journal:
        """Make it the model that runs; hashed once more. Raises VerificationError("hash")."""
        with self._shelf.turn():
            trial = steps.on_trial(self.journal)
            if not self._shelf.slots.is_whole(trial.live.digest):
                self._shelf.slots.set_aside(trial.live.digest)
                self._shelf.move(steps.rejected(self.journal, "hash", quarantine=False), "rejected")
                raise VerificationError(
                    f"{self.path_of(trial.live)}: changed since it was verified; set aside",
                    reason="hash",
                )
            return self._shelf.move(trial, "trial")

    def count_start(self) -> Journal:
        """Say at a start of the pipeline; the third during one trial rolls back.

        Where the count cannot be written it rolls back as well: nobody could stop the loop.
        """
        try:
            with self._shelf.turn():
                if self.journal.state != "trial":
                    return self.journal
                counted = steps.started(self.journal)
                if counted.state == "trial":
                    return self._shelf.move(counted, "started")
                return self._shelf.back(counted)
        except UpdateError as exc:
            log.error("a start on trial cannot be counted: %s", exc)  # noqa: TRY400 - told whole
            if self.journal.state == "trial":
                self._shelf.journal = steps.rolled_back(self.journal, "not-counted")
            return self.journal

    def commit(self) -> Journal:
        """It has proven itself: it stays, its floor is raised, what it replaced is kept."""
        with self._shelf.turn():
            self._shelf.move(steps.committed(self.journal), "committed")
            self._shelf.collect()
            return self.journal

    def roll_back(self, reason: str) -> Journal:
        """To the model before the trial; off trial, to the previous one.

        Raises UpdateError("disk") or DownloadError("no-space") when that cannot be kept on the
        disk; `journal` is that of the model to run all the same. ConfigError: there is none.
        """
        with self._shelf.turn():
            return self._shelf.back(steps.rolled_back(self.journal, reason))

    def raise_time_floor(self, moment: int) -> Journal:
        """Keep the latest moment, in s since 1970, that is proven to have passed."""
        with self._shelf.turn():
            later = max(moment, self.journal.time_floor)
            return self._shelf.note(replace(self.journal, time_floor=later))

    def reported(self) -> Journal:
        """The fleet engine has its verdict."""
        with self._shelf.turn():
            return self._shelf.note(replace(self.journal, job=""))

    def history(self) -> Account:
        """What became of every update, verified. Raises UpdateError."""
        with tree.told_as(str(self.folder)):
            return self._shelf.books.account()

    def collect(self) -> None:
        """Remove slots that nothing needs, and what lies in staging unless it is being fetched."""
        with self._shelf.turn():
            self._shelf.collect()

    def _give_up(self, error: UpdateError, *left: Path) -> None:
        """What was being laid out goes, first of all to make room."""
        at_fault = isinstance(error, VerificationError)
        for path in left:
            tree.free(path)
        with suppress(UpdateError), self._shelf.turn():
            if at_fault:
                quarantine = error.reason == "malformed"
                self._shelf.move(
                    steps.rejected(self.journal, error.reason, quarantine=quarantine), "rejected"
                )
            else:
                self._shelf.move(steps.dropped(self.journal, error.reason), "given-up")
