"""Makes messages of rows: late ones are marked, all are encoded, and MQTT 5 says what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_runtime import wire
from edge_runtime.encoding import CONTENT_TYPES, Encoding, encode

if TYPE_CHECKING:
    from edge_runtime.outbox.row import Row

    from .properties import Properties
    from .session import Session

PACKET_SPARE = 128  # bytes of a PUBLISH packet beside topic, payload and trace


class Envelope:
    """See the module. `expiry_s` is how long an MQTT 5 broker keeps what nobody fetches."""

    def __init__(self, expiry_s: int, encoding: Encoding) -> None:
        self._expiry_s = expiry_s
        self._encoding: Encoding = encoding
        self._session: Session | None = None
        self._extras: dict[str, Properties | None] = {}  # by model version

    def begin(self, session: Session) -> None:
        """A new connection, with its own version of MQTT and its own limits."""
        self._session = session
        self._extras.clear()

    def seal(self, row: Row) -> tuple[bytes, Properties | None]:
        """The payload and the properties."""
        payload = row.payload
        if not row.accepted_ns:
            payload = wire.as_historical(payload)
        if row.version not in self._extras:
            user = [("schema", str(wire.SCHEMA))]
            if row.version:
                user.append(("model-version", row.version))
            self._extras[row.version] = self._properties(user)
        return encode(payload, self._encoding), self._extras[row.version]

    def info(self, payload: bytes) -> tuple[bytes, Properties | None]:
        """The same for what is retained, and so does not expire."""
        return encode(payload, self._encoding), self._properties([("schema", str(wire.SCHEMA))], 0)

    def _properties(self, user: list[tuple[str, str]], expiry_s: int = -1) -> Properties | None:
        """Of a document of ours."""
        if self._session is None:
            return None
        content_type = CONTENT_TYPES[self._encoding]
        expiry_s = self._expiry_s if expiry_s < 0 else expiry_s
        return self._session.properties(content_type, expiry_s=expiry_s, user=tuple(user))

    def excess(self, row: Row, payload: bytes) -> int:
        """Bytes of a packet that is larger than the broker takes; else 0."""
        limit = self._session.packet_max_bytes if self._session else 0
        size = len(payload) + len(row.topic.encode()) + len(row.key) + PACKET_SPARE
        return size if 0 < limit < size else 0
