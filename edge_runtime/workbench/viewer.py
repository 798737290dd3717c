"""What `edge-run watch` makes of messages: events without repeats, and how many of each."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from edge_runtime.encoding import decode
from edge_runtime.errors import MissingExtraError
from edge_runtime.events import Alert, Event, Gap, ReceivedResult
from edge_runtime.lines import event_line, plain
from edge_runtime.mqtt.receiver import Arrival
from edge_runtime.parse import event_in, event_of, root_of
from edge_runtime.repeats import Repeats

Document = dict[str, Any]


class Sight(NamedTuple):
    """A message that was looked at. `event` is None when it is none of edge-run's."""

    arrival: Arrival
    event: Event | None
    document: Document | None  # what was decoded, if that was possible
    repeat: bool


class Viewer:
    """Looks at messages, in order.

    Args:
        most: results after which it is done; None is never.
    """

    def __init__(self, *, most: int | None = None) -> None:
        self.results = 0  # different ones
        self.lost = 0  # results that gaps told of
        self.repeats = 0
        self.unreadable = 0  # messages that are not ours
        self.lacking = ""  # the extra without which some of these could not be read
        self._most = most
        self._known = Repeats()

    def see(self, arrival: Arrival) -> Sight:
        """Take a message; whatever it holds, nothing is raised."""
        topic, payload, _, content_type, *_ = arrival.message
        document = None
        try:
            if topic.endswith("/status"):
                return Sight(arrival, event_of(topic, payload), None, repeat=False)
            document = decode(payload, content_type)
            event = event_in(topic, document)
        except MissingExtraError as exc:
            self.lacking = str(exc)
            self.unreadable += 1
            return Sight(arrival, None, None, repeat=False)
        except ValueError:
            self.unreadable += 1
            return Sight(arrival, None, document, repeat=False)
        return Sight(arrival, event, document, self._count(topic, event))

    @property
    def done(self) -> bool:
        """Whether all that was asked for has been seen."""
        return self._most is not None and self.results >= self._most

    @property
    def summary(self) -> str:
        """What was seen, in a line."""
        lost = f", {self.lost} lost for good" if self.lost else ""
        repeats = f", {_counted(self.repeats, 'repeat')} left out" if self.repeats else ""
        foreign = f", {_counted(self.unreadable, 'unreadable message')}" if self.unreadable else ""
        lacking = f" ({self.lacking})" if self.lacking else ""
        return f"{_counted(self.results, 'result')}{lost}{repeats}{foreign}{lacking}"

    def _count(self, topic: str, event: Event) -> bool:
        """Note what has an id; gives whether it is a repeat."""
        if not isinstance(event, ReceivedResult | Gap | Alert):
            return False
        if self._known.hear(root_of(topic), event.id):
            self.repeats += 1
            return True
        self.results += isinstance(event, ReceivedResult)
        self.lost += event.count if isinstance(event, Gap) else 0
        return False


def text_line(sight: Sight, *, colour: bool = False) -> str | None:
    """A line for people; None for a repeat."""
    if sight.event is None:
        return f"{plain(sight.arrival.message.topic)}: not a message of edge-run"
    return None if sight.repeat else event_line(sight.event, colour=colour)


def json_line(sight: Sight) -> str | None:
    """The document of a result in one line of JSON; None for everything else and for repeats."""
    if sight.repeat or not isinstance(sight.event, ReceivedResult):
        return None
    line = json.dumps(sight.document, ensure_ascii=False, separators=(",", ":"))
    return line if line.isprintable() else json.dumps(sight.document, separators=(",", ":"))


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + "s" * (number != 1)
