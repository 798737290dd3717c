"""Check and apply: refresh, choose, fetch, stage, gate, in that order and under the store's lock.

What it leaves behind is a validated candidate; the running pipeline, or its next start, puts it
on trial. Nothing is kept between two calls but the store: a timer starts it, and it ends.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from edge_runtime.errors import DownloadError

from .choose import Choice, Device, choose, mismatch
from .engines.engine import Engine, State, Wanted
from .gate.checks import GateReport
from .release import Release
from .remote.metadata import Metadata
from .store.journal import VERDICTS, Installed, Journal
from .store.store import Store

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]  # bytes held, bytes in all
Gate = Callable[[Path, Path], GateReport]  # of a candidate, beside the live model

WAITING = frozenset({"fetching", "staged", "verified", "validated"})
_NOT_YET = frozenset({"not-in-cohort", "not-yet"})  # words that time may change


class Repository(Protocol):
    """What is released, and its bytes. Both raise DownloadError and VerificationError."""

    def refresh(self, time_floor: int) -> Metadata:
        """Verified metadata; `time_floor` is a moment that has passed, seconds since 1970."""

    def download(self, release: Release, part: Path, progress: Progress) -> None:
        """Bring a bundle into a part file, going on where it was left."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a check says. `expires` is when the repository's word ends, seconds since 1970."""

    journal: Journal
    choice: Choice
    expires: int
    why: str  # for a person


@dataclass(frozen=True, slots=True)
class Applied:
    """What an apply did. `report` is the gate's, when a candidate came so far in this call."""

    journal: Journal
    release: Release | None
    why: str
    report: GateReport | None = None


