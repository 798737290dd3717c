"""The seam for whoever speaks over the sender's connection: commands, Home Assistant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from edge_runtime.frame import Info

    from .message import Message, Post


class Companion(Protocol):
    """All methods are called on the sender's thread, never block and never raise."""

    @property
    def filters(self) -> tuple[str, ...]:
        """The topics to subscribe to, at each new connection."""
        ...

    def greet(self, info: Info) -> Iterable[Post]:
        """What to publish: after each new connection, and when `info` has changed."""
        ...

    def hear(self, message: Message) -> Iterable[Post]:
        """A message came, of these filters or of another companion's; what to answer."""
        ...
