"""A reader of Sparkplug payloads that knows the specification and nothing of ours.

It reads protobuf's wire format byte by byte, with the field numbers of Sparkplug 3.0, 6.4.1.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
INT64, UINT32, DOUBLE, BOOLEAN, STRING, DATE_TIME = 4, 7, 10, 11, 12, 13  # 6.4.16
METRIC = {1: "name", 2: "alias", 3: "timestamp", 4: "datatype", 5: "is_historical", 7: "is_null"}
VALUES = {10: UINT32, 11: INT64, 13: DOUBLE, 14: BOOLEAN, 15: STRING}  # field -> its plain type


class Payload(NamedTuple):
    """`seq` and `timestamp` are None when they are not there."""

    timestamp: int | None
    seq: int | None
    metrics: list[dict[str, Any]]

    def values(self) -> dict[str, Any]:
        return {metric["name"]: metric["value"] for metric in self.metrics}


def decode(payload: bytes) -> Payload:
    found: dict[int, Any] = {}
    metrics = []
    for number, value in _fields(payload):
        if number == 2:
            metrics.append(_metric(value))
        else:
            assert number in (1, 3), f"a payload has no field {number} here"
            found[number] = value
    return Payload(found.get(1), found.get(3), metrics)


def command(name: str, *, value: bool = True) -> bytes:
    """An NCMD with one boolean metric, and a field that we do not know (properties, 9)."""
    metric = b"\x0a" + _sized(name.encode()) + b"\x20\x0b" + b"\x4a\x00" + bytes((0x70, value))
    return b"\x08\x01" + b"\x12" + _sized(metric)


def _metric(data: bytes) -> dict[str, Any]:
    metric: dict[str, Any] = {"name": None, "alias": None, "is_historical": False, "is_null": False}
    for number, raw in _fields(data):
        if number in METRIC:
            metric[METRIC[number]] = raw.decode() if number == 1 else raw
        else:
            metric["value"] = _value(VALUES[number], raw)
            plain = {DATE_TIME: INT64}.get(metric["datatype"], metric["datatype"])
            assert plain == VALUES[number], f"type {metric['datatype']} is not in field {number}"
    assert metric["is_null"] != ("value" in metric), "a value or null, and not both"
    metric.setdefault("value", None)
    return metric


def _value(kind: int, raw: Any) -> Any:
    if kind == STRING:
        return raw.decode()
    if kind == DOUBLE:
        return struct.unpack("<d", raw)[0]
    if kind == INT64 and raw >= 1 << 63:
        return raw - (1 << 64)
    return bool(raw) if kind == BOOLEAN else raw


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, place = _varint(data, place)
            yield number, value
        else:
            size = {FIXED64: 8, FIXED32: 4}.get(wire)
            if size is None:
                assert wire == BYTES
                size, place = _varint(data, place)
            assert place + size <= len(data)
            yield number, data[place : place + size]
            place += size


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place


def _sized(data: bytes) -> bytes:
    assert len(data) < 128
    return bytes((len(data),)) + data
