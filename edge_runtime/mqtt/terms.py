"""What a session asks of the broker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .message import Message


@dataclass(frozen=True, slots=True)
class Terms:
    """What a session asks of the broker, and tells its owner from inside `read`.

    The will (topic, payload) is published when this client vanishes. `on_ack` gets a message id
    and, when the broker refused the message, why. With `session_expiry_s` the broker keeps our
    subscriptions and what comes for them that long (3.1.1: without end) after the connection;
    not for who publishes at QoS 2, as a new session uses message ids again that the broker keeps.
    """

    client_id: str
    keepalive_s: int = 30
    will: tuple[str, str | bytes] | None = None
    on_ack: Callable[[int, str], None] | None = None
    on_message: Callable[[Message], None] | None = None
    session_expiry_s: int = 0
    will_qos: int = 1
    will_retained: bool = True
