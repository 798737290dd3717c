"""One command as it travels: read with care, and the bytes that its signature covers.

    {"id": "...", "counter": 1, "expires": "2026-11-21T09:30:00Z", "args": {}, "signature": "..."}

Signed is a JSON array: the word VERSION, device, pipeline, verb, id, counter, expires, args. It is
written without spaces, the keys of args in order, which is the canonical form of RFC 8785: args
hold no fractions and only ASCII keys, where writers of JSON would differ.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_runtime.frame import Identity

VERSION = "edge-run command 1"
_KEYS = frozenset({"id", "counter", "expires", "args", "signature"})
_NEEDED = ("id", "counter", "expires")
_DEEPEST = 8
_EXACT = 2**53 - 1  # whole numbers that every JSON reader holds exactly: RFC 8259, section 6
_COUNTER_MAX = 2**63 - 1
_ID = re.compile(r"[\x21-\x7e]{1,64}")
_ARGUMENT = re.compile(r"[\x20-\x7e]{1,64}")
_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)


class MalformedError(ValueError):
    """Not a command; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A command. `expires` is as it was written, because that is what is signed."""

    id: str
    counter: int
    expires: str
    args: Mapping[str, object]
    signature: str = ""

    @property
    def expires_ns(self) -> int:
        """Nanoseconds since 1970."""
        return _nanoseconds(self.expires)

    def canonical(self, identity: Identity, verb: str) -> bytes:
        """The bytes that are signed."""
        parts = [VERSION, identity.device, identity.pipeline, verb]
        return json.dumps(
            [*parts, self.id, self.counter, self.expires, self.args],
            ensure_ascii=False,
            allow_nan=False,
            separators=(",", ":"),
            sort_keys=True,
        ).encode()

    def sign(self, identity: Identity, verb: str, key: bytes) -> str:
        """HMAC-SHA256 (RFC 2104) of `canonical`, as hex."""
        return hmac.new(key, self.canonical(identity, verb), hashlib.sha256).hexdigest()


def read(payload: bytes) -> Letter:
    """The command in a message. Raises MalformedError, and nothing else."""
    try:
        found = json.loads(
            payload.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant
        )
    except UnicodeDecodeError as exc:
        raise MalformedError("is not UTF-8") from exc
    except (json.JSONDecodeError, RecursionError) as exc:
        raise MalformedError("is not JSON") from exc
    except MalformedError:
        raise
    except ValueError as exc:
        raise MalformedError("holds a number with more digits than anybody reads") from exc
    if not isinstance(found, dict):
        raise MalformedError("is not a JSON object")
    for key in found:
        if key not in _KEYS:
            raise MalformedError(f"holds {key[:32]!r}, which nothing reads")
    for key in _NEEDED:
        if key not in found:
            raise MalformedError(f"has no {key}")
    return check(
        Letter(
            found["id"],
            found["counter"],
            found["expires"],
            found.get("args", {}),
            found.get("signature", ""),
        )
    )


def check(letter: Letter) -> Letter:
    """The same letter, when each part is what it has to be. Raises MalformedError."""
    if not isinstance(letter.id, str) or not _ID.fullmatch(letter.id):
        raise MalformedError("id is not 1 to 64 ASCII characters without spaces")
    if type(letter.counter) is not int or not 0 < letter.counter <= _COUNTER_MAX:
        raise MalformedError("counter is not a whole number above 0 and below 2^63")
    if not isinstance(letter.expires, str):
        raise MalformedError("expires is not an RFC 3339 time")
    _nanoseconds(letter.expires)
    if not isinstance(letter.signature, str):
        raise MalformedError("signature is not text")
    if not isinstance(letter.args, dict):
        raise MalformedError("args is not an object")
    _check_argument(letter.args, 0)
    return letter


def _check_argument(value: object, depth: int) -> None:
    if depth > _DEEPEST:
        raise MalformedError(f"args are nested more than {_DEEPEST} deep")
    if isinstance(value, dict):
        for key, item in value.items():
            if not _ARGUMENT.fullmatch(key):
                raise MalformedError("args have a key that is not 1 to 64 ASCII characters")
            _check_argument(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_argument(item, depth + 1)
    elif isinstance(value, str):
        if any("\ud800" <= sign <= "\udfff" for sign in value):
            raise MalformedError("args hold half a surrogate pair")
    elif isinstance(value, float):
        raise MalformedError("args hold a fraction, which JSON writers spell differently")
    elif isinstance(value, int) and abs(value) > _EXACT:
        raise MalformedError("args hold a number above 2^53")


def _nanoseconds(text: str) -> int:
    """RFC 3339 (section 5.6) as nanoseconds since 1970. Raises MalformedError."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise MalformedError("expires is not an RFC 3339 time")
    day, time, fraction, offset = match.groups()
    try:
        moment = dt.datetime.fromisoformat(f"{day}T{time}{offset.upper().replace('Z', '+00:00')}")
        second = (moment - _EPOCH) // dt.timedelta(seconds=1)
    except (ValueError, OverflowError) as exc:
        raise MalformedError("expires is not an RFC 3339 time") from exc
    return second * 1_000_000_000 + int((fraction or "").ljust(9, "0"))


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedError("has a key twice")
    return found


def _no_constant(word: str) -> object:
    raise MalformedError(f"holds {word}, which is not JSON")
