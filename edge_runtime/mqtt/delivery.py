"""Rows from the outbox to the broker over one connection after the other.

A row leaves the outbox when the broker has acknowledged it (at QoS 0: when it was handed to the
network; with `confirm_s`: when a subscriber has confirmed it). Rows in flight, and acknowledged
ones whose removal the disk has not written, are together at most `window`: so many may come twice
after a crash.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from .client import LinkDownError
from .envelope import Envelope
from .flight import Flight
from .unconfirmed import Unconfirmed

if TYPE_CHECKING:
    from edge_runtime.outbox.outbox import Outbox
    from edge_runtime.outbox.row import Row

    from .plan import Counters, Plan
    from .session import Session

log = logging.getLogger(__name__)

TRANSIENT = "quota exceeded"  # MQTT 5.0, section 3.4.2.1, reason 151: later it will do


class Delivery:
    """See the module. All methods are for the sender's thread."""

    def __init__(self, plan: Plan, outbox: Outbox, envelope: Envelope, counters: Counters) -> None:
        self._plan = plan
        self._outbox = outbox
        self._envelope = envelope
        self._counters = counters
        self._flight = Flight(plan.window)
        self._unconfirmed = Unconfirmed(plan.confirm_s)

    @property
    def few(self) -> bool:
        """Whether so few acknowledgements are awaited that they need not be read at once."""
        return self._flight.few

    def begin(self, session: Session) -> None:
        """A new connection."""
        self._flight.begin(session.receive_max)
        self._outbox.connected()

    def lost(self, *, silent: bool) -> None:
        """It is gone, closed or `silent`: what was in flight waits again."""
        again, given_up = self._flight.crashed(silent=silent)
        if given_up is not None:
            self._bury(given_up, "the broker hung up on it three times")
        self._unconfirmed.forget(again)
        self._outbox.give_back(again)

    def proven(self) -> None:
        """The connection has carried an acknowledged message."""
        self._flight.proven = True

    def fill(self, session: Session) -> None:
        """Hand over as many rows as may be in flight. Raises LinkDownError."""
        if over := [*self._flight.recovered(), *self._unconfirmed.overdue()]:
            self._outbox.give_back(over, overtaken=True)
        while self._outbox.waiting and not session.clogged:
            rows = self._outbox.take(room) if (room := self._room()) > 0 else []
            for at, row in enumerate(rows):
                try:
                    self._send(session, row)
                except LinkDownError:
                    self._outbox.give_back(later.id for later in rows[at:])
                    raise
            if not rows:
                return

    def acknowledged(self, message: int, refusal: str) -> bool:
        """The broker answered; `refusal` is why it will not have it. False for no row's message."""
        row_id = self._flight.landed(message)
        if row_id is None:
            return False
        if refusal:
            self._unconfirmed.forget([row_id])
            if self._flight.refused(row_id, for_now=refusal.startswith(TRANSIENT)):
                self._bury(row_id, refusal)
        elif not self._unconfirmed.holds(row_id):
            self._done(row_id)
        return True

    def confirmed(self, payload: bytes) -> None:
        """A subscriber says what it has."""
        for row_id in self._unconfirmed.confirmed(payload):
            self._done(row_id)

    def _room(self) -> int:
        room = self._flight.room - self._outbox.settling
        return min(room, self._unconfirmed.room) if self._plan.confirm_s else room

    def _send(self, session: Session, row: Row) -> None:
        payload, extra = self._envelope.seal(row)
        excess = self._envelope.excess(row, payload)
        if excess:
            self._bury(row.id, f"{excess} bytes are more than the broker takes")
            return
        message = session.publish(row.topic, payload, self._plan.qos, extra=extra, trace=row.key)
        self._counters.published += 1
        awaited = bool(self._plan.confirm_s and row.source)
        if awaited:
            self._unconfirmed.add(row.key, row.id)
        if self._plan.qos:
            self._flight.sent(message, row.id)
        elif not awaited:
            self._done(row.id)

    def _done(self, row_id: int) -> None:
        self._counters.acknowledged += self._outbox.ack(row_id)

    def _bury(self, row_id: int, why: str) -> None:
        """Give a message up, so that it does not stand in the way of the rest."""
        if self._outbox.refused == 0:
            log.error("a result is refused for good: %s", why)
        self._outbox.bury(row_id, why)
