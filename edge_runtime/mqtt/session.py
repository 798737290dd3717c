"""One connection to an MQTT broker, from CONNECT to its end; it is never mended.

paho-mqtt speaks the protocol here, without its thread: whoever owns the session waits for its
file descriptor and calls `read`, `write` and `tick`, all from one thread.
"""

from __future__ import annotations

import select
import ssl
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .client import (
    LinkDownError,
    NotSpokenError,
    Version,
    dial,
    farewell,
    json_properties,
    make,
    refusal,
    tune,
)

if TYPE_CHECKING:
    from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

    from .login import Login

CONNACK_TIMEOUT_S = 5.0
SILENCE_S = 1.0  # some brokers meet MQTT 5 with silence: wait so long, or for a far one
SILENCE_DIALS = 20  # so many times what it took to connect, whichever is longer


@dataclass(frozen=True, slots=True)
class Terms:
    """What a session asks of the broker, and tells its owner from inside `read`.

    The will (topic, payload) is published, retained, when this client vanishes. `on_ack` gets a
    message id and, when the broker refused the message, why; `on_message` topic and payload.
    """

    client_id: str
    keepalive_s: int = 30
    will: tuple[str, str] | None = None
    on_ack: Callable[[int, str], None] | None = None
    on_message: Callable[[str, bytes], None] | None = None


class Session:
    """See the module. Raises LinkDownError when the broker is out of reach or refuses.

    `secrets` are the password and the TLS context, if there is one. A `probing` session does not
    wait silence out, because another version is tried next.
    """

    def __init__(
        self,
        login: Login,
        secrets: tuple[str, ssl.SSLContext | None],
        terms: Terms,
        version: Version,
        *,
        probing: bool = False,
    ) -> None:
        self.version = version
        self.receive_max = 65535  # messages that the broker takes unacknowledged
        self.packet_max_bytes = 0  # the largest packet that it takes; 0 is any
        self.lost: LinkDownError | None = None  # why the connection ended
        self._terms = terms
        self._granted: ReasonCode | None = None
        self._acks: list[tuple[int, str]] = []
        self._messages: list[tuple[str, bytes]] = []
        self._client = make(login, *secrets, terms.client_id, version)
        self._bind(self._client)
        began = time.monotonic()
        dial(self._client, login, terms.keepalive_s)
        silence_s = max(SILENCE_S, SILENCE_DIALS * (time.monotonic() - began))
        timeout_s = min(silence_s, CONNACK_TIMEOUT_S) if probing else CONNACK_TIMEOUT_S
        self._sock = self._client.socket()
        try:
            tune(self.fileno(), terms.keepalive_s)
            self._await_connack(timeout_s)
        except LinkDownError:
            self.drop()
            raise

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
        """Whether bytes are decrypted but not read; the descriptor does not show them."""
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
    ) -> int:
        """Hand a message to the network; gives its id. Raises LinkDownError."""
        sent = self._client.publish(topic, payload, qos, retain, extra)
        if sent.rc != 0 or self.lost:
            raise self.lost or LinkDownError("the connection was lost")
        return sent.mid

    def subscribe(self, filters: list[str]) -> None:
        """Ask for topics, at QoS 1; what comes goes to `on_message`."""
        self._client.subscribe([(topic, 1) for topic in filters])

    def properties(self, expiry_s: int, version: str) -> Properties | None:
        """Message properties, to be kept and used again; None where MQTT 5 is not spoken."""
        return json_properties(expiry_s, version) if self.version == "5" else None

    def read(self) -> None:
        """Take in what has arrived, without waiting."""
        from paho.mqtt import MQTTException

        try:
            self._client.loop_read()
            while self.lost is None and self.unread:
                self._client.loop_read()
        except (MQTTException, ValueError, LookupError, TypeError, struct.error) as exc:
            self.lost = LinkDownError(f"it sent something that is not MQTT ({exc})")
        self._tell()

    def write(self) -> None:
        """Send what could not be sent at once."""
        self._client.loop_write()

    def tick(self) -> None:
        """Ping when it is time to; to be called about once a second."""
        self._client.loop_misc()

    def hang_up(self, timeout_s: float) -> None:
        """Leave in good order, so that the will is not published."""
        until = time.monotonic() + timeout_s
        self._client.disconnect()
        while self.lost is None and self.clogged and time.monotonic() < until:
            poll = select.poll()
            poll.register(self.fileno(), select.POLLOUT)
            poll.poll(timeout_s * 1000)
            self.write()
        self.drop()

    def drop(self) -> None:
        """Close the socket, as a crash would."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _await_connack(self, timeout_s: float) -> None:
        until = time.monotonic() + timeout_s
        while self._granted is None and self.lost is None:
            poll = select.poll()
            poll.register(self.fileno(), select.POLLIN | (select.POLLOUT if self.clogged else 0))
            left_s = until - time.monotonic()
            if left_s <= 0 or not poll.poll(left_s * 1000):
                raise NotSpokenError(f"it did not answer within {timeout_s:.0f} s")
            self.write()
            self.read()
        if self._granted is None:
            raise NotSpokenError("it closed the connection without an answer")
        if self._granted.is_failure:
            raise refusal(self._granted)

    def _bind(self, client: Client) -> None:
        """Set callbacks; one that is absent costs nothing per message."""
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        if self._terms.will is not None:
            client.will_set(*self._terms.will, qos=1, retain=True)
        if self._terms.on_ack is not None:
            client.on_publish = self._on_publish
        if self._terms.on_message is not None:
            client.on_message = self._on_message

    def _on_connect(
        self,
        _client: Client,
        _data: object,
        _flags: ConnectFlags,
        code: ReasonCode,
        extra: Properties | None,
    ) -> None:
        self._granted = code
        self.receive_max = getattr(extra, "ReceiveMaximum", self.receive_max)
        self.packet_max_bytes = getattr(extra, "MaximumPacketSize", 0)

    def _on_disconnect(
        self,
        _client: Client,
        _data: object,
        flags: DisconnectFlags,
        code: ReasonCode,
        _extra: object,
    ) -> None:
        self.lost = LinkDownError("the connection was lost")
        if flags.is_disconnect_packet_from_server:
            self.lost = farewell(code, self._terms.client_id)

    def _on_subscribe(
        self, _client: Client, _data: object, _mid: int, codes: list[ReasonCode], _extra: object
    ) -> None:
        for code in codes:
            if code.is_failure:
                self.lost = LinkDownError(f"it refused to subscribe us: {code}", hopeless=True)

    def _on_publish(
        self, _client: Client, _data: object, mid: int, code: ReasonCode, _extra: object
    ) -> None:
        self._acks.append((mid, str(code).lower() if code.is_failure else ""))

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        self._messages.append((message.topic, bytes(message.payload)))

    def _tell(self) -> None:
        """Hand over what came, out of reach of paho's own error handling."""
        if self._acks and self._terms.on_ack is not None:
            acks, self._acks = self._acks, []
            for mid, refusal in acks:
                self._terms.on_ack(mid, refusal)
        if self._messages and self._terms.on_message is not None:
            messages, self._messages = self._messages, []
            for topic, payload in messages:
                self._terms.on_message(topic, payload)
