"""The thread that speaks Sparkplug B with a broker: one session after another, until the end.

Everything but the will has QoS 0, as Sparkplug demands (6.4.19 to 6.4.26): what the network took
before a connection broke may be lost, and nobody is told.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from edge_runtime.mqtt.client import LinkDownError
from edge_runtime.mqtt.link import Link
from edge_runtime.mqtt.patience import Patience
from edge_runtime.mqtt.session import CONNACK_TIMEOUT_S, Session
from edge_runtime.mqtt.terms import Terms

from .payload import wants_rebirth
from .waiting import Waiting, late

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge_runtime.frame import Info
    from edge_runtime.mqtt.login import Login
    from edge_runtime.mqtt.message import Message

    from .counter import Counter
    from .host import PrimaryHost
    from .node import Node, Outgoing

BATCH = 50  # results that are sent before the broker is listened to
IDLE_JOIN_S = 0.2  # to end a thread that is busy connecting, with nothing to deliver
CLOSING_PAUSE_S = 1.0  # the longest back-off while results wait to be delivered at the end


class Sender:
    """See the module. `start`, `announce`, `wake` and `stop` are for the pipeline's thread.

    Raises ConfigError for a password file or a certificate that cannot be used.
    """

    def __init__(
        self,
        login: Login,
        terms: Terms,
        *,
        node: Node,
        counter: Counter,
        host: PrimaryHost,
        waiting: Waiting,
    ) -> None:
        self.ended = False  # the thread is over; before `stop` this is a bug, with its traceback
        self.sessions = 0
        self._node, self._counter, self._host, self._waiting = node, counter, host, waiting
        terms = replace(terms, on_message=self._hear, will_qos=1, will_retained=False)
        # 3.1.1 is what every host and broker of this world speaks; 5 would add nothing here.
        self._link = Link(login, terms, "3.1.1")
        self._patience = Patience(terms.client_id)
        self._bdseq = 0
        self._info: Info | None = None
        self._changed = self._rebirth = self._born = False
        self._closing = False
        self._deadline = float("inf")
        self._hurry = threading.Event()  # cuts a back-off short
        self._thread = threading.Thread(target=self._run, name="sparkplug-sender", daemon=True)

    @property
    def cause(self) -> str:
        """Why the last connection failed, or what is waited for."""
        return self._patience.cause if self._host.online else "the primary host is not online"

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._thread.start()

    def wake(self) -> None:
        """A result waits."""
        self._link.wake()

    def announce(self, info: Info) -> None:
        """What the births say, now and later."""
        self._info = info
        self._changed = True
        self._link.wake()

    def stop(self, drain_s: float) -> None:
        """Deliver what waits, for at most `drain_s`; say goodbye; end the thread."""
        self._deadline = time.monotonic() + drain_s
        self._closing = True
        self._hurry.set()
        self._link.wake()
        busy = self.sessions or len(self._waiting)
        self._thread.join(drain_s + CONNACK_TIMEOUT_S if busy else IDLE_JOIN_S)
        if not self._thread.is_alive():  # else it is stuck in a name lookup, and ends alone
            self._link.close()

    def _run(self) -> None:
        try:
            while not self._finished():
                # One number per session; an attempt that no broker accepted has used none.
                self._bdseq = self._counter.advance()
                self._connect()
        finally:
            self.ended = True
            self._link.drop()

    def _connect(self) -> None:
        """Try until there was a session, and serve it to its end."""
        while not self._finished():
            sessions = self.sessions
            self._link.set_will(self._node.death_topic, self._node.death(self._bdseq))
            try:
                self._serve(self._link.connect())
            except LinkDownError as exc:
                self._recover(exc)
            if self.sessions > sessions:
                return

    def _finished(self) -> bool:
        done = not len(self._waiting) or time.monotonic() >= self._deadline
        return self._closing and done

    def _recover(self, exc: LinkDownError) -> None:
        """Wait before the next attempt."""
        self._link.drop()
        delay_s = self._patience.failed(self._link.address, exc)
        if self._closing:
            left_s = 0.0 if exc.hopeless else self._deadline - time.monotonic()
            self._deadline = time.monotonic() + left_s
            delay_s = max(0.0, min(delay_s, CLOSING_PAUSE_S, left_s))
        if self._hurry.wait(delay_s):
            self._hurry.clear()

    def _serve(self, session: Session) -> None:
        """Until the end, or until the primary host is gone. Raises LinkDownError when lost."""
        self.sessions += 1
        self._patience.connected(self._link.address, session.version)
        self._born = self._rebirth = False
        self._host.forget()
        session.subscribe(
            [topic for topic in (self._node.command_topic, self._host.topic) if topic]
        )
        while not self._finished() and (self._host.online or not self._born):
            if self._host.online:
                self._speak(session)
            more = self._born and len(self._waiting) and not session.clogged
            self._link.wait(0.0 if more else self._deadline - time.monotonic())
        # An intentional end says so itself (6.4.25): the will is not published then.
        session.publish(self._node.death_topic, self._node.death(self._bdseq), 0)
        self._link.hang_up()

    def _speak(self, session: Session) -> None:
        """Births first, then what has changed and what waits."""
        changed, self._changed = self._changed, False  # before the look at what it is
        info = self._info
        if info is None:
            return
        if self._rebirth or not self._born:
            self._rebirth, self._born = False, True
            self._publish(session, self._node.births(info, self._bdseq))
        elif changed:
            self._publish(session, self._node.update(info, self._bdseq))
        self._send_waiting(session)

    def _send_waiting(self, session: Session) -> None:
        """Some of what waits; then whoever asks for a rebirth is heard."""
        for _ in range(BATCH):
            row = None if session.clogged else self._waiting.take()
            if row is None:
                return
            result, accepted_ns = row
            try:
                self._publish(session, self._node.data(result, historical=late(accepted_ns)))
            except LinkDownError:
                self._waiting.put_back(row)
                raise

    def _publish(self, session: Session, messages: Iterable[Outgoing]) -> None:
        for topic, payload in messages:
            session.publish(topic, payload, 0)

    def _hear(self, message: Message) -> None:
        if message.topic == self._host.topic:
            self._host.hear(message.payload)
        elif message.topic == self._node.command_topic and wants_rebirth(message.payload):
            self._rebirth = True
