"""Results, announcements and statuses as lines for people, made from their JSON documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_BOLD, _DIM, _YELLOW, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[33m", "\x1b[0m"
_MOST = 4  # labels or detections in one line


def result_line(document: Mapping[str, Any], *, colour: bool = False) -> str:
    """A result: when, which source and frame, what, how fast and where it ran."""
    when = plain(document["timestamp"][11:23])
    late = _paint(" (historical)", _YELLOW, colour) if document["historical"] else ""
    backend = document["backend"]
    took = document["latency_ms"]["capture_to_result"]
    speed = "" if took is None else f"{took:.1f} ms, "
    where = f"{speed}{backend['kind']}/{backend['delegate']}"
    if "degraded" in backend:
        where += f", degraded: {backend['degraded']}"
    what = _paint(_outcome(document["result"]), _BOLD, colour)
    rest = _paint(f"[{where}]", _YELLOW if "degraded" in backend else _DIM, colour)
    return f"{when} {plain(document['source'])} #{document['seq']}  {what}  {rest}{late}"


def info_line(document: Mapping[str, Any], *, colour: bool = False) -> str:
    """An announcement: who runs which model on what, and how its sources are."""
    model, backend = document["model"], document["backend"]
    sources = ", ".join(
        f"{source['name']} {source['state']}"
        + (f" ({source['detail']})" if source["detail"] else "")
        for source in document["sources"]
    )
    degraded = f" degraded: {backend['degraded']};" if "degraded" in backend else ""
    text = (
        f"{document['device']}/{document['pipeline']}: {model['name']} {model['version']} on "
        f"{backend['kind']}/{backend['delegate']};{degraded} sources: {sources or 'none'}"
    )
    return _paint(text, _YELLOW if degraded else _DIM, colour)


def _outcome(result: Mapping[str, Any]) -> str:
    kind = result["kind"]
    if kind == "labels":
        return _list([_scored(item) for item in result["labels"]], "no label")
    if kind == "detections":
        return _list([_detection(item) for item in result["detections"]], "nothing found")
    if kind == "beats":
        return _list([_beat(item) for item in result["beats"]], "no beat")
    if kind == "keypoints":
        points = [item["score"] or 0.0 for item in result["keypoints"]]
        return f"{len(points)} keypoints, mean score {sum(points) / max(len(points), 1):.2f}"
    return _list([f"{item['name']} {item['shape']}" for item in result["tensors"]], "no tensor")


def _scored(item: Mapping[str, Any]) -> str:
    return f"{item['label']} {_number(item['score'], 2)}"


def _detection(item: Mapping[str, Any]) -> str:
    box = item["box"]
    corners = [_number(box[key], 0) for key in ("x_min", "y_min", "x_max", "y_max")]
    return f"{_scored(item)} at {','.join(corners[:2])}..{','.join(corners[2:])}"


def _beat(item: Mapping[str, Any]) -> str:
    rate = item["rate_bpm"]
    return _scored(item) + ("" if rate is None else f", {rate:.0f} bpm")


def _number(value: float | None, digits: int) -> str:
    return "?" if value is None else f"{value:.{digits}f}"


def _list(items: list[str], nothing: str) -> str:
    more = f" and {len(items) - _MOST} more" if len(items) > _MOST else ""
    return (", ".join(items[:_MOST]) + more) or nothing


def _paint(text: str, colour_code: str, colour: bool) -> str:
    return f"{colour_code}{plain(text)}{_PLAIN}" if colour else plain(text)


def plain(text: str) -> str:
    """Text without line breaks and control sequences, whoever wrote it."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)
