"""Ids of handled results on their way back to the devices that hold those results.

    <prefix>/<device>/<pipeline>/ack    {"ids": ["...", ...]}, QoS 1

A confirmation that gets lost does no harm: the device sends the result again, and a repeat of a
handled result is confirmed again.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .properties import Properties
    from .session import Session

log = logging.getLogger(__name__)

IDS_MAX = 100  # in a message
DELAY_S = 0.2  # how long an id may wait for others to go with it
HELD_MAX = 50_000  # ids that wait without a connection; more are left to the repeat
WINDOW = 20  # messages in flight


class Confirmations:
    """See the module. `add` may be called by any thread, the rest by the connection's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: dict[str, list[str]] = {}  # by root: <prefix>/<device>/<pipeline>
        self._held = 0
        self._due_s = 0.0  # monotonic
        self._in_flight: set[int] = set()
        self._window = WINDOW
        self._extra: Properties | None = None
        self._told = False

    def add(self, root: str, result_id: str) -> bool:
        """A result was handled; gives whether the connection's thread has to look."""
        with self._lock:
            if self._held >= HELD_MAX:
                return False
            if not self._held:
                self._due_s = time.monotonic() + DELAY_S
            ids = self._ids.setdefault(root, [])
            ids.append(result_id)
            self._held += 1
            return self._held == 1 or len(ids) % IDS_MAX == 0

    @property
    def settled(self) -> bool:
        """Whether nothing waits and all is acknowledged."""
        return not self._held and not self._in_flight

    def due_in_s(self, longest_s: float) -> float:
        """Seconds until something has to be sent, `longest_s` at most."""
        if not self._held or len(self._in_flight) >= self._window:
            return longest_s
        return max(0.0, min(longest_s, self._due_s - time.monotonic()))

    def begin(self, session: Session) -> None:
        """There is a new connection; what was in flight on the one before is forgotten."""
        self._in_flight.clear()
        self._window = min(WINDOW, session.receive_max)
        self._extra = session.properties("application/json")

    def send(self, session: Session, *, all_now: bool = False) -> None:
        """Publish full messages, and the others when it is time. Raises LinkDownError."""
        all_now = all_now or (self._held > 0 and time.monotonic() >= self._due_s)
        while len(self._in_flight) < self._window and (post := self._next(all_now=all_now)):
            root, ids = post
            payload = json.dumps({"ids": ids}).encode()
            self._in_flight.add(session.publish(f"{root}/ack", payload, 1, extra=self._extra))

    def acked(self, message_id: int, refusal: str) -> None:
        """The broker has a message, or refused it."""
        self._in_flight.discard(message_id)
        if refusal and not self._told:
            self._told = True
            log.warning("the broker refuses our confirmations: %s", refusal)

    def _next(self, *, all_now: bool) -> tuple[str, list[str]] | None:
        with self._lock:
            for root, ids in self._ids.items():
                if all_now or len(ids) >= IDS_MAX:
                    some, rest = ids[:IDS_MAX], ids[IDS_MAX:]
                    self._held -= len(some)
                    if rest:
                        self._ids[root] = rest
                    else:
                        del self._ids[root]
                    return root, some
        return None
