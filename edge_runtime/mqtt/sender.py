"""The thread that empties an outbox into a broker, and keeps `status` and `info` true there.

A lost connection puts back what was in flight, so a subscriber may see a result twice, with the
same id, and never misses one that the outbox held.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edge_runtime import wire

from .client import KEEPALIVE_TIMEOUT, LinkDownError
from .companion import Companion
from .delivery import Delivery
from .envelope import Envelope
from .link import Link
from .message import Message, Post
from .patience import STABLE_S, Patience
from .plan import Counters, Plan
from .session import CONNACK_TIMEOUT_S, Session
from .terms import Terms

if TYPE_CHECKING:
    from edge_runtime.frame import Info
    from edge_runtime.outbox.outbox import Outbox

    from .login import Login

ACK_DELAY_S = 0.01  # acknowledgements may lie unread so long, to be read several at a time
GATHER_S = 0.01  # results that come faster than this leave together, at one wake-up
IDLE_JOIN_S = 0.2  # to end a thread that is busy connecting, with nothing to deliver
GOODBYE_S = 1.0  # for the broker to acknowledge the last status
CLOSING_PAUSE_S = 1.0  # the longest back-off while results wait to be delivered at the end

Alarm = Callable[[str, str, bool], None]


class Sender:
    """See the module. `start`, `announce`, `wake` and `stop` are for the pipeline's thread.

    `alarm` hears of what a person must mend: certificates, logins, a second client of the name.
    """

    def __init__(
        self,
        login: Login,
        terms: Terms,
        plan: Plan,
        outbox: Outbox,
        *,
        alarm: Alarm,
        encode_info: Callable[[Info, str], bytes],
        companions: Sequence[Companion] = (),
    ) -> None:
        self.counters = Counters()
        self.protocol = ""  # in use: "5", "3.1.1", or "" before the first connection
        self.connected = False
        self.ended = False  # the thread is over; before `stop` this is a bug, with its traceback
        self._plan = plan
        self._outbox = outbox
        self._alarm = alarm
        self._alarmed = ""
        self._encode_info = encode_info
        self._companions = companions
        self._envelope = Envelope(plan.expiry_s, plan.encoding)
        self._delivery = Delivery(plan, outbox, self._envelope, self.counters)
        terms = replace(
            terms,
            will=(plan.topics.status, wire.OFFLINE),
            on_ack=self._on_ack if plan.qos else None,
            on_message=self._on_message,
        )
        self._link = Link(login, terms, plan.protocol)
        self._patience = Patience(terms.client_id)
        self._status_id = 0  # message id of the last status; 0 when it is acknowledged
        self._info: Info | None = None
        self._info_due = False
        self._filled_at = self._greeted_at = 0.0
        self._closing = False
        self._hurry = threading.Event()  # cuts a back-off short
        self._deadline = float("inf")
        self._thread = threading.Thread(target=self._run, name="mqtt-sender", daemon=True)

    @property
    def cause(self) -> str:
        """Why the last connection failed."""
        return self._patience.cause

    @property
    def where(self) -> str:
        """The broker in use, or tried last."""
        return str(self._link.address)

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._thread.start()

    def wake(self) -> None:
        """There is something in the outbox. Any thread may call it."""
        self._link.wake()

    def announce(self, info: Info) -> None:
        """Publish `info` now and after every reconnect."""
        self._info = info
        self._info_due = True
        self._link.wake()

    def announce_again(self) -> None:
        """Publish the same `info` once more."""
        self._info_due = True

    def stop(self, drain_s: float) -> None:
        """Deliver what waits, for at most `drain_s`; say goodbye; end the thread."""
        self._deadline = time.monotonic() + drain_s
        self._closing = True
        self._hurry.set()
        self._link.wake()
        idle = not self.connected and self._outbox.empty
        self._thread.join(IDLE_JOIN_S if idle else drain_s + CONNACK_TIMEOUT_S)

    def close(self) -> None:
        """Give everything back, after `stop`; `wake` must not be called any more."""
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
        return self._closing and (self._outbox.empty or time.monotonic() >= self._deadline)

    def _recover(self, exc: LinkDownError) -> None:
        """Put back what was in flight, and wait before the next attempt."""
        self.connected = False
        self._link.drop()
        self._delivery.lost(silent=exc.code == KEEPALIVE_TIMEOUT)
        delay_s = self._patience.failed(self._link.address, exc)
        if self._patience.alarm:
            self._raise(self._patience.alarm)
        if self._closing:
            left_s = 0.0 if exc.hopeless else self._deadline - time.monotonic()
            self._deadline = time.monotonic() + left_s
            delay_s = max(0.0, min(delay_s, CLOSING_PAUSE_S, left_s))
        if self._hurry.wait(delay_s):
            self._hurry.clear()

    def _raise(self, kind: str) -> None:
        """Raise an alarm of the connection, or end it with ""."""
        if kind != self._alarmed:
            if self._alarmed:
                self._alarm(self._alarmed, f"{self.where}: connected again", True)
            if kind:
                self._alarm(kind, f"{self.where}: {self.cause}", False)
            self._alarmed = kind

    def _serve(self, session: Session) -> None:
        """Publish until the end. Raises LinkDownError when the connection is lost."""
        self._greet(session)
        while not self._finished():
            self._fill_info(session)
            self._delivery.fill(session)
            self._gather()
            if self._delivery.few and not session.clogged and not self._closing:
                self._link.wait(ACK_DELAY_S, deaf=True)
            else:
                self._link.wait(self._deadline - time.monotonic())
            if self._alarmed and time.monotonic() - self._greeted_at > STABLE_S:
                self._raise("")
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
        self._greeted_at = time.monotonic()
        self._patience.connected(self._link.address, session.version)
        self._envelope.begin(session)
        self._delivery.begin(session)
        self._info_due = self._info is not None
        self._subscribe(session)
        self._status(session, wire.ONLINE)

    def _subscribe(self, session: Session) -> None:
        filters = [topic for companion in self._companions for topic in companion.filters]
        if self._plan.confirm_s:
            filters.append(self._plan.topics.ack)
        session.subscribe(filters, needed=False)

    def _status(self, session: Session, word: str) -> None:
        qos = min(self._plan.qos, 1)
        message = session.publish(self._plan.topics.status, word.encode(), qos, retain=True)
        self._status_id = message if qos else 0

    def _fill_info(self, session: Session) -> None:
        info = self._info
        if self._info_due and info is not None:
            self._info_due = False
            payload, extra = self._envelope.info(self._encode_info(info, session.version))
            qos = min(self._plan.qos, 1)
            session.publish(self._plan.topics.info, payload, qos, retain=True, extra=extra)
            for companion in self._companions:
                self._post(session, companion.greet(info))

    def _on_ack(self, message: int, refusal: str) -> None:
        if not self._delivery.acknowledged(message, refusal) and message == self._status_id:
            self._status_id = 0
            self._delivery.proven()

    def _on_message(self, message: Message) -> None:
        if self._plan.confirm_s and message.topic == self._plan.topics.ack:
            self._delivery.confirmed(message.payload)
            return
        for companion in self._companions:
            self._post(self._link.session, companion.hear(message))

    def _post(self, session: Session, posts: Iterable[Post]) -> None:
        for post in posts:
            extra = session.properties(post.content_type, correlation=post.correlation)
            qos = min(self._plan.qos, 1)
            session.publish(post.topic, post.payload, qos, retain=post.retain, extra=extra)
