"""What MQTT 5 says of a message beside its payload, packed once (MQTT 5.0, section 2.2.2).

paho packs properties anew for each message, which costs more than to encode a result. Here the
bytes are made once, and a message's own trace id is joined to them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

# Identifiers of MQTT 5.0, section 2.2.2.2.
_PAYLOAD_FORMAT, _EXPIRY, _CONTENT_TYPE = 0x01, 0x02, 0x03
_RESPONSE_TOPIC, _CORRELATION, _USER = 0x08, 0x09, 0x26
_TEXT_MAX_BYTES = 0xFFFF


class Properties:
    """Of a PUBLISH; stands where paho expects an object with `pack`."""

    __slots__ = ("_packed", "body")

    def __init__(self, body: bytes) -> None:
        self.body = body  # without the length before it
        self._packed = _length(len(body)) + body

    def pack(self) -> bytes:
        """The bytes as they are sent, with their length."""
        return self._packed

    def traced(self, trace: str) -> Properties:
        """These, and the user property "trace-id"."""
        return Properties(self.body + _TRACE + _text(trace))


def describe(
    content_type: str,
    *,
    expiry_s: int = 0,
    user: Iterable[tuple[str, str]] = (),
    correlation: bytes = b"",
    response_topic: str = "",
) -> Properties:
    """A message's type, its life (0: without end), its pairs, and what an answer refers to.

    The payload is marked as UTF-8 for application/json and text/*. Raises ValueError for a text
    of more than 65535 bytes.
    """
    body = bytearray()
    if content_type == "application/json" or content_type.startswith("text/"):
        body += bytes((_PAYLOAD_FORMAT, 1))
    if expiry_s:
        body += struct.pack("!BI", _EXPIRY, expiry_s)
    if content_type:
        body += bytes((_CONTENT_TYPE,)) + _text(content_type)
    if response_topic:
        body += bytes((_RESPONSE_TOPIC,)) + _text(response_topic)
    if correlation:
        body += bytes((_CORRELATION,)) + _binary(correlation)
    for name, value in user:
        body += bytes((_USER,)) + _text(name) + _text(value)
    return Properties(bytes(body))


def _text(text: str) -> bytes:
    return _binary(text.encode())


def _binary(data: bytes) -> bytes:
    if len(data) > _TEXT_MAX_BYTES:
        raise ValueError(f"a property of {len(data)} bytes: MQTT takes {_TEXT_MAX_BYTES}")
    return len(data).to_bytes(2, "big") + data


def _length(size: int) -> bytes:
    """A variable byte integer (MQTT 5.0, section 1.5.5)."""
    if size < 128:
        return bytes((size,))
    return bytes((size % 128 | 0x80,)) + _length(size // 128)


_TRACE = bytes((_USER,)) + _text("trace-id")
NONE = Properties(b"")