class Client:
    """One device's side of one repository, for one pipeline's model.

    With an `engine`, a fleet server says which of the signed releases is wanted now; the signed
    share and conditions hold all the same.
    """

    def __init__(
        self,
        store: Store,
        repository: Repository,
        device: Device,
        gate: Gate,
        engine: Engine | None = None,
    ) -> None:
        self._store, self._repository, self._device = store, repository, device
        self._gate, self._engine = gate, engine

    def check(self) -> Found:
        """What `apply` would do. Raises UpdateError, ConfigError."""
        with self._store.lock():
            self._store.open()
            metadata = self._refreshed()
            return self._found(metadata, self._wanted())

    def apply(self, progress: Progress) -> Applied:
        """Bring the next release as far as "validated".

        Raises:
            DownloadError: later; what came is kept.
            VerificationError: an attack, named by `reason`.
            RefusedError: the gate's check that failed; the release is quarantined.
            UpdateError: "busy" when another process is at it; the store's.
        """
        with self._store.lock():
            self._store.open()
            self.settle()
            metadata = self._refreshed()
            self._withdraw(metadata.releases)  # whatever a fleet server says, or does not
            wanted = self._wanted()
            if wanted is not None and wanted.cancel:
                self._cancel(wanted.job)
                wanted = None
            if self._store.journal.state == "trial":
                return Applied(self._store.journal, None, "a model is on trial: its verdict first")
            found = self._found(metadata, wanted)
            release, job = found.choice.release, wanted.job if wanted else ""
            if release is None:
                self._closed(job, found)
                return Applied(found.journal, None, found.why)
            if found.journal.state == "validated" and found.journal.candidate == _of(release):
                return Applied(found.journal, release, "gated before: waits for the pipeline")
            return self._take(release, job, progress)

    def settle(self) -> None:
        """Tell the engine a verdict that it is owed; what cannot be told now is told next time."""
        if self._engine is None:
            return
        journal = self._store.refresh()
        if not journal.job or journal.state not in VERDICTS:
            return
        state: State = "done" if journal.state == "committed" else "failed"
        try:
            self._engine.tell(journal.job, state, f"{journal.state} {journal.reason}".strip())
        except DownloadError as exc:
            log.warning("update: the fleet server waits for a verdict: %s", exc)
        else:
            if self._store.refresh().job == journal.job:  # another process may be at the next
                self._store.reported()

    def _refreshed(self) -> Metadata:
        metadata = self._repository.refresh(self._store.journal.time_floor)
        self._store.raise_time_floor(metadata.proven_time)
        return metadata

    def _wanted(self) -> Wanted | None:
        return self._engine.wanted() if self._engine else None

    def _found(self, metadata: Metadata, wanted: Wanted | None) -> Found:
        journal, now = self._store.journal, int(time.time())
        releases = metadata.releases
        choice = choose(releases, self._device, journal, now)
        if self._engine is not None:
            meant = [release for release in releases if wanted and wanted.means(release)]
            choice = replace(choose(meant, self._device, journal, now), revoked=choice.revoked)
        return Found(journal, choice, metadata.expires, self._why(choice, wanted))

    def _why(self, choice: Choice, wanted: Wanted | None) -> str:
        if choice.release is not None:
            return f"{_title(choice.release)} is for this device"
        if choice.refused:
            release, word = choice.refused[0]
            detail = mismatch(release, self._device) if word == "incompatible" else release.revoked
            return f"{_title(release)}: {word}{f' ({detail})' if detail else ''}"
        if wanted is not None and not wanted.cancel:
            return f"{wanted.version or wanted.counter}: no signed release"
        return "nothing is released" if self._engine is None else "the fleet server wants nothing"

    def _withdraw(self, releases: Iterable[Release]) -> None:
        """Leave what its maker took back, waiting, on trial or in use; so with the one before."""
        taken_back = {release.digest: release.revoked for release in releases if release.revoked}
        journal = self._store.journal
        if journal.candidate is not None and (why := taken_back.get(journal.candidate.digest)):
            leave = self._store.roll_back if journal.state == "trial" else self._store.reject
            leave(f"revoked: {why}")
        while why := taken_back.get(self._store.journal.active.digest):
            log.warning("update: %s was revoked: %s", self._store.journal.active.version, why)
            self._store.roll_back(f"revoked: {why}")

    def _take(self, release: Release, job: str, progress: Progress) -> Applied:
        store, installed = self._store, _of(release)
        slot = store.laid_out(installed, job)  # of a call that ended before the gate's verdict
        if slot is None:
            store.room_for(release.digest, release.length)
            store.fetching(installed, job)
            if not self._tell("downloading", _title(release)):
                return self._dropped(release)
            part = store.part(release.digest)
            self._repository.download(release, part, progress)
            slot = store.stage(part, installed)
        if not self._tell("installing", "the gate"):
            return self._dropped(release)
        report = self._gate(slot, store.path_of(store.journal.live))
        if check := report.failure():
            store.reject(f"{check.name}: expected {check.expected}, seen {check.seen}"[:500])
            self.settle()
        report.require()
        journal = store.validate(f"gate passed {len(report.checks)} checks")
        return Applied(journal, release, f"{_title(release)} passed the gate", report)

    def _cancel(self, job: str) -> None:
        """A cancelled job's candidate is dropped; one on trial is not, and its verdict follows."""
        journal = self._store.journal
        if journal.job == job and journal.state in WAITING:
            self._store.drop("cancelled")
        late = journal.job == job and journal.state == "trial"
        if self._engine is not None:
            self._engine.tell(job, "not-cancelled" if late else "cancelled", journal.state)
            if not late and journal.job == job:
                self._store.reported()

    def _closed(self, job: str, found: Found) -> None:
        """A job without a release to take: done where it runs, failed where it never will."""
        word = found.choice.refused[0][1] if found.choice.refused else "not-signed"
        if not job or self._engine is None or self._store.journal.job == job or word in _NOT_YET:
            return
        self._engine.tell(job, "done" if word == "current" else "failed", found.why)

    def _dropped(self, release: Release) -> Applied:
        """The server waits for no news of its job any more: it was cancelled or deleted there."""
        self._store.drop("cancelled")
        journal = self._store.reported()
        return Applied(journal, None, f"{_title(release)}: cancelled by the fleet server")

    def _tell(self, state: State, detail: str) -> bool:
        """Whether the server still wants this; one that is out of reach is told later."""
        if self._engine is None or not self._store.journal.job:
            return True
        try:
            return self._engine.tell(self._store.journal.job, state, detail)
        except DownloadError as exc:
            log.warning("update: the fleet server could not be told: %s", exc)
            return True


def _of(release: Release) -> Installed:
    return Installed(release.digest, release.name, release.version, release.counter)


def _title(release: Release) -> str:
    return f"{release.name} {release.version}"
