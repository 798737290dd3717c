"""How a sender publishes, and what it counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_runtime.encoding import Encoding
    from edge_runtime.wire import Topics

    from .link import Choice


@dataclass(frozen=True, slots=True)
class Plan:
    """How to publish. `expiry_s` is how long an MQTT 5 broker keeps an undelivered result."""

    topics: Topics
    qos: int = 1
    window: int = 20
    expiry_s: int = 0
    protocol: Choice = "auto"
    encoding: Encoding = "json"
    confirm_s: float = 0.0  # 0: the broker's acknowledgement is enough


@dataclass(slots=True)
class Counters:
    """Messages since the start: results, alerts and gap records, not `status` and `info`."""

    published: int = 0  # handed to the network, repeats included
    acknowledged: int = 0  # by the broker, or confirmed; at QoS 0 the same as published
    reconnects: int = 0
