"""One connection to an MQTT broker, from CONNECT to its end; it is never mended.

paho-mqtt speaks the protocol here, without its thread: whoever owns the session waits for its
file descriptor and calls `read`, `write` and `tick`, all from one thread.
"""

from __future__ import annotations

import select
import struct
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from .client import (
    LinkDownError,
    NotSpokenError,
    Version,
    dial,
    linger,
    make,
    say_goodbye,
    tune,
    twin,
)
from .properties import NONE, Properties, describe
from .replies import Grant, Replies

if TYPE_CHECKING:
    from .credentials import Secrets
    from .login import Login
    from .terms import Terms

CONNACK_TIMEOUT_S = 5.0
SILENCE_S = 1.0  # some brokers meet MQTT 5 with silence: wait so long, or for a far one
SILENCE_DIALS = 20  # so many times what it took to connect, whichever is longer


class Session:
    """See the module. Raises LinkDownError when the broker is out of reach or refuses.

    A `probing` session does not wait silence out, because another version is tried next. `tell`
    is told of what the broker does not take as it is meant, each time.
    """

    def __init__(
        self,
        login: Login,
        secrets: Secrets,
        terms: Terms,
        version: Version,
        *,
        tell: Callable[[str], None],
        probing: bool = False,
    ) -> None:
        self.version = version
        self._terms = terms
        self._tell = tell
        self._replies = Replies(terms.client_id, terms.keepalive_s, secrets.context)
        self._client = make(login, secrets, terms, version)
        self._replies.listen(
            self._client, acks=terms.on_ack is not None, messages=terms.on_message is not None
        )
        began = time.monotonic()
        dial(self._client, login, terms)
        silence_s = max(SILENCE_S, SILENCE_DIALS * (time.monotonic() - began))
        timeout_s = min(silence_s, CONNACK_TIMEOUT_S) if probing else CONNACK_TIMEOUT_S
        self._sock = self._client.socket()
        try:
            tune(self.fileno(), terms.keepalive_s)
            grant = self._await_connack(timeout_s)
        except LinkDownError:
            self.drop()
            raise
        self.client_id = grant.client_id or terms.client_id
        self.resumed = grant.resumed  # the broker still knew us and our subscriptions
        self.receive_max = grant.receive_max  # messages that it takes unacknowledged
        self.packet_max_bytes = grant.packet_max_bytes  # the largest that it takes; 0 is any
        self._grant = grant

    @property
    def lost(self) -> LinkDownError | None:
        """Why the connection ended; None while it has not."""
        return self._replies.lost

    def fileno(self) -> int:
        """The socket's descriptor. Raises LinkDownError when the connection has ended."""
        sock = self._client.socket()
        if self.lost or sock is None:
            raise self.lost or LinkDownError("the connection was lost")
        return sock.fileno()

    @property
    def clogged(self) -> bool:
        """Whether bytes wait for the network: then wait until it can be written to."""
        return self._client.want_write()

    @property
    def unread(self) -> bool:
        """Whether something waits for `read` that the descriptor does not show."""
        return bool(self._replies.acks or self._replies.messages) or self._decrypted

    @property
    def _decrypted(self) -> bool:
        pending = getattr(self._client.socket(), "pending", None)
        return pending is not None and pending() > 0

    def publish(
        self,
        topic: str,
        payload: bytes,
        qos: int,
        *,
        retain: bool = False,
        extra: Properties | None = None,
        trace: str = "",
    ) -> int:
        """Hand a message to the network; gives its id. Raises LinkDownError.

        `trace` is added to `extra` as the user property "trace-id", where MQTT 5 is spoken.
        """
        if qos > self._grant.qos_max or (retain and not self._grant.retains):
            qos, retain = self._within_limits(qos, retain)
        if qos == 2 and self._terms.session_expiry_s:
            raise ValueError("a session that is kept cannot publish at QoS 2: see Terms")
        if trace and self.version == "5":
            extra = (extra or NONE).traced(trace)
        sent = self._client.publish(topic, payload, qos, retain, extra)  # type: ignore[arg-type]
        if sent.rc != 0 or self.lost:
            raise self.lost or LinkDownError("the connection was lost")
        return sent.mid

    def properties(
        self,
        content_type: str,
        *,
        expiry_s: int = 0,
        user: tuple[tuple[str, str], ...] = (),
        correlation: bytes = b"",
        response_topic: str = "",
    ) -> Properties | None:
        """Properties to publish with, to be kept and used again; None with MQTT 3.1.1."""
        if self.version != "5":
            return None
        return describe(
            content_type,
            expiry_s=expiry_s,
            user=user,
            correlation=correlation,
            response_topic=response_topic,
        )

    def subscribe(
        self, filters: Iterable[str], *, qos: int = 1, shared: str = "", needed: bool = True
    ) -> None:
        """Ask for topics; what comes goes to `on_message`. Raises LinkDownError.

        The subscribers of one group, `shared`, get each message once between them (MQTT 5.0,
        section 4.8.2). A refusal ends the connection, or is only told when it is not `needed`.
        """
        topics = list(filters)
        if shared:
            if self.version != "5" or not self._grant.shares:
                raise LinkDownError("it knows no shared subscriptions", hopeless=True)
            if any(letter in shared for letter in "/+#"):
                raise ValueError(f"'{shared}' cannot be the name of a group: it holds /, + or #")
            topics = [f"$share/{shared}/{topic}" for topic in topics]
        if topics:
            _, message = self._client.subscribe([(topic, qos) for topic in topics])
            if message is None or self.lost:
                raise self.lost or LinkDownError("the connection was lost")
            self._replies.await_grant(message, topics, needed=needed)

    @property
    def subscribed(self) -> bool:
        return not self._replies.awaited  # one that is refused ends the connection

    def read(self) -> None:
        """Take in what has arrived, without waiting, and tell the owner."""
        self._take_in()
        replies = self._replies
        acks, replies.acks = replies.acks, []
        for message_id, refused in acks:
            if self._terms.on_ack is not None:
                self._terms.on_ack(message_id, refused)
        messages, replies.messages = replies.messages, []
        for message in messages:
            if self._terms.on_message is not None:
                self._terms.on_message(message)
        while replies.refusals:
            self._tell(replies.refusals.pop())

    def write(self) -> None:
        """Send what could not be sent at once."""
        self._client.loop_write()

    def tick(self) -> None:
        """Ping when it is time to; to be called about once a second."""
        self._client.loop_misc()

    def hang_up(self, timeout_s: float) -> None:
        """Leave in good order, so that the will is not published."""
        until = time.monotonic() + timeout_s
        with twin(self.fileno()) as sock:
            say_goodbye(self._client, self.version)
            while self.lost is None and self.clogged and time.monotonic() < until:
                poll = select.poll()
                poll.register(self.fileno(), select.POLLOUT)
                poll.poll(timeout_s * 1000)
                self.write()
            self.drop()
            linger(sock, until)

    def drop(self) -> None:
        """Close the socket, as a crash would."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _await_connack(self, timeout_s: float) -> Grant:
        until = time.monotonic() + timeout_s
        while self._replies.grant is None:
            poll = select.poll()
            poll.register(self.fileno(), select.POLLIN | (select.POLLOUT if self.clogged else 0))
            left_s = until - time.monotonic()
            if left_s <= 0 or not poll.poll(left_s * 1000):
                raise NotSpokenError(f"it did not answer within {timeout_s:.0f} s")
            self.write()
            self._take_in()
            if self.lost is not None:
                raise self.lost
        return self._replies.grant

    def _take_in(self) -> None:
        """Read what there is; nothing of ours is called from inside paho, which eats errors."""
        from paho.mqtt import MQTTException

        try:
            self._client.loop_read()
            while self.lost is None and self._decrypted:
                self._client.loop_read()
        except (MQTTException, ValueError, LookupError, TypeError, struct.error) as exc:
            self._replies.garbled(exc)

    def _within_limits(self, qos: int, retain: bool) -> tuple[int, bool]:
        most, retains = self._grant.qos_max, self._grant.retains
        if qos > most:
            self._tell(f"it takes QoS {most} at most: QoS {qos} is lowered to it")
        if retain and not retains:
            self._tell("it keeps no retained messages: who comes later misses ours")
        return min(qos, most), retain and retains
