"""What comes from a broker, and what goes to it beside results."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage


class Message(NamedTuple):
    """A message that arrived; what only MQTT 5 carries is empty with 3.1.1."""

    topic: str
    payload: bytes
    retained: bool = False
    content_type: str = ""
    response_topic: str = ""
    correlation: bytes = b""
    user: tuple[tuple[str, str], ...] = ()


class Post(NamedTuple):
    """A message to publish at once, and to forget when the connection is lost first."""

    topic: str
    payload: bytes
    retain: bool = False
    content_type: str = "application/json"
    correlation: bytes = b""


def received(message: MQTTMessage) -> Message:
    """What paho took in. Raises UnicodeDecodeError for a topic that is not UTF-8."""
    extra = message.properties
    return Message(
        message.topic,
        bytes(message.payload),
        message.retain,
        getattr(extra, "ContentType", ""),
        getattr(extra, "ResponseTopic", ""),
        getattr(extra, "CorrelationData", b""),
        tuple(getattr(extra, "UserProperty", ())),
    )
