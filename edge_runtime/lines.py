"""Results and what else pipelines tell as lines for people. Nothing in them steers a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .events import Alert, Announcement, Event, Gap, ReceivedResult, Status
from .frame import Info
from .outcome import (
    Beat,
    Beats,
    CannotSay,
    Detection,
    Detections,
    Events,
    Keypoints,
    Label,
    Labels,
    Outcome,
)
from .outcome import Event as Found
from .times import rfc3339

if TYPE_CHECKING:
    from .frame import Result

_BOLD, _DIM, _YELLOW, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[33m", "\x1b[0m"
_MOST = 4  # labels or detections in one line


def event_line(event: Event, *, colour: bool = False) -> str:
    """What a subscriber was told: who, and what."""
    who = plain(f"{event.device}/{event.pipeline}")
    if isinstance(event, ReceivedResult):
        return f"{who} {result_line(event, colour=colour)}"
    if isinstance(event, Announcement):
        return info_line(who, event.info, colour=colour)
    if isinstance(event, Status):
        return f"{who} is {event.state}"
    if isinstance(event, Gap):
        return _paint(f"{who} {gap_text(event)}", _YELLOW, colour)
    return _paint(f"{who} {alert_text(event)}", _DIM if event.cleared else _YELLOW, colour)


def result_line(result: Result | ReceivedResult, *, colour: bool = False) -> str:
    """A result: when, which source and frame, what, how fast and where it ran."""
    historical = isinstance(result, ReceivedResult) and result.historical
    late = _paint(" (historical)", _YELLOW, colour) if historical else ""
    backend, took = result.backend, result.latency_ms.capture_to_result
    speed = f"{took:.1f} ms, " if math.isfinite(took) else ""
    where = f"{speed}{backend.kind}/{backend.delegate}"
    if backend.degraded:
        where += f", degraded: {backend.degraded}"
    what = _paint(outcome_text(result.outcome), _BOLD, colour)
    rest = _paint(f"[{where}]", _YELLOW if backend.degraded else _DIM, colour)
    return (
        f"{clock(result.timestamp_ns)} {plain(result.source)} #{result.seq}  {what}  {rest}{late}"
    )


def info_line(who: str, info: Info, *, colour: bool = False) -> str:
    """An announcement: who runs which model on what, and how its sources are."""
    sources = ", ".join(
        f"{source.name} {source.state}" + (f" ({source.detail})" if source.detail else "")
        for source in info.sources
    )
    model, backend = info.model, info.backend
    degraded = f" degraded: {backend.degraded};" if backend.degraded else ""
    text = (
        f"{who}: {model.name} {model.version} on {backend.kind}/{backend.delegate};{degraded} "
        f"sources: {sources or 'none'}"
    )
    return _paint(text, _YELLOW if degraded else _DIM, colour)


def gap_text(gap: Gap) -> str:
    """Which results will never come, and why."""
    return plain(
        f"{gap.source} lost {gap.count} results of #{gap.first_seq}..#{gap.last_seq} "
        f"({gap.reason}), {clock(gap.first_ns)} to {clock(gap.last_ns)}"
    )


def alert_text(alert: Alert) -> str:
    """What a person should know."""
    over = "over: " if alert.cleared else ""
    return plain(f"{clock(alert.timestamp_ns)} {over}{alert.kind}: {alert.text}")


def outcome_text(outcome: Outcome) -> str:
    """What was seen, the first few of it; without what steers a terminal."""
    if isinstance(outcome, Labels):
        text = _list([_label(label) for label in outcome.labels], "no label")
    elif isinstance(outcome, Detections):
        text = _list([_detection(found) for found in outcome.detections], "nothing found")
    elif isinstance(outcome, Beats):
        text = _list([_beat(beat) for beat in outcome.beats], "no beat")
    elif isinstance(outcome, Keypoints):
        scores = [point.score for point in outcome.keypoints if math.isfinite(point.score)]
        mean = sum(scores) / max(len(outcome.keypoints), 1)
        text = f"{len(outcome.keypoints)} keypoints, mean score {mean:.2f}"
    elif isinstance(outcome, CannotSay):
        text = _cannot_say(outcome)
    elif isinstance(outcome, Events):
        text = _list([_event(found) for found in outcome.events], "no event")
    else:
        shapes = [f"{tensor.name} {list(tensor.data.shape)}" for tensor in outcome.tensors]
        text = _list(shapes, "no tensor")
    return plain(text)


def _cannot_say(outcome: CannotSay) -> str:
    return f"cannot say: {outcome.reason}" + (f" ({outcome.detail})" if outcome.detail else "")


def _event(found: Found) -> str:
    measured = ", ".join(f"{name} {value:.4g}" for name, value in found.values.items())
    detail = f" ({found.detail})" if found.detail else ""
    return f"{found.name} {found.phase} [{found.priority}]{detail} {measured}".rstrip()


def clock(timestamp_ns: int) -> str:
    """The time of day, UTC, to the millisecond."""
    return rfc3339(timestamp_ns)[11:23]


def plain(text: str) -> str:
    """Text without line breaks and control sequences, whoever wrote it."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def _label(label: Label) -> str:
    return f"{label.head}: {_scored(label)}" if label.head else _scored(label)


def _scored(item: Label | Detection | Beat) -> str:
    return f"{item.label} {_number(item.score, 2)}"


def _detection(found: Detection) -> str:
    x_min, y_min, x_max, y_max = (_number(value, 0) for value in found.box)
    return f"{_scored(found)} at {x_min},{y_min}..{x_max},{y_max}"


def _beat(beat: Beat) -> str:
    return _scored(beat) + ("" if beat.rate_bpm is None else f", {beat.rate_bpm:.0f} bpm")


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "?"


def _list(items: list[str], nothing: str) -> str:
    more = f" and {len(items) - _MOST} more" if len(items) > _MOST else ""
    return (", ".join(items[:_MOST]) + more) or nothing


def _paint(text: str, colour_code: str, colour: bool) -> str:
    return f"{colour_code}{plain(text)}{_PLAIN}" if colour else plain(text)
