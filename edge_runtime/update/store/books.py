"""A store's two files: the journal, which decides, and the history, which tells."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from edge_runtime import state

from . import history, journal_file, tree
from .journal import Journal
from .journal_file import DamagedError

log = logging.getLogger(__name__)


class Books:
    """The journal is replaced whole, then its line is added: a missing line is made up for."""

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self._journal = folder / "journal.json"
        self._history = folder / "history.jsonl"
        self._clock = clock

    def read(self) -> Journal:
        """Raises DamagedError, also where it is missing and something else is not; OSError."""
        try:
            return journal_file.decoded(self._journal.read_bytes())
        except FileNotFoundError:
            others = (self._history, history.older(self._history))
            if any(map(Path.exists, others)) or (self._journal.parent / "active").is_symlink():
                raise DamagedError("it is missing") from None
            return Journal()
        except OSError as exc:
            if not tree.is_gone(exc):
                raise
            raise DamagedError(f"it cannot be read: {exc}") from exc

    def last(self) -> Journal | None:
        """The latest that the history holds; None as well where that is damaged. Raises OSError."""
        try:
            return self.account().last
        except OSError as exc:
            if not tree.is_gone(exc):
                raise
            log.error("%s: cannot be read: %s", self._history, exc)  # noqa: TRY400 - told whole
            return None

    def account(self) -> history.Account:
        """Raises OSError."""
        return history.read(self._history)

    def write(self, journal: Journal) -> Journal:
        """Raises OSError."""
        with suppress(OSError):  # a history that cannot be read keeps nothing from happening
            journal = replace(journal, told=history.end(self._history).head)
        state.replace(self._journal, journal_file.encoded(journal))
        return journal

    def enter(self, journal: Journal, event: str) -> Journal:
        """Write the journal, then tell. Raises OSError only when the journal was not written."""
        written = self.write(journal)
        with self._spared():
            self._tell(event, written)
        return written

    def catch_up(self, journal: Journal) -> None:
        """Add the line that a power cut kept from being written."""
        with self._spared():
            account = history.end(self._history)
            if journal.told not in account.hashes | {""}:  # not even a little earlier
                account = history.read(self._history)
            if account.broken or journal.told not in account.hashes | {""}:
                why = account.broken or "lines are missing at its end"
                log.error("%s: was tampered with: %s", self._history, why)
            if _told(account.last or Journal()) != _told(journal):
                self._tell(journal.state, journal)

    @contextmanager
    def _spared(self) -> Iterator[None]:
        """What cannot be told has happened all the same."""
        try:
            yield
        except OSError as exc:
            log.warning("%s: no line could be added: %s", self._history, exc)

    def _tell(self, event: str, journal: Journal) -> None:
        line = history.Event(int(self._clock()), event, journal.reason, journal_file.table(journal))
        history.append(self._history, line)


def _told(journal: Journal) -> Journal:
    """What a line is written for."""
    return replace(journal, time_floor=0, job="", told="")
