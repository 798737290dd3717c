"""What `edge-run watch` makes of messages: lines to show, and a count without repeats."""

from __future__ import annotations

import json
from collections import OrderedDict

from edge_runtime import lines

REMEMBERED = 100_000  # ids of results, to know a repeat by: some 15 MB


class Viewer:
    """Turns messages into lines.

    Args:
        most: results after which it is done; None is never.
        raw: results as they came, and nothing else.
        colour: with the colours of a terminal.
    """

    def __init__(self, *, most: int | None = None, raw: bool = False, colour: bool = False) -> None:
        self.results = 0  # different ones
        self.repeats = 0
        self.unreadable = 0  # messages that are not ours
        self._most = most
        self._raw = raw
        self._colour = colour
        self._seen: OrderedDict[str, None] = OrderedDict()

    def line(self, topic: str, payload: bytes) -> str | None:
        """The line for a message, or None when there is nothing to show of it."""
        if self.done:
            return None
        what = topic.rpartition("/")[2]
        try:
            if what == "result":
                return self._result(payload)
            if self._raw:
                return None
            if what == "info":
                return lines.info_line(json.loads(payload), colour=self._colour)
            return lines.plain(f"{topic.rpartition('/')[0]} is {payload.decode()}")
        except (ValueError, LookupError, TypeError, AttributeError):
            self.unreadable += 1
            return None if self._raw else f"{lines.plain(topic)}: not a message of edge-run"

    @property
    def done(self) -> bool:
        """Whether all that was asked for has been seen."""
        return self._most is not None and self.results >= self._most

    @property
    def summary(self) -> str:
        """What was seen, in a line."""
        repeats = f", {self.repeats} repeats left out" if self.repeats else ""
        foreign = f", {self.unreadable} unreadable messages" if self.unreadable else ""
        return f"{self.results} results{repeats}{foreign}"

    def _result(self, payload: bytes) -> str | None:
        document = json.loads(payload)
        if self._is_repeat(document["id"]):
            self.repeats += 1
            return None
        who = lines.plain(f"{document['device']}/{document['pipeline']}")
        line = f"{who} {lines.result_line(document, colour=self._colour)}"
        self.results += 1
        if self._raw:
            return payload.decode() if b"\n" not in payload else json.dumps(document)
        return line

    def _is_repeat(self, result_id: str) -> bool:
        if result_id in self._seen:
            return True
        self._seen[result_id] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return False
