"""The journal as strict JSON: what is not exactly what we write is damage."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, fields
from typing import Any, get_args

from .journal import Installed, Journal, Quarantined, State

FORMAT = 1

_DIGEST = re.compile(r"(?:[0-9a-f]{64})?")
_MOST = 1 << 63


class DamagedError(Exception):
    """These bytes are no journal of ours."""


def encoded(journal: Journal) -> bytes:
    return json.dumps(table(journal), indent=1).encode() + b"\n"


def table(journal: Journal) -> dict[str, Any]:
    """What `from_table` reads, also after a way through JSON."""
    return {"format": FORMAT, **asdict(journal)}


def decoded(content: bytes) -> Journal:
    """Raises DamagedError."""
    try:
        values = json.loads(content.decode(), object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as exc:
        raise DamagedError(f"not JSON: {exc}") from exc
    return from_table(values)


def from_table(values: Any) -> Journal:
    """Raises DamagedError."""
    values = dict(_keys(values, {"format", *(one.name for one in fields(Journal))}))
    if values.pop("format") != FORMAT:
        raise DamagedError("of another format")
    if values["state"] not in get_args(State):
        raise DamagedError(f"state is {values['state']!r}")
    for key in ("reason", "job", "told"):
        _is(values[key], str, key)
    for key in ("starts", "time_floor"):
        _count(values[key], key)
    _is(values["approved"], bool, "approved")
    values["active"] = _installed(values["active"])
    for key in ("previous", "candidate"):
        values[key] = None if values[key] is None else _installed(values[key])
    if (values["candidate"] is None) != (values["state"] not in WITH_CANDIDATE):
        raise DamagedError(f"state is {values['state']} and candidate {values['candidate']}")
    values["floor"] = tuple(_floor(entry) for entry in _is(values["floor"], list, "floor"))
    entries = _is(values["quarantine"], list, "quarantine")
    values["quarantine"] = tuple(_quarantined(entry) for entry in entries)
    return Journal(**values)


WITH_CANDIDATE = frozenset({"fetching", "staged", "verified", "validated", "trial"})


def _installed(values: Any) -> Installed:
    known = dict(_keys(values, {one.name for one in fields(Installed)}))
    _digest(known["digest"])
    for key in ("name", "version"):
        _is(known[key], str, key)
    _count(known["counter"], "counter")
    return Installed(**known)


def _quarantined(values: Any) -> Quarantined:
    known = dict(_keys(values, {one.name for one in fields(Quarantined)}))
    _digest(known["digest"])
    _count(known["counter"], "counter")
    _is(known["reason"], str, "reason")
    return Quarantined(**known)


def _floor(entry: Any) -> tuple[str, int]:
    pair = _is(entry, list, "floor")
    if len(pair) != 2:
        raise DamagedError(f"a floor is {entry!r}")
    return str(_is(pair[0], str, "floor")), _count(pair[1], "floor")


def _keys(values: Any, keys: set[str]) -> dict[str, Any]:
    if not isinstance(values, dict) or set(values) != keys:
        raise DamagedError(f"not the keys {', '.join(sorted(keys))}")
    return values


def _is(value: Any, kind: type, key: str) -> Any:
    if type(value) is not kind:
        raise DamagedError(f"{key} is {value!r}")
    return value


def _count(value: Any, key: str) -> int:
    if type(value) is not int or not 0 <= value < _MOST:
        raise DamagedError(f"{key} is {value!r}")
    return value


def _digest(value: Any) -> None:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise DamagedError(f"a digest is {value!r}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key stands twice")
    return values


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number")
