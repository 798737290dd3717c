"""The values of a document as those of `frame.py`: outcomes, times, numbers, texts.

Raises ValueError, LookupError, TypeError, AttributeError or OverflowError for what is none.
"""

from __future__ import annotations

import calendar
import functools
import math
import re
import time
from collections.abc import Callable
from typing import Any

from .frame import Quality
from .outcome import (
    Beat,
    Beats,
    Box,
    CannotSay,
    Detection,
    Detections,
    Event,
    Events,
    Keypoint,
    Keypoints,
    Label,
    Labels,
    Outcome,
    Strip,
    Tensor,
    Tensors,
)

Map = dict[str, Any]

_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})\.([0-9]{9})Z")
_DTYPES = frozenset(
    {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}
    | {"float16", "float32", "float64"}
)


def outcome(item: Map) -> Outcome:
    kind = item["kind"]
    if kind == "cannot-say":
        return CannotSay(text(item["reason"]), text(item.get("detail", "")))
    if kind not in _KINDS:
        raise ValueError(f"no result is of kind {kind!r}")
    made, part = _KINDS[kind]
    return made(tuple(map(part, items(item[kind]))))


def _label(item: Map) -> Label:
    return Label(*_scored(item), text(item.get("head", "")))


def _scored(item: Map) -> tuple[int, str, float]:
    return whole(item["index"]), text(item["label"]), real(item["score"])


def _detection(item: Map) -> Detection:
    box = item["box"]
    return Detection(
        *_scored(item),
        Box(real(box["x_min"]), real(box["y_min"]), real(box["x_max"]), real(box["y_max"])),
        tuple(map(_keypoint, items(item.get("keypoints", [])))),
    )


def _keypoint(item: Map) -> Keypoint:
    return Keypoint(text(item["name"]), real(item["score"]), real(item["x"]), real(item["y"]))


def _beat(item: Map) -> Beat:
    rr_s, rate_bpm = item["rr_s"], item["rate_bpm"]
    return Beat(
        *_scored(item),
        time_ns(item["timestamp"]),
        None if rr_s is None else real(rr_s),
        None if rate_bpm is None else real(rate_bpm),
    )


def _tensor(item: Map) -> Tensor:
    import numpy as np

    dtype, values = text(item["dtype"]), items(item["data"])
    shape = tuple(map(whole, items(item["shape"])))
    if any(length < 0 for length in shape):
        raise ValueError(f"a tensor cannot have the shape {shape}")
    kinds = set(map(type, values))
    if dtype in _DTYPES:
        if not kinds <= {int, float, bool, type(None)}:
            raise ValueError(f"a tensor of type {dtype} holds something that is no number")
        with np.errstate(over="ignore"):
            data = np.array(values, dtype)
    elif kinds <= {str}:
        data = np.array(values, np.str_)
    else:
        raise ValueError(f"tensors of type {dtype!r} are not known")
    return Tensor(text(item["name"]), data.reshape(shape))


def _event(item: Map) -> Event:
    return Event(
        text(item["name"]),
        text(item["phase"]),
        text(item["priority"]),
        text(item["rule"]),
        time_ns(item["onset"]),
        None if item["end"] is None else time_ns(item["end"]),
        real(item["delay_s"]),
        {text(name): real(value) for name, value in item["values"].items()},
        {text(name): real(value) for name, value in item["limits"].items()},
        quality_of(item["quality"]) if "quality" in item else None,
        text(item.get("detail", "")),
        _strip(item["evidence"]) if "evidence" in item else None,
        flag(item["latched"]),
    )


def quality_of(item: Map) -> Quality:
    score = item["score"]
    reasons = tuple(map(text, items(item["reasons"])))
    return Quality(text(item["state"]), None if score is None else real(score), reasons)


def _strip(item: Map) -> Strip:
    import numpy as np

    columns = [np.array(list(map(real, items(lead))), np.float32) for lead in item["microvolts"]]
    leads = tuple(map(text, items(item["leads"])))
    if len(columns) != len(leads) or len({len(column) for column in columns}) > 1:
        raise ValueError("a strip has as many rows of one length as leads")
    data = np.stack(columns, axis=1) / np.float32(1000) if columns else np.empty((0, 0), "f4")
    return Strip(time_ns(item["timestamp"]), real(item["rate_hz"]), leads, data)


def time_ns(value: Any) -> int:
    """Nanoseconds since 1970 of "2026-11-21T09:30:00.123456789Z". Raises ValueError."""
    found = _TIME.fullmatch(text(value))
    if found is None:
        raise ValueError(f"{value!r} is no time")
    return _second(found[1]) * 1_000_000_000 + int(found[2])


@functools.lru_cache(maxsize=256)
def _second(moment: str) -> int:
    return calendar.timegm(time.strptime(moment, "%Y-%m-%dT%H:%M:%S"))


def text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError(f"{value!r} is no text")
    return value


def whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is no whole number")
    return value


def real(value: Any) -> float:
    if value is None:
        return math.nan
    if type(value) is not float and type(value) is not int:
        raise TypeError(f"{value!r} is no number")
    return float(value)


def flag(value: Any) -> bool:
    if type(value) is not bool:
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def items(value: Any) -> list[Any]:
    if type(value) is not list:
        raise TypeError(f"{value!r} is no list")
    return value


_KINDS: dict[str, tuple[Callable[[Any], Outcome], Callable[[Map], object]]] = {
    "labels": (Labels, _label),
    "detections": (Detections, _detection),
    "beats": (Beats, _beat),
    "keypoints": (Keypoints, _keypoint),
    "tensors": (Tensors, _tensor),
    "events": (Events, _event),
}
