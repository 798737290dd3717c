"""The other end: makes a signed command, sends it, and waits for the answer."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING

from edge_runtime.errors import EdgeRunError
from edge_runtime.times import rfc3339
from edge_runtime.wire import Topics

from .letter import Letter, check

if TYPE_CHECKING:
    from edge_runtime.frame import Identity
    from edge_runtime.mqtt.login import Login
    from edge_runtime.mqtt.message import Message

VALID_S = 30  # half of what a pipeline allows, so that either clock may be off by as much


def compose(args: Mapping[str, object]) -> Letter:
    """A new command without a signature. Raises MalformedError for args that cannot be signed.

    The counter is the wall time in nanoseconds: it grows as long as the clock is not set back,
    also from one sender to the next.
    """
    now_ns = time.time_ns()
    expires = rfc3339(now_ns + VALID_S * 1_000_000_000)
    return check(Letter(uuid.uuid4().hex, now_ns, expires, args))


def encode(letter: Letter, signature: str) -> bytes:
    """The command as it is sent."""
    document = {
        "id": letter.id,
        "counter": letter.counter,
        "expires": letter.expires,
        "args": letter.args,
    }
    return json.dumps({**document, "signature": signature} if signature else document).encode()


def ask(
    login: Login,
    identity: Identity,
    verb: str,
    letter: Letter,
    *,
    key: bytes,
    prefix: str,
    sender: str,
    timeout_s: float,
) -> dict[str, object] | None:
    """Send it once and give the answer; None when none came in time.

    Raises EdgeRunError when the broker is out of reach, ConfigError for a secret or a certificate
    that cannot be used.
    """
    from edge_runtime.mqtt.client import LinkDownError
    from edge_runtime.mqtt.link import Link
    from edge_runtime.mqtt.terms import Terms

    answers: list[dict[str, object]] = []
    topic = f"{Topics(identity, prefix).command}/{verb}"

    def hear(message: Message) -> None:
        answer = _answer(message.payload)
        ours = answer.get("id") == letter.id or message.correlation == letter.id.encode()
        if ours and not message.retained:  # what is refused unread is answered without an id
            answers.append(answer)

    payload = encode(letter, letter.sign(identity, verb, key) if key else "")
    link = Link(login, Terms(client_id=f"edge-run-command-{letter.id[:12]}", on_message=hear))
    until = time.monotonic() + timeout_s
    try:
        session = link.connect()
        session.subscribe([f"{topic}/response"])
        extra = session.properties(
            "application/json",
            expiry_s=VALID_S,
            user=(("sender", sender),),
            correlation=letter.id.encode(),
            response_topic=f"{topic}/response",
        )
        session.publish(topic, payload, 1, extra=extra)
        while not answers and time.monotonic() < until:
            link.wait(until - time.monotonic())
        link.hang_up()
    except LinkDownError as exc:
        raise EdgeRunError(f"{login.address}: {exc}") from exc
    finally:
        link.close()
    return answers[0] if answers else None


def _answer(payload: bytes) -> dict[str, object]:
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
