"""What a child said. One that was taken over may say anything: only the right form is believed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .checks import Check, one_line
from .process import ChildDiedError

_MOST = 1e15  # ms or MB


def check(heard: Mapping[str, Any]) -> Check:
    """Raises ChildDiedError, as they all do, for what is no check."""
    facts = heard.get("check")
    if not isinstance(facts, dict) or set(facts) != {"name", "passed", "expected", "seen"}:
        raise _nonsense("a check")
    texts = {key: text(facts, key) for key in ("name", "expected", "seen")}
    return Check(passed=facts["passed"] is True, **texts)


def walls(heard: Mapping[str, Any]) -> dict[str, str]:
    found = heard.get("sandbox")
    if not isinstance(found, dict):
        raise _nonsense("its walls")
    return {one_line(name): text(found, name) for name in found}


def number(heard: Mapping[str, Any], key: str) -> float:
    value = heard.get(key)
    if not isinstance(value, int | float) or not 0 <= value <= _MOST:
        raise _nonsense(f"a number ({key})")
    return float(value)


def text(heard: Mapping[str, Any], key: str) -> str:
    value = heard.get(key)
    if not isinstance(value, str):
        raise _nonsense(f"a text ({key})")
    return one_line(value)


def _nonsense(expected: str) -> ChildDiedError:
    return ChildDiedError(Check("crash", False, expected, "something else"))
