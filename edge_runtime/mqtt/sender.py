"""The thread that empties an outbox into a broker, and keeps `status` and `info` true there.

A row leaves the outbox when the broker has acknowledged it (at QoS 0: when it was handed to the
network). At most `window` rows are in flight. A lost connection puts them back, so a subscriber
may see a result twice, with the same id, and never misses one that the outbox still held.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge_runtime import wire

from .client import LinkDownError
from .flight import Flight
from .link import Choice, Link
from .patience import Patience
from .session import CONNACK_TIMEOUT_S, Session, Terms

if TYPE_CHECKING:
    from paho.mqtt.properties import Properties

    from edge_runtime.outbox import Outbox, Row

    from .login import Login

log = logging.getLogger(__name__)

LIVE_NS = 2_000_000_000  # a result that leaves later than this after it was accepted is historical
ACK_DELAY_S = 0.01  # acknowledgements may lie unread so long, to be read several at a time
GATHER_S = 0.01  # results that come faster than this leave together, at one wake-up
IDLE_JOIN_S = 0.2  # to end a thread that is busy connecting, with nothing to deliver
GOODBYE_S = 1.0  # for the broker to acknowledge the last status
CLOSING_PAUSE_S = 1.0  # the longest back-off while results wait to be delivered at the end
PACKET_SPARE = 128  # bytes of a PUBLISH packet beside topic and payload


@dataclass(frozen=True, slots=True)
class Plan:
    """How to publish. `expiry_s` is how long an MQTT 5 broker keeps an undelivered result."""

    topics: wire.Topics
    qos: int = 1
    window: int = 20
    expiry_s: int = 0
    protocol: Choice = "auto"


@dataclass(slots=True)
class Counters:
    """Messages since the start: results only, not `status` and `info`."""

    published: int = 0  # handed to the network, repeats included
    acknowledged: int = 0  # by the broker; at QoS 0 the same as published
    refused: int = 0  # by the broker, for good
    reconnects: int = 0


class Sender:
    """See the module. `start`, `announce`, `wake` and `stop` are for the pipeline's thread.

    Raises ConfigError for a password file or a certificate that cannot be used.
    """

    def __init__(self, login: Login, terms: Terms, plan: Plan, outbox: Outbox) -> None:
        self.counters = Counters()
        self.protocol = ""  # in use: "5", "3.1.1", or "" before the first connection
        self.connected = False
        self.ended = False  # the thread is over; before `stop` this is a bug, with its traceback
        self._address = login.address
        self._plan = plan
        self._outbox = outbox
        on_ack = self._on_ack if plan.qos else None
        will = (plan.topics.status, wire.OFFLINE)
        self._link = Link(login, replace(terms, will=will, on_ack=on_ack), plan.protocol)
        self._flight = Flight(plan.window)
        self._patience = Patience(login.address, terms.client_id)
        self._status_id = 0  # message id of the last status; 0 when it is acknowledged
        self._extras: dict[str, Properties | None] = {}  # by model version
        self._info: Callable[[str], bytes] | None = None
        self._info_due = False
        self._filled_at = 0.0
        self._closing = False
        self._hurry = threading.Event()  # cuts a back-off short
        self._deadline = float("inf")
        self._thread = threading.Thread(target=self._run, name="mqtt-sender", daemon=True)

    @property
    def cause(self) -> str:
        """Why the last connection failed."""
        return self._patience.cause

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._thread.start()

    def wake(self) -> None:
        """There is something in the outbox."""
        self._link.wake()

    def announce(self, info: Callable[[str], bytes]) -> None:
        """Publish `info(protocol)` now and after every reconnect."""
        self._info = info
        self._info_due = True
        self._link.wake()

    def stop(self, drain_s: float) -> None:
        """Deliver what waits, for at most `drain_s`; say goodbye; end the thread."""
        self._deadline = time.monotonic() + drain_s
        self._closing = True
        self._hurry.set()
        self._link.wake()
        idle = not self.connected and self._outbox.size == 0
        self._thread.join(IDLE_JOIN_S if idle else drain_s + CONNACK_TIMEOUT_S)
        if not self._thread.is_alive():  # else it is stuck in a name lookup, and ends alone
            self._link.close()

    def _run(self) -> None:
        try:
            while not self._finished():
                try:
                    self._serve(self._link.connect())
                except LinkDownError as exc:
                    self._recover(exc)
        finally:
            self.ended = True
            self.connected = False
            self._link.drop()

    def _finished(self) -> bool:
        return self._closing and (self._outbox.size == 0 or time.monotonic() >= self._deadline)

    def _recover(self, exc: LinkDownError) -> None:
        """Put back what was in flight, and wait before the next attempt."""
        self.connected = False
        self._link.drop()
        given_up = self._flight.crashed()
        if given_up is not None:
            self._refuse(given_up, "the broker hung up on it three times")
        self._outbox.rewind()
        delay_s = self._patience.failed(exc)
        if self._closing:
            left_s = 0.0 if exc.hopeless else self._deadline - time.monotonic()
            self._deadline = time.monotonic() + left_s
            delay_s = max(0.0, min(delay_s, CLOSING_PAUSE_S, left_s))
        if self._hurry.wait(delay_s):
            self._hurry.clear()

    def _serve(self, session: Session) -> None:
        """Publish until the end. Raises LinkDownError when the connection is lost."""
        self._greet(session)
        while not self._finished():
            self._fill(session)
            self._gather()
            if self._flight.few and not session.clogged and not self._closing:
                self._link.wait(ACK_DELAY_S, deaf=True)
            else:
                self._link.wait(self._deadline - time.monotonic())
        self._fill_info(session)
        self._status(session, wire.STOPPED)
        until = time.monotonic() + GOODBYE_S
        while self._status_id and time.monotonic() < until:
            self._link.wait(until - time.monotonic())
        self._link.hang_up()

    def _gather(self) -> None:
        """Rest a moment when results come one upon the other, as from a file; never at a camera's
        pace. Each wake-up takes a core from the pipeline.
        """
        before, self._filled_at = self._filled_at, time.monotonic()
        quick = self._filled_at - before < GATHER_S
        if quick and not self._outbox.waiting and not self._closing:
            self._hurry.wait(GATHER_S)

    def _greet(self, session: Session) -> None:
        if self.protocol:
            self.counters.reconnects += 1
        self.protocol, self.connected = session.version, True
        self._flight.begin(session.receive_max)
        self._patience.connected(session.version)
        self._extras.clear()
        self._info_due = self._info is not None
        self._status(session, wire.ONLINE)

    def _status(self, session: Session, word: str) -> None:
        qos = min(self._plan.qos, 1)
        message = session.publish(self._plan.topics.status, word.encode(), qos, retain=True)
        self._status_id = message if qos else 0

    def _fill_info(self, session: Session) -> None:
        if self._info_due and self._info is not None:
            self._info_due = False
            payload, extra = self._info(session.version), session.properties(0, "")
            qos = min(self._plan.qos, 1)
            session.publish(self._plan.topics.info, payload, qos, retain=True, extra=extra)

    def _fill(self, session: Session) -> None:
        """Hand over as many rows as may be in flight."""
        self._fill_info(session)
        while self._outbox.waiting and not session.clogged:
            if self._flight.room <= 0:
                return
            for row in self._outbox.take(self._flight.room):
                self._send(session, row)

    def _send(self, session: Session, row: Row) -> None:
        size = len(row.payload) + len(row.topic) + PACKET_SPARE
        if 0 < session.packet_max_bytes < size:
            self._refuse(row.id, f"{size} bytes are more than the broker takes")
            return
        payload = row.payload
        if time.monotonic_ns() - row.accepted_ns > LIVE_NS:
            payload = wire.as_historical(payload)
        if row.version not in self._extras:
            self._extras[row.version] = session.properties(self._plan.expiry_s, row.version)
        extra = self._extras[row.version]
        message = session.publish(row.topic, payload, self._plan.qos, extra=extra)
        self.counters.published += 1
        if self._plan.qos:
            self._flight.sent(message, row.id)
        else:
            self._done(row.id)

    def _on_ack(self, message: int, refusal: str) -> None:
        row_id = self._flight.landed(message)
        if row_id is None:
            if message == self._status_id:
                self._status_id, self._flight.proven = 0, True
        elif refusal:
            self._refuse(row_id, refusal)
        else:
            self._done(row_id)

    def _done(self, row_id: int) -> None:
        self.counters.acknowledged += 1
        self._outbox.ack(row_id)

    def _refuse(self, row_id: int, why: str) -> None:
        """Give a message up, so that it does not stand in the way of the rest."""
        if self.counters.refused == 0:
            log.error("%s: a result is refused for good: %s", self._address, why)
        self.counters.refused += 1
        self._outbox.ack(row_id)
