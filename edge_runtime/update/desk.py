"""The store as a running pipeline sees it: what to run, what to try, and who crashed.

A small file beside the journal, `running.json`, says which candidate this process has loaded. It
says so until the process ends in good order or the candidate has its verdict, so that one found at
a start tells of a crash, or a power cut, and whose it may be: the third one ends it. A clean stop
in the middle of a trial counts for nothing; the trial goes on at the next start. Where the file is
lost in a trial the end before is taken for a crash.
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from edge_runtime import state as states
from edge_runtime.errors import UpdateError
from edge_runtime.swap.desk import Begun, Wish
from edge_runtime.swap.evidence import Baseline
from edge_runtime.update_state import UpdateState

from .store.journal import VERDICTS
from .store.journal_file import DamagedError, decoded
from .store.steps import STARTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge_runtime.model import Model

    from .store.journal import Installed
    from .store.store import Store

log = logging.getLogger(__name__)

HUNG = "hung"  # the name of a file that is written when the process had to be ended from outside


@dataclass(frozen=True, slots=True)
class Note:
    """What `running.json` holds."""

    digest: str = ""  # the candidate that is loaded, or was
    name: str = ""
    version: str = ""
    counter: int = 0
    running: bool = False
    crashes: int = 0  # beside the live model; the journal counts those of a trial
    median_ms: float = 0.0
    p99_ms: float = 0.0
    changing: float = 0.0
    results: int = 0
    seconds: float = 0.0
    news: bool = False  # a verdict that nobody was told


class StoreDesk:
    """See the module, and `edge_runtime.swap.desk.Desk`. `build` makes a model of a folder."""

    def __init__(
        self, store: Store, build: Callable[[Path], Model], *, require_approval: bool
    ) -> None:
        self._store, self._build = store, build
        self._require_approval = require_approval
        self._path = store.folder / "running.json"
        self._journal_path = store.folder / "journal.json"
        self._stamp: tuple[int, int] = (0, 0)
        self._note = Note()
        self._journal = store.journal
        self._running = ""

    @property
    def hung_path(self) -> Path:
        """Where a watchdog writes before it ends a process that holds the interpreter."""
        return self._store.folder / HUNG

    def open(self) -> Path:
        """Recover the store, count a crash, and say what is to run: the way of its folder.

        Raises ConfigError where there is no model at all.
        """
        self._journal = self._store.open()
        self._note = _read(self._path)
        try:
            self._count()
        except (OSError, UpdateError) as exc:  # a disk that fails: run what there is
            log.warning("how the process before ended cannot be noted: %s", exc)
        with suppress(OSError):
            self.hung_path.unlink(missing_ok=True)
        with suppress(OSError):
            self._stamp = _stamp(self._journal_path)
        self._journal = self._store.journal
        self._running = self._journal.live.digest
        return self._store.path_of(self._journal.live)

    def begun(self) -> Begun | None:
        if self._journal.state != "trial":
            return None
        note = self._note if self._note.digest == self._running else Note()
        before = Baseline(note.median_ms, note.p99_ms, note.changing)
        return Begun(self._journal.active.digest, before, note.results, note.seconds)

    def look(self) -> Wish:
        self._refresh()
        journal = self._journal
        candidate = journal.candidate
        if journal.state == "validated" and candidate is not None:
            ready = journal.approved or not self._require_approval
            if ready and candidate.digest != self._running:
                return Wish("try", candidate.digest)
        given_up = journal.state == "trial"  # at the start, and the disk still says otherwise
        if journal.live.digest != self._running and not given_up:
            return Wish("follow", journal.live.digest)
        return Wish("stay", self._running)

    def state(self) -> UpdateState:
        self._refresh()
        journal, note = self._journal, self._note
        ours = note.digest and not journal.candidate and journal.state in VERDICTS
        about = note if ours else journal.candidate or journal.active
        return UpdateState(
            state=journal.state,
            name=about.name,
            version=about.version,
            counter=about.counter,
            reason=journal.reason,
            news=note.news,
        )

    def load(self, digest: str) -> Model:
        journal = self._journal
        for model in (journal.candidate, journal.active, journal.previous):
            if model is not None and model.digest == digest:
                return self._build(self._store.path_of(model))
        raise UpdateError(f"the store knows no model {digest[:12]}", reason="gone")

    def enter(self, digest: str) -> None:
        crashes = self._note.crashes if self._note.digest == digest else 0
        self._write(replace(_note(digest, self._journal.candidate), crashes=crashes))

    def begin(self, before: Baseline) -> None:
        if not self._is_candidate():
            raise UpdateError("another candidate has taken its place", reason="order")
        self._write(replace(self._note, running=True, **before._asdict()))
        if self._journal.state != "trial":
            self._journal = self._store.begin_trial()
        self._running = self._journal.live.digest

    def commit(self) -> None:
        if self._journal.active.digest != self._running:
            self._journal = self._store.commit()
        self._write(replace(self._note, running=False, news=True))

    def refuse(self, reason: str) -> None:
        ours = self._is_candidate()
        if self._journal.state == "trial":
            self._journal = self._store.roll_back(reason)
        elif self._journal.state == "validated" and ours:
            self._journal = self._store.reject(reason)
        self._running = self._journal.live.digest
        self._write(replace(self._note, running=False, news=True))

    def follow(self, digest: str) -> None:
        self._running = digest
        self._write(Note(digest=digest))

    def told(self) -> None:
        self._write(replace(self._note, news=False))

    def leave(self, results: int, seconds: float) -> None:
        if self._note.running:
            self._write(replace(self._note, running=False, results=results, seconds=seconds))

    def _count(self) -> None:
        """What the end of the process before says of a candidate; this one is noted as running."""
        journal, note = self._journal, self._note
        candidate = journal.candidate
        hung = self.hung_path.exists() and self.hung_path.stat().st_size > 0
        on_trial = journal.state == "trial"
        if candidate is None or not (on_trial or journal.state == "validated"):
            return
        if on_trial and note.digest != candidate.digest:
            note = _note(candidate.digest, candidate)
        if note.digest != candidate.digest or not note.running:
            if on_trial:
                self._begin_life(note)
            return
        if on_trial:
            journal = self._store.roll_back("hang") if hung else self._store.count_start()
        else:
            note = replace(note, crashes=note.crashes + 1)
            if hung or note.crashes >= STARTS:
                journal = self._store.reject("hang" if hung else "restarts")
        log.warning("the process ended while %s was tried: %s", candidate.name, journal.state)
        over = journal.candidate is None
        self._write(replace(note, running=not over, news=over))

    def _begin_life(self, note: Note) -> None:
        """From here on a crash may be the candidate's again; a start that cannot say so counts."""
        try:
            self._write(replace(note, running=True))
        except OSError:
            self._store.count_start()

    def _is_candidate(self) -> bool:
        """Whether the journal's candidate, as it is now, is the one that is loaded here."""
        self._refresh()
        candidate = self._journal.candidate
        return candidate is not None and candidate.digest == self._note.digest

    def _refresh(self) -> None:
        """The journal as it is now, if the file is another one."""
        try:
            if (stamp := _stamp(self._journal_path)) != self._stamp:
                self._journal = decoded(self._journal_path.read_bytes())
                self._stamp = stamp
        except (OSError, DamagedError) as exc:
            log.debug("%s: %s", self._journal_path, exc)

    def _write(self, note: Note) -> None:
        self._note = note
        states.replace(self._path, json.dumps(asdict(note)).encode())


def _note(digest: str, model: Installed | None) -> Note:
    """Of a candidate that runs from here on."""
    note = Note(digest=digest, running=True)
    if model is None:
        return note
    return replace(note, name=model.name, version=model.version, counter=model.counter)


def _stamp(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_mtime_ns, facts.st_ino


def _read(path: Path) -> Note:
    """What an earlier life left; nothing, where it cannot be read."""
    try:
        return Note(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return Note()
