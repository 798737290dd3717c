"""Whether the primary host application is online (Sparkplug 3.0, sections 5.4 and 6.4.27)."""

from __future__ import annotations

import json

from .node import NAMESPACE


class PrimaryHost:
    """What its STATE messages say; without a `name` nobody is waited for."""

    def __init__(self, name: str) -> None:
        self.topic = f"{NAMESPACE}/STATE/{name}" if name else ""
        self.online = not name
        self._latest = 0.0

    def forget(self) -> None:
        """A new connection, whose broker says it anew, for STATE is retained."""
        self.online, self._latest = not self.topic, 0.0

    def hear(self, payload: bytes) -> None:
        """A message on `topic`: {"online": bool, "timestamp": ms}.

        One that is older than the last, or that is something else, says nothing.
        """
        try:
            said = json.loads(payload)
        except ValueError:
            return
        if not isinstance(said, dict):
            return
        online, timestamp = said.get("online"), said.get("timestamp")
        if not isinstance(online, bool) or not isinstance(timestamp, int | float):
            return
        if timestamp >= self._latest:
            self.online, self._latest = online, timestamp
