"""How long to wait before the next attempt, and what of all the failures is worth a line."""

from __future__ import annotations

import logging
import random
import time

from .client import LinkDownError
from .login import Address

log = logging.getLogger(__name__)

FIRST_S, LONGEST_S = 0.25, 30.0  # back-off: doubled at each failure
STABLE_S = 10.0  # a connection that held so long makes up for all failures before
HASTY_FAILURES = 4  # where the back-off goes on after a shorter one: at 4 s, the broker is there
CAUSES_TOLD = 16  # different ones, before a broker out of its mind is left to itself
HASTY_ENDS = 3  # so many shorter ones in a row point at a second client of the same name


class Patience:
    """The failures of one connection. A cause is told once, until a stable connection is lost."""

    def __init__(self, address: Address, client_id: str) -> None:
        self.cause = ""  # of the last failure
        self._address = address
        self._client_id = client_id
        self._failures = 0
        self._hasty_ends = 0
        self._told: set[str] = set()
        self._news = True  # whether "connected" is worth a line
        self._since: float | None = None

    def connected(self, version: str) -> None:
        """An attempt succeeded."""
        self._since = time.monotonic()
        if self._news:
            self._news = False
            log.info("%s: connected, MQTT %s", self._address, version)

    def failed(self, exc: LinkDownError) -> float:
        """An attempt failed, or a connection was lost; gives the seconds to wait."""
        held_s = 0.0 if self._since is None else time.monotonic() - self._since
        was_connected, self._since = self._since is not None, None
        if held_s > STABLE_S:
            self._failures = self._hasty_ends = 0
            self._told.clear()
        elif was_connected:
            self._hasty_ends += 1
            self._failures = min(self._failures, HASTY_FAILURES)
        self.cause = str(exc)
        if self._hasty_ends >= HASTY_ENDS and was_connected:
            self.cause += (
                f" soon after it was made, {HASTY_ENDS} times or more: does another client "
                f"connect as '{self._client_id}'?"
            )
        self._tell(self.cause)
        delay_s = LONGEST_S if exc.hopeless else min(FIRST_S * 2**self._failures, LONGEST_S)
        self._failures = min(self._failures + 1, 16)
        return delay_s * random.uniform(0.5, 1.0)  # devices must not come back in step

    def _tell(self, cause: str) -> None:
        if cause not in self._told and len(self._told) < CAUSES_TOLD:
            self._told.add(cause)
            self._news = True
            log.warning("%s: %s; results wait, trying again", self._address, cause)
