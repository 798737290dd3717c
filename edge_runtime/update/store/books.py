"""A store's two files: the journal, which decides, and the history, which tells."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edge_runtime import state

from . import history, journal_file
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
        """Raises DamagedError, also where it is missing and something else of a store is not."""
        try:
            return journal_file.decoded(self._journal.read_bytes())
        except FileNotFoundError:
            if self._history.exists() or (self._journal.parent / "active").is_symlink():
                raise DamagedError("it is missing") from None
            return Journal()
        except OSError as exc:
            raise DamagedError(f"it cannot be read: {exc}") from exc

    def account(self) -> history.Account:
        """Raises OSError."""
        return history.read(self._history)

    def write(self, journal: Journal) -> Journal:
        """Raises OSError."""
        written = replace(journal, told=history.end(self._history).head)
        state.replace(self._journal, journal_file.encoded(written))
        return written

    def enter(self, journal: Journal, event: str) -> Journal:
        """Write the journal, then tell. Raises OSError only when the journal was not written."""
        written = self.write(journal)
        try:
            self._tell(event, written)
        except OSError as exc:
            log.warning("%s: no line could be added: %s", self._history, exc)
        return written

    def catch_up(self, journal: Journal) -> None:
        """Add the line that a power cut kept from being written. Raises OSError."""
        account = history.end(self._history)
        if account.broken or (journal.told and journal.told not in account.hashes):
            why = account.broken or "lines are missing at its end"
            log.error("%s: was tampered with: %s", self._history, why)
        if _told(account.last or Journal()) != _told(journal):
            self._tell(journal.state, journal)

    def _tell(self, event: str, journal: Journal) -> None:
        line = history.Event(int(self._clock()), event, journal.reason, journal_file.table(journal))
        history.append(self._history, line)


def _told(journal: Journal) -> Journal:
    """What a line is written for."""
    return replace(journal, time_floor=0, job="", told="")
