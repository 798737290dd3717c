"""Questions and answers with AWS IoT's reserved topics, on a connection for a few of them."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import DownloadError

if TYPE_CHECKING:
    from edge_runtime.mqtt.link import Link
    from edge_runtime.mqtt.login import Login
    from edge_runtime.mqtt.message import Message

ANSWER_S = 10.0  # how long the service may take for one answer
BYTES_MAX = 131_072  # of an answer: AWS IoT passes on 128 KiB at most


@contextmanager
def talk(login: Login, client_id: str, root: str, answer_s: float = ANSWER_S) -> Iterator[Talk]:
    """Connected while it lasts. Raises DownloadError, ConfigError for a file of the login."""
    from edge_runtime.mqtt.client import LinkDownError
    from edge_runtime.mqtt.link import Link
    from edge_runtime.mqtt.terms import Terms

    heard: list[Message] = []
    link = Link(login, Terms(client_id, on_message=heard.append))
    try:
        link.connect()
        yield Talk(link, root, heard, answer_s)
        with suppress(LinkDownError):
            link.hang_up()
    except LinkDownError as exc:
        raise DownloadError(f"{link.address}: {exc}", reason="connection") from exc
    finally:
        link.close()


class Talk:
    """Asks below one root of topics, one question at a time."""

    def __init__(self, link: Link, root: str, heard: list[Message], answer_s: float) -> None:
        self._link, self._root, self._heard, self._answer_s = link, root, heard, answer_s

    def ask(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """What comes on <topic>/accepted or /rejected; the latter has a "code".

        Raises DownloadError when nothing does, or what is no JSON object; LinkDownError.
        """
        session, topic = self._link.session, f"{self._root}/{path}"
        until = time.monotonic() + self._answer_s
        session.subscribe([f"{topic}/accepted", f"{topic}/rejected"])
        while not session.subscribed:
            self._wait(until, path)
        token = uuid.uuid4().hex
        session.publish(topic, json.dumps({**body, "clientToken": token}).encode(), 1)
        while True:
            while self._heard:
                answer = self._of(self._heard.pop(0), topic, token)
                if answer is not None:
                    return answer
            self._wait(until, path)

    def _of(self, message: Message, topic: str, token: str) -> Mapping[str, Any] | None:
        """The answer in a message; None when it answers something else."""
        outcome = message.topic.removeprefix(f"{topic}/")
        if outcome not in ("accepted", "rejected") or message.retained:
            return None
        answer = _object(message.payload)
        if answer is None:
            raise self._fault("an answer is no JSON object", "malformed")
        if answer.get("clientToken") != token:
            return None
        if outcome == "rejected" and not isinstance(answer.get("code"), str):
            answer["code"] = "no reason"
        return answer

    def _wait(self, until: float, path: str) -> None:
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise self._fault(f"no answer to '{path}' within {self._answer_s:g} s", "too-slow")
        self._link.wait(left_s)

    def _fault(self, what: str, reason: str) -> DownloadError:
        return DownloadError(f"{self._link.address}: {what}", reason=reason)


def _object(payload: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(payload) if len(payload) <= BYTES_MAX else None
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None
