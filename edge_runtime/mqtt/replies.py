"""What a broker answers, kept until the session's owner asks for it.

paho calls these methods while it reads, and eats what they raise: so they only keep.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .client import (
    NOT_AUTHORISED,
    Alarm,
    LinkDownError,
    NotSpokenError,
    farewell,
    ping_interval_s,
    refusal,
    words,
)
from .message import Message, received

if TYPE_CHECKING:
    from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

    from .credentials import Context


@dataclass(frozen=True, slots=True)
class Grant:
    """What a CONNACK allows (MQTT 5.0, section 3.2.2.3); MQTT 3.1.1 limits nothing."""

    resumed: bool  # the broker still knew us and our subscriptions
    receive_max: int  # messages that the broker takes unacknowledged
    packet_max_bytes: int  # the largest packet that it takes; 0 is any
    qos_max: int
    retains: bool  # whether it keeps retained messages
    shares: bool  # whether it knows shared subscriptions
    client_id: str  # the one that it gave us; "" when it left us ours


class Replies:
    """See the module. `context` is the TLS context of the connection, if there is one."""

    def __init__(self, client_id: str, keepalive_s: int, context: Context | None) -> None:
        self.grant: Grant | None = None  # set once the broker has let us in
        self.lost: LinkDownError | None = None  # why there is no connection
        self.acks: list[tuple[int, str]] = []  # message id, and why it was refused
        self.messages: list[Message] = []
        self.refusals: list[str] = []  # of subscriptions that we can do without
        self._client_id = client_id
        self._keepalive_s = keepalive_s
        self._context = context
        self._asked: dict[int, tuple[list[str], bool]] = {}

    def listen(self, client: Client, *, acks: bool, messages: bool) -> None:
        """Keep what this client hears; what nobody asks for costs nothing per message."""
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        if acks:
            client.on_publish = self._on_publish
        if messages:
            client.on_message = self._on_message

    def await_grant(self, message_id: int, filters: list[str], *, needed: bool) -> None:
        """A subscription was sent; when it is refused the connection is of no use, if `needed`."""
        self._asked[message_id] = (filters, needed)

    @property
    def awaited(self) -> bool:
        """Whether a subscription is not yet answered."""
        return bool(self._asked)

    def garbled(self, why: object) -> None:
        """The broker sent what is not MQTT, or not the version that was asked for."""
        kind = NotSpokenError if self.grant is None else LinkDownError
        self.lost = kind(f"it sent something that is not MQTT ({why})")

    def _on_connect(
        self,
        client: Client,
        _data: object,
        flags: ConnectFlags,
        code: ReasonCode,
        extra: Properties | None,
    ) -> None:
        if code.is_failure:
            self.lost = refusal(code, extra)
            return
        self.grant = Grant(
            resumed=flags.session_present,
            receive_max=getattr(extra, "ReceiveMaximum", 65535),
            packet_max_bytes=getattr(extra, "MaximumPacketSize", 0),
            qos_max=getattr(extra, "MaximumQoS", 2),
            retains=bool(getattr(extra, "RetainAvailable", 1)),
            shares=bool(getattr(extra, "SharedSubscriptionAvailable", 1)),
            client_id=getattr(extra, "AssignedClientIdentifier", ""),
        )
        limit_s = getattr(extra, "ServerKeepAlive", 0) or self._keepalive_s
        # paho takes the broker's even where it is the longer one, or 0: then it never pings.
        client._keepalive = ping_interval_s(min(limit_s, self._keepalive_s))  # noqa: SLF001
        # What is sent beside the rows in flight counts too (MQTT 5.0, section 4.9): paho holds it.
        client._max_inflight_messages = self.grant.receive_max  # noqa: SLF001

    def _on_disconnect(
        self,
        _client: Client,
        _data: object,
        flags: DisconnectFlags,
        code: ReasonCode,
        extra: Properties | None,
    ) -> None:
        if self.lost is not None:
            return
        if flags.is_disconnect_packet_from_server:
            self.lost = farewell(code, extra, self._client_id)
        elif self._context is not None and self._context.fault is not None:
            self.lost = self._context.fault
        elif self.grant is None:
            self.lost = NotSpokenError("it closed the connection without an answer")
        else:
            self.lost = LinkDownError("the connection was lost", code=code.value)

    def _on_subscribe(
        self,
        _client: Client,
        _data: object,
        message_id: int,
        codes: list[ReasonCode],
        extra: Properties | None,
    ) -> None:
        filters, needed = self._asked.pop(message_id, ([], True))
        for topic, code in zip(filters, codes, strict=False):
            if not code.is_failure:
                continue
            cause = f"it refused to subscribe us to {topic}: {words(code, extra)}"
            if needed:
                alarm: Alarm = "login" if code.value == NOT_AUTHORISED else ""
                self.lost = LinkDownError(cause, hopeless=True, alarm=alarm, code=code.value)
            else:
                self.refusals.append(cause)

    def _on_publish(
        self,
        _client: Client,
        _data: object,
        message_id: int,
        code: ReasonCode,
        extra: Properties | None,
    ) -> None:
        self.acks.append((message_id, words(code, extra) if code.is_failure else ""))

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        self.messages.append(received(message))
