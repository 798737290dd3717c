"""A fleet server that is asked no more often than it wants, however often we are started."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict
from pathlib import Path

from edge_runtime import state as states
from edge_runtime.errors import DownloadError

from .engine import Engine, State, Wanted

log = logging.getLogger(__name__)

LONGEST_S = 2 * 86_400.0  # a longer pause is a clock that was set meanwhile
_ENDS = frozenset({"done", "failed", "cancelled", "not-cancelled"})


class Patient:
    """An `Engine` whose last answer holds until the pause that came with it is over.

    Args:
        engine: asked when it is time to.
        path: a file of ours that keeps the answer for the next process.
    """

    def __init__(self, engine: Engine, path: Path) -> None:
        self._engine, self._path = engine, path

    @property
    def pause_s(self) -> float:
        """What is left of the pause."""
        until, _ = self._kept()
        left_s = until - time.time()
        return left_s if 0.0 < left_s <= LONGEST_S else 0.0

    def wanted(self) -> Wanted | None:
        """See `Engine`; the answer of before while the server wants to be left alone."""
        _, kept = self._kept()
        if self.pause_s:
            return kept
        try:
            found = self._engine.wanted()
        except DownloadError:
            if self._engine.pause_s:  # Retry-After
                self._keep(None)
            raise
        self._keep(found)
        return found

    def tell(self, job: str, state: State, detail: str = "") -> bool:
        """See `Engine`; news is not kept back. A wish that was answered is none any more."""
        open_ = self._engine.tell(job, state, detail)
        until, kept = self._kept()
        if kept is not None and kept.job == job and (state in _ENDS or not open_):
            self._write(until, None)
        return open_

    def __repr__(self) -> str:
        return repr(self._engine)

    def _keep(self, found: Wanted | None) -> None:
        self._write(time.time() + self._engine.pause_s, found)

    def _kept(self) -> tuple[float, Wanted | None]:
        try:
            facts = json.loads(self._path.read_bytes())
            wanted = facts["wanted"]
            return float(facts["until"]), None if wanted is None else Wanted(**wanted)
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return 0.0, None  # none yet, or cut off: it is asked

    def _write(self, until: float, wanted: Wanted | None) -> None:
        facts = {"until": until, "wanted": None if wanted is None else asdict(wanted)}
        try:
            states.replace(self._path, json.dumps(facts).encode())
        except OSError as exc:  # it is only asked too early then
            log.warning("%s: %s", self._path, exc.strerror)
