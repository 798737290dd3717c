"""The receiving side: a thread that keeps a connection and holds what comes until it is taken."""

from __future__ import annotations

import threading
import time
import uuid
from contextlib import suppress
from typing import NamedTuple

from edge_runtime.errors import ConfigError, EdgeRunError

from .client import LinkDownError
from .confirmations import Confirmations
from .link import TICK_S, Choice, Link
from .login import Login
from .message import Message
from .patience import Patience
from .terms import Terms

HELD_MAX = 10_000  # messages that wait to be taken; then nothing is read until some are
PAUSE_S = 0.05  # how often a full receiver looks whether there is room again
SUBSCRIBE_S = 5.0  # how long a broker may take to answer a subscription
LEAVE_S = 1.0  # how long the last confirmations may take


class Arrival(NamedTuple):
    """A message, and the wall time at which it came."""

    time_ns: int
    message: Message


class Wanted(NamedTuple):
    """Which topics: those for every subscriber, and those that a group may divide among it."""

    filters: tuple[str, ...]
    divisible: tuple[str, ...]
    group: str = ""

    def match(self, topic: str) -> bool:
        """Whether a topic is one of them; `+` is the only wildcard here."""
        levels = topic.split("/")
        return any(
            len(levels) == len(wanted)
            and all(name in ("+", level) for name, level in zip(wanted, levels, strict=True))
            for wanted in (name.split("/") for name in (*self.filters, *self.divisible))
        )


def wanted(prefix: str, device: str, pipeline: str, group: str = "") -> Wanted:
    """Everything that pipelines publish of themselves; `+` is any device or pipeline."""
    root = f"{prefix}/{device}/{pipeline}"
    return Wanted(
        (f"{root}/status", f"{root}/info", f"{root}/alert"),
        (f"{root}/+/result", f"{root}/+/event", f"{root}/+/gap"),
        group,
    )


class Receiver:
    """Subscribes, and comes back by itself, with back-off, after the connection was lost.

    Messages wait in memory, HELD_MAX at most. A full receiver reads no more: the broker then holds
    what it can, and ends the connection when it has long heard nothing (MQTT 5.0, 3.1.2.10).

    With `session_expiry_s` and a `client_id` of its own, the broker holds messages so long while
    we are away; without, what is published meanwhile is missed.
    """

    def __init__(
        self,
        login: Login,
        topics: Wanted,
        *,
        client_id: str = "",
        session_expiry_s: int = 0,
        protocol: Choice = "auto",
    ) -> None:
        self._login = login
        self._topics = topics
        self._protocol = protocol
        self._incoming: list[Message] = []
        self._confirmations = Confirmations()
        self._terms = Terms(
            client_id=client_id or f"edge-run-{uuid.uuid4().hex[:14]}",
            on_ack=self._confirmations.acked,
            on_message=self._incoming.append,
            session_expiry_s=session_expiry_s,
        )
        self._patience = Patience(self._terms.client_id, waiting="")
        self._link: Link | None = None
        self._connected = False
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._news = threading.Condition()
        self._waiting: list[Arrival] = []
        self._ended = False
        self._fault: ConfigError | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._ended

    @property
    def now_ns(self) -> int:
        """The time on the clock of arrivals."""
        return time.time_ns()

    @property
    def cause(self) -> str:
        """Why there is no connection now; empty when there is one."""
        return "" if self._connected else self._patience.cause

    def open(self) -> None:
        """Connect and subscribe; return when that is done, after some fifteen seconds at most.

        Raises EdgeRunError for a broker that is out of reach or refuses us, ConfigError for a
        password file or a certificate that cannot be used.
        """
        link = Link(self._login, self._terms, self._protocol)
        try:
            self._connect_first(link)
        except EdgeRunError:
            link.close()
            raise
        self._link = link
        self._thread = threading.Thread(
            target=self._run, args=(link,), name="mqtt-receiver", daemon=True
        )
        self._thread.start()

    def take(self, timeout_s: float | None) -> list[Arrival]:
        """All that has come; waits for the first. Empty after `timeout_s`, and when closed.

        Raises ConfigError when a certificate or a password file cannot be used any more.
        """
        with self._news:
            self._news.wait_for(lambda: self._waiting or self._ended, timeout_s)
            taken, self._waiting = self._waiting, []
            if not taken and self._ended and not self._stop.is_set():
                raise self._fault or EdgeRunError(f"{self._login.address}: the receiver broke down")
        return taken

    def confirm(self, root: str, result_id: str) -> None:
        """Tell the device at `root`, <prefix>/<device>/<pipeline>, that a result is handled."""
        if self._confirmations.add(root, result_id):
            self._wake()

    def close(self) -> None:
        """Send what is confirmed, leave, and let `take` return. Any thread may, and again."""
        self._stop.set()
        self._wake()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self, link: Link) -> None:
        try:
            while not self._stop.is_set():
                try:
                    self._follow(link)
                except LinkDownError as exc:
                    self._connected = False
                    link.drop()
                    self._stop.wait(self._patience.failed(link.address, exc))
            self._leave(link)
        except ConfigError as exc:
            self._fault = exc
        finally:
            with self._news:
                link.close()
                self._link, self._ended = None, True
                self._news.notify_all()

    def _wake(self) -> None:
        with self._news:
            if self._link is not None:
                self._link.wake()

    def _connect(self, link: Link) -> None:
        session = link.connect()
        session.subscribe(self._topics.filters)
        session.subscribe(self._topics.divisible, shared=self._topics.group)
        until = time.monotonic() + SUBSCRIBE_S
        while not session.subscribed:
            link.wait(until - time.monotonic())
            if time.monotonic() > until:
                raise LinkDownError(f"it did not subscribe us within {SUBSCRIBE_S:g} s")
        self._confirmations.begin(session)
        self._patience.connected(link.address, session.version)
        self._connected = True
        self._hand_over()  # what came beside the answers

    def _connect_first(self, link: Link) -> None:
        """Try every broker once. Raises EdgeRunError."""
        while True:
            try:
                self._connect(link)
            except LinkDownError as exc:
                if not exc.more:
                    raise EdgeRunError(f"{link.address}: {exc}") from exc
            else:
                return

    def _follow(self, link: Link) -> None:
        """One connection, to its end or ours. Raises LinkDownError."""
        if not self._connected:
            self._connect(link)
        while not self._stop.is_set():
            if len(self._waiting) < HELD_MAX:
                link.wait(self._confirmations.due_in_s(TICK_S))
                self._hand_over()
            else:
                self._stop.wait(PAUSE_S)
            self._confirmations.send(link.session)

    def _hand_over(self) -> None:
        if self._incoming:
            now_ns = time.time_ns()
            with self._news:
                self._waiting += [Arrival(now_ns, message) for message in self._incoming]
                self._news.notify()
            self._incoming.clear()

    def _leave(self, link: Link) -> None:
        if not self._connected:
            return
        until = time.monotonic() + LEAVE_S
        with suppress(LinkDownError):  # what was not confirmed comes again
            while not self._confirmations.settled and time.monotonic() < until:
                self._confirmations.send(link.session, all_now=True)
                link.wait(until - time.monotonic())
            link.hang_up()
