"""Answers to commands, and the topics that they may go to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from edge_runtime.errors import BadOptionError
from edge_runtime.mqtt.message import Message, Post
from edge_runtime.wire import check_level

if TYPE_CHECKING:
    from edge_runtime.frame import Identity

SHARED = "reply"  # whoever asks may have an answer below this first level
_TOPIC_MAX = 256  # characters
_CORRELATION_MAX = 256  # bytes


class Replies:
    """Makes answers. `root` is the topic of the commands, less the verb.

    A response topic (MQTT 5.0, section 3.3.2.3.5) is obeyed below `<root>/<verb>/response` and
    below `reply/` alone: a command must not be a way to write where its sender may not. Any other
    is as none: the answer goes to `<root>/<verb>/response`.
    """

    def __init__(self, identity: Identity, root: str, prefix: str) -> None:
        self._identity = identity
        self._root = root
        self._shared = prefix.split("/", maxsplit=1)[0] != SHARED

    def post(self, message: Message, verb: str, answer: Mapping[str, object]) -> Post:
        """The answer to a command; with its correlation data, if there is a sane amount."""
        own = f"{self._root}/{verb}/response"
        topic, correlation = message.response_topic, message.correlation
        document = {
            "device": self._identity.device,
            "pipeline": self._identity.pipeline,
            "verb": verb,
            **answer,
        }
        return Post(
            topic if self._may_go(topic, own) else own,
            json.dumps(document).encode(),
            correlation=correlation if len(correlation) <= _CORRELATION_MAX else b"",
        )

    def _may_go(self, topic: str, own: str) -> bool:
        below = topic == own or topic.startswith(f"{own}/")
        if not below and not (self._shared and topic.startswith(f"{SHARED}/")):
            return False
        try:
            for level in topic.split("/"):
                check_level("response", level)
        except BadOptionError:
            return False
        return len(topic) <= _TOPIC_MAX
