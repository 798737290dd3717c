"""Hosts that asked to be left alone for a while, kept between processes: a timer starts many.

A wait counts from the moment at which it was said: a clock that was set back before that moment, or
on past its end, ends it. So none lasts longer than was asked for, and none longer than `LONGEST_S`.
"""

from __future__ import annotations

import json
import logging
import random
import time
from pathlib import Path
from typing import NamedTuple

from edge_runtime import state

log = logging.getLogger(__name__)

LONGEST_S = 2 * 86_400.0
_JITTER = 0.2  # so much longer at most, so that devices spread


class Wait(NamedTuple):
    """Both moments in seconds since 1970."""

    said: float
    until: float
    status: int  # that the server answered


class Waits:
    """By host, in the file `path`; without one, for this process alone."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._read: dict[str, Wait] | None = None  # not before the first use, under a lock

    def of(self, host: str) -> Wait | None:
        """What is still to be waited for."""
        wait = self._all().get(host)
        return wait if wait and _holds(wait) else None

    def begin(self, host: str, seconds: float, status: int) -> Wait:
        """Keep what a host asks for."""
        now = time.time()
        wait = Wait(now, now + min(seconds * random.uniform(1, 1 + _JITTER), LONGEST_S), status)
        held = {name: one for name, one in self._all().items() if _holds(one)} | {host: wait}
        self._read = held
        if self._path:
            try:
                state.replace(self._path, json.dumps(held).encode())
            except OSError as exc:  # it is only asked too early then
                log.warning("%s: %s", self._path, exc.strerror)
        return wait

    def _all(self) -> dict[str, Wait]:
        if self._read is None:
            self._read = _kept(self._path) if self._path else {}
        return self._read


def _holds(wait: Wait) -> bool:
    return wait.said <= time.time() < wait.until <= wait.said + LONGEST_S


def _kept(path: Path) -> dict[str, Wait]:
    try:
        facts = json.loads(path.read_bytes())
        return {
            host: Wait(float(said), float(until), int(status))
            for host, (said, until, status) in facts.items()
        }
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}  # none yet, or cut off: they are asked
