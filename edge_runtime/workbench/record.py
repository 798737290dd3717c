"""Messages in a file, a line of JSON each, and the same messages out of it again.

    {"time":"2026-11-21T09:30:00.123456789Z","topic":"...","retained":false,"content_type":"...",
     "payload":{...}}

`payload` is the document where it was JSON, and a text where it was another one; what is neither
is `base64` instead.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from edge_runtime.errors import ConfigError, EdgeRunError
from edge_runtime.mqtt.message import Message
from edge_runtime.mqtt.receiver import Arrival, Wanted
from edge_runtime.parse_outcome import flag, text, time_ns
from edge_runtime.times import rfc3339

if TYPE_CHECKING:
    from .viewer import Sight

BATCH = 500  # messages that a player gives at once


class Recorder:
    """Writes every message as soon as it came: a kill or a power cut costs the last line.

    Raises ConfigError for a file that is there already or cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("xb", buffering=0)
        except FileExistsError as exc:
            raise ConfigError(f"--record: {path}: is there already; give another name") from exc
        except OSError as exc:
            raise ConfigError(f"--record: {path}: {exc.strerror}") from exc

    def keep(self, sight: Sight) -> None:
        """Write a message. Raises EdgeRunError when there is no room for it."""
        try:
            self._file.write(_packed(sight))
        except OSError as exc:
            raise EdgeRunError(f"{self.path}: {exc.strerror}") from exc

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Player:
    """Gives recorded messages as if they came now.

    Args:
        path: the file.
        topics: which of its messages.
        speed: 1 as it was, 2 twice as fast, 0 without waiting.

    Raises:
        ConfigError: the file cannot be read, or is no record.
    """

    def __init__(self, path: Path, topics: Wanted, speed: float) -> None:
        self.ended = False
        self.unreadable = 0  # lines, as the last one after a power cut
        self.cause = ""
        self._topics = topics
        self._speed = speed
        self._file = _opened(path)
        self._next = self._read()
        if self._next is None and self.unreadable:
            self._file.close()
            raise ConfigError(f"--replay: {path}: is no record of edge-run watch")
        self._began_s = time.monotonic()
        self._began_ns = self._last_ns = self._next.time_ns if self._next else 0

    @property
    def now_ns(self) -> int:
        """The time that it is in the record."""
        if not self._speed:
            return self._last_ns
        return self._began_ns + int((time.monotonic() - self._began_s) * self._speed * 1e9)

    def take(self, timeout_s: float) -> list[Arrival]:
        """What is due by now; waits for the first, for `timeout_s` at most."""
        until = time.monotonic() + timeout_s
        taken: list[Arrival] = []
        while self._next is not None and len(taken) < BATCH:
            wait_s = self._due_s(self._next) - time.monotonic()
            if wait_s > 0:
                if taken:
                    break
                threading.Event().wait(max(0.0, min(wait_s, until - time.monotonic())))
                if self._due_s(self._next) > until:
                    break
            taken.append(self._next)
            self._last_ns = self._next.time_ns
            self._next = self._read()
        self.ended = self._next is None
        return taken

    def confirm(self, root: str, result_id: str) -> None:
        """Nobody is there to be told."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _due_s(self, arrival: Arrival) -> float:
        if not self._speed:
            return 0.0
        return self._began_s + (arrival.time_ns - self._began_ns) / 1e9 / self._speed

    def _read(self) -> Arrival | None:
        """The next message that is wanted."""
        for line in self._file:
            try:
                arrival = _unpacked(line)
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
                self.unreadable += 1
                continue
            if self._topics.match(arrival.message.topic):
                return arrival
        return None


def _packed(sight: Sight) -> bytes:
    topic, payload, retained, content_type, *_ = sight.arrival.message
    head = {
        "time": rfc3339(sight.arrival.time_ns),
        "topic": topic,
        "retained": retained,
        "content_type": content_type,
    }
    start = json.dumps(head, separators=(",", ":")).encode()[:-1]
    return start + b"," + _body(payload, is_json=sight.document is not None) + b"}\n"


def _body(payload: bytes, *, is_json: bool) -> bytes:
    if is_json and payload[:1] == b"{" and b"\n" not in payload:
        return b'"payload":' + payload
    try:
        return b'"payload":' + json.dumps(payload.decode("utf-8")).encode()
    except UnicodeDecodeError:
        return b'"base64":"' + base64.b64encode(payload) + b'"'


def _unpacked(line: bytes) -> Arrival:
    entry = json.loads(line)
    if "base64" in entry:
        payload = base64.b64decode(text(entry["base64"]), validate=True)
    elif isinstance(entry["payload"], str):
        payload = entry["payload"].encode()
    else:
        payload = json.dumps(entry["payload"], separators=(",", ":")).encode()
    message = Message(
        text(entry["topic"]), payload, flag(entry["retained"]), text(entry["content_type"])
    )
    return Arrival(time_ns(entry["time"]), message)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as exc:
        raise ConfigError(f"--replay: {path}: {exc.strerror}") from exc
