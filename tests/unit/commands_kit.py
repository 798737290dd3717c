"""Commands to send about, and one pipeline that hears them."""

from __future__ import annotations

import json
import time
from pathlib import Path

from edge_runtime.commands.commands import Commands
from edge_runtime.commands.letter import Letter
from edge_runtime.commands.options import CommandOptions
from edge_runtime.commands.request import encode
from edge_runtime.commands.verbs import Verb
from edge_runtime.frame import Identity
from edge_runtime.mqtt.message import Message, Post
from edge_runtime.times import rfc3339

IDENTITY = Identity("bed-7", "ward")
TOPIC = "edge/bed-7/ward/command"
KEY = bytes(range(32))
SECOND_NS = 1_000_000_000


class Bench:
    """A pipeline's commands: `mark` changes something, `look` does not; what ran is in `ran`."""

    def __init__(self, folder: Path, *, signed: bool = True, **options) -> None:
        self.folder = folder / "state"
        self.ran: list[object] = []
        self.now_ns: int | None = None  # the device's wall clock; None is the real one
        key_file = folder / "key"
        key_file.write_text(KEY.hex() + "\n")
        key_file.chmod(0o600)
        access = {"key_file": str(key_file)} if signed else {"allow_unsigned": True}
        self.options = CommandOptions(("mark", "look"), **access, **options)
        self.start()

    def start(self) -> Commands:
        """A new process, as far as files can tell."""
        verbs = {
            "mark": Verb(self._mark, frozenset({"n"})),
            "look": Verb(lambda args: {"seen": len(self.ran)}, read_only=True),
            "other": Verb(self._mark),
        }
        self.commands = Commands(
            IDENTITY,
            self.options,
            verbs,
            self.folder,
            wall_ns=lambda: time.time_ns() if self.now_ns is None else self.now_ns,
        )
        self.commands.open()
        return self.commands

    def _mark(self, args) -> dict[str, object]:
        self.ran.append(dict(args))
        return {"marks": len(self.ran)}

    def send(self, payload: bytes, verb: str = "mark", **about) -> list[Post]:
        return list(self.commands.hear(Message(f"{TOPIC}/{verb}", payload, **about)))

    def why(self, payload: bytes, verb: str = "mark", **about) -> str:
        """The reason in the answer; "" when the command was accepted."""
        (post,) = self.send(payload, verb, **about)
        answer = json.loads(post.payload)
        assert answer["accepted"] is ("reason" not in answer)
        return answer.get("reason", "")

    @property
    def audit(self) -> list[dict]:
        return read_lines(self.folder / "commands.jsonl")


def read_lines(path: Path) -> list[dict]:
    """The documents of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


_counter = time.time_ns()


def letter(**changes) -> Letter:
    """A good command, but for what is changed; each has a greater counter than the one before."""
    global _counter
    _counter += 1
    parts = {
        "id": f"id-{_counter}",
        "counter": _counter,
        "expires": rfc3339(time.time_ns() + 30 * SECOND_NS),
        "args": {},
    }
    return Letter(**{**parts, **changes})


def signed(
    given: Letter, verb: str = "mark", *, key: bytes = KEY, identity: Identity = IDENTITY
) -> bytes:
    return encode(given, given.sign(identity, verb, key))


def command(verb: str = "mark", **changes) -> bytes:
    """A good command as it travels."""
    return signed(letter(**changes), verb)
