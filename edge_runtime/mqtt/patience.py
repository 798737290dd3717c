"""How long to wait before the next attempt, and what of all the failures is worth a line."""

from __future__ import annotations

import logging
import random
import time

from .client import Alarm, LinkDownError
from .login import Address

log = logging.getLogger(__name__)

FIRST_S, LONGEST_S = 0.25, 30.0  # back-off: doubled at each failure
STABLE_S = 10.0  # a connection that held so long makes up for all failures before
HASTY_FAILURES = 4  # where the back-off goes on after a shorter one: at 4 s, the broker is there
CAUSES_TOLD = 16  # different ones, before a broker out of its mind is left to itself
HASTY_ENDS = 3  # so many shorter ones in a row point at a second client of the same name


class Patience:
    """The failures of one connection. A cause is told once, until a stable connection is lost.

    `waiting` is what the log says of whatever is to be delivered meanwhile.
    """

    def __init__(self, client_id: str, *, waiting: str = "results wait") -> None:
        self.cause = ""  # of the last failure
        self.alarm: Alarm = ""  # of the last failure
        self._client_id = client_id
        self._remark = f"{waiting}, trying again" if waiting else "trying again"
        self._failures = 0
        self._hasty_ends = 0
        self._told: set[str] = set()
        self._news = True  # whether "connected" is worth a line
        self._address: Address | None = None  # of the last connection
        self._since: float | None = None

    def connected(self, address: Address, version: str) -> None:
        """An attempt succeeded."""
        self._since = time.monotonic()
        if self._news or address != self._address:
            self._news, self._address = False, address
            log.info("%s: connected, MQTT %s", address, version)

    def failed(self, address: Address, exc: LinkDownError) -> float:
        """An attempt failed, or a connection was lost; gives the seconds to wait.

        These are 0 while another broker has not been tried: the back-off is per round.
        """
        held_s = 0.0 if self._since is None else time.monotonic() - self._since
        was_connected, self._since = self._since is not None, None
        if held_s > STABLE_S:
            self._failures = self._hasty_ends = 0
            self._told.clear()
        elif was_connected:
            self._hasty_ends += 1
            self._failures = min(self._failures, HASTY_FAILURES)
        self.cause, self.alarm = str(exc), exc.alarm
        if self._hasty_ends >= HASTY_ENDS and was_connected:
            self.alarm = self.alarm or "client-id-takeover"
            self.cause += (
                f" soon after it was made, {HASTY_ENDS} times or more: does another client "
                f"connect as '{self._client_id}'?"
            )
        self._tell(f"{address}: {self.cause}")
        if exc.more:
            return 0.0
        delay_s = LONGEST_S if exc.hopeless else min(FIRST_S * 2**self._failures, LONGEST_S)
        self._failures = min(self._failures + 1, 16)
        return delay_s * random.uniform(0.5, 1.0)  # devices must not come back in step

    def _tell(self, cause: str) -> None:
        if cause not in self._told and len(self._told) < CAUSES_TOLD:
            self._told.add(cause)
            self._news = True
            log.warning("%s; %s", cause, self._remark)
