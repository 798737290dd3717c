"""TOML text of plain values, laid out as a manifest is written by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_WIDE = 100


def dumps(values: Mapping[str, Any]) -> str:
    """Plain keys first, then tables and arrays of tables, in the order given.

    Values are strings, numbers, booleans, lists of these, and mappings.
    """
    return "\n".join(_lines("", values)).lstrip("\n") + "\n"


def _lines(path: str, values: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"{key} = {_value(value)}" for key, value in values.items() if not _tables(value))
    for key, value in values.items():
        name = f"{path}{key}"
        for table in _tables(value):
            yield ""
            yield f"[[{name}]]" if isinstance(value, list) else f"[{name}]"
            yield from _lines(f"{name}.", table)


def _tables(value: object) -> Sequence[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        return [value]
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return value
    return ()


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        items = [_value(item) for item in value]
        line = f"[{', '.join(items)}]"
        if len(line) <= _WIDE:
            return line
        return "[\n" + "".join(f"    {item},\n" for item in items) + "]"
    return json.dumps(value, ensure_ascii=False)  # a subset of TOML for these types
