"""The payload of Sparkplug B as protobuf bytes (Sparkplug 3.0, sections 6.4.1 to 6.4.6).

Of the schema only what is said or understood here is defined; protobuf skips the rest. The message
is built in code, for the generated module of a schema is bound to one version of protobuf.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from enum import IntEnum
from typing import Any, NamedTuple, TypeAlias

from edge_runtime.errors import MissingExtraError

REBIRTH = "Node Control/Rebirth"

Value: TypeAlias = str | int | float | bool | None


class Type(IntEnum):
    """Datatypes (section 6.4.16)."""

    INT64 = 4
    UINT32 = 7
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATE_TIME = 13


class Metric(NamedTuple):
    """One value. An empty name leaves it to the alias, None is null, times are ms since 1970."""

    name: str
    type: Type
    value: Value
    timestamp_ms: int
    alias: int | None = None
    historical: bool = False


_FIELDS = {
    Type.INT64: "long_value",
    Type.UINT32: "int_value",
    Type.DOUBLE: "double_value",
    Type.BOOLEAN: "boolean_value",
    Type.STRING: "string_value",
    Type.DATE_TIME: "long_value",
}


def encode(metrics: Iterable[Metric], timestamp_ms: int, seq: int | None) -> bytes:
    """A whole payload; `seq` is None for NDEATH alone. A number that is not finite is null."""
    payload = _message()(timestamp=timestamp_ms)
    if seq is not None:
        payload.seq = seq
    for metric in metrics:
        _add(payload.metrics.add(), metric)
    encoded: bytes = payload.SerializeToString()
    return encoded


def wants_rebirth(payload: bytes) -> bool:
    """Whether an NCMD asks for it: `Node Control/Rebirth` = true (section 5.17).

    What is no payload asks for nothing.
    """
    from google.protobuf.message import DecodeError

    try:
        command = _message().FromString(payload)
    except DecodeError:
        return False
    return any(item.name == REBIRTH and item.boolean_value for item in command.metrics)


def load() -> None:
    """Make the first message. Raises MissingExtraError without protobuf."""
    try:
        _message()
    except ImportError as exc:
        raise MissingExtraError("sink sparkplug", "sparkplug", exc) from exc


def _add(item: Any, metric: Metric) -> None:
    if metric.name:
        item.name = _text(metric.name)
    if metric.alias is not None:
        item.alias = metric.alias
    item.timestamp = metric.timestamp_ms
    item.datatype = metric.type
    if metric.historical:
        item.is_historical = True
    value = metric.value
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        item.is_null = True
        return
    name = _FIELDS[metric.type]
    if isinstance(value, str):
        value = _text(value)
    elif name == "long_value" and isinstance(value, int):
        value %= 1 << 64  # a negative one is its two's complement (6.4.17)
    setattr(item, name, value)


def _text(text: str) -> str:
    """Protobuf refuses what is not Unicode, as a file name that is not UTF-8 in a reason."""
    return text.encode("utf-8", "replace").decode()


@functools.cache
def _message() -> Any:
    """The class of a payload, with the field numbers of section 6.4.1."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="edge_runtime/sparkplug.proto", package="edge_runtime", syntax="proto2"
    )
    metric = file.message_type.add(name="Metric")
    metric.oneof_decl.add(name="value")
    payload = file.message_type.add(name="Payload")
    for message, name, number, kind in (
        (payload, "timestamp", 1, kinds.TYPE_UINT64),
        (payload, "metrics", 2, kinds.TYPE_MESSAGE),
        (payload, "seq", 3, kinds.TYPE_UINT64),
        (metric, "name", 1, kinds.TYPE_STRING),
        (metric, "alias", 2, kinds.TYPE_UINT64),
        (metric, "timestamp", 3, kinds.TYPE_UINT64),
        (metric, "datatype", 4, kinds.TYPE_UINT32),
        (metric, "is_historical", 5, kinds.TYPE_BOOL),
        (metric, "is_null", 7, kinds.TYPE_BOOL),
        (metric, "int_value", 10, kinds.TYPE_UINT32),
        (metric, "long_value", 11, kinds.TYPE_UINT64),
        (metric, "double_value", 13, kinds.TYPE_DOUBLE),
        (metric, "boolean_value", 14, kinds.TYPE_BOOL),
        (metric, "string_value", 15, kinds.TYPE_STRING),
    ):
        field = message.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
        if kind == kinds.TYPE_MESSAGE:
            field.type_name, field.label = ".edge_runtime.Metric", kinds.LABEL_REPEATED
        if number >= 10:
            field.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("edge_runtime.Payload"))
