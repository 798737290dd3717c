"""Which files an .onnx file keeps weights in: read from its protobuf, without any ONNX library.

Only the fields that lead to tensors are followed; everything else is passed over. Field numbers:
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto (IR version 11).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

# message -> field number -> message inside it
_WAY: Mapping[str, Mapping[int, str]] = MappingProxyType(
    {
        "model": {7: "graph", 20: "training", 25: "function"},
        "training": {1: "graph", 2: "graph"},
        "graph": {1: "node", 5: "tensor", 15: "sparse"},
        "function": {7: "node", 11: "attribute"},
        "node": {5: "attribute"},
        "attribute": {
            5: "tensor",
            6: "graph",
            10: "tensor",
            11: "graph",
            22: "sparse",
            23: "sparse",
        },
        "sparse": {1: "tensor", 2: "tensor"},
        "tensor": {13: "entry"},
    }
)
_KEY, _VALUE = 1, 2  # of an entry
_DEEPEST = 100  # messages; protobuf's own limit
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5


def external(path: Path) -> tuple[str, ...]:
    """The places that its tensors name, in order, each once; empty for weights of its own.

    Raises ValueError when it is not whole protobuf.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return tuple(dict.fromkeys(_locations(data, 0, len(data), "model", 0)))


def _locations(data: mmap.mmap, start: int, end: int, kind: str, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        raise ValueError("nested deeper than protobuf allows")
    for number, first, last in _fields(data, start, end):
        inner = _WAY[kind].get(number)
        if inner == "entry":
            yield from _location(data, first, last)
        elif inner:
            yield from _locations(data, first, last, inner, depth + 1)


def _location(data: mmap.mmap, start: int, end: int) -> Iterator[str]:
    """The value of an entry with the key "location"."""
    texts = {number: data[first:last] for number, first, last in _fields(data, start, end)}
    if texts.get(_KEY) == b"location":
        yield texts.get(_VALUE, b"").decode("utf-8", "replace")


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Every field that holds bytes: its number and where they begin and end."""
    while start < end:
        tag, start = _varint(data, start, end)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            _, start = _varint(data, start, end)
        elif wire == _BYTES:
            size, start = _varint(data, start, end)
            if start + size > end:
                raise ValueError(f"cut short: it refers to byte {start + size} and has {end}")
            yield number, start, start + size
            start += size
        elif wire in (_EIGHT, _FOUR):
            start += 8 if wire == _EIGHT else 4
        else:
            raise ValueError(f"not protobuf at byte {start}")
    if start != end:
        raise ValueError("a field leads out of its message")


def _varint(data: mmap.mmap, start: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if start >= end:
            break
        byte = data[start]
        start += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, start
    raise ValueError(f"not protobuf at byte {start}")
