"""Outcomes, and what they are made of, as JSON text: one half of `wire`, which says how."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from json.encoder import encode_basestring as quote
from typing import TYPE_CHECKING, Any

from .outcome import Beats, CannotSay, Detections, Events, Keypoints, Labels, Tensors
from .times import rfc3339

if TYPE_CHECKING:
    from .frame import Quality
    from .outcome import Beat, Detection, Event, Keypoint, Label, Outcome, Strip, Tensor


def outcome_json(outcome: Outcome) -> str:
    """The object `result` of a result document."""
    if isinstance(outcome, CannotSay):
        detail = f',"detail":{quote(outcome.detail)}' if outcome.detail else ""
        return f'{{"kind":"cannot-say","reason":{quote(outcome.reason)}{detail}}}'
    if type(outcome) not in _KINDS:
        raise TypeError(f"no encoding for {type(outcome).__name__}")
    kind, part = _KINDS[type(outcome)]
    return f'{{"kind":"{kind}","{kind}":{_list(map(part, outcome[0]))}}}'


def _label(label: Label) -> str:
    head = f',"head":{quote(label.head)}' if label.head else ""
    score = number(label.score)
    return f'{{"index":{label.index},"label":{quote(label.label)},"score":{score}{head}}}'


def _detection(found: Detection) -> str:
    box = found.box
    points = f',"keypoints":{_list(map(_keypoint, found.keypoints))}' if found.keypoints else ""
    return (
        f'{{"index":{found.index},"label":{quote(found.label)},"score":{number(found.score)},'
        f'"box":{{"x_min":{number(box.x_min)},"y_min":{number(box.y_min)},'
        f'"x_max":{number(box.x_max)},"y_max":{number(box.y_max)}}}{points}}}'
    )


def _keypoint(point: Keypoint) -> str:
    return (
        f'{{"name":{quote(point.name)},"score":{number(point.score)},'
        f'"x":{number(point.x)},"y":{number(point.y)}}}'
    )


def _beat(beat: Beat) -> str:
    rr_s = "null" if beat.rr_s is None else number(beat.rr_s)
    rate_bpm = "null" if beat.rate_bpm is None else number(beat.rate_bpm)
    return (
        f'{{"index":{beat.index},"label":{quote(beat.label)},"score":{number(beat.score)},'
        f'"timestamp":"{rfc3339(beat.timestamp_ns)}","rr_s":{rr_s},"rate_bpm":{rate_bpm}}}'
    )


def _event(event: Event) -> str:
    end = "null" if event.end_ns is None else quote(rfc3339(event.end_ns))
    parts = [
        f'"name":{quote(event.name)},"phase":{quote(event.phase)}',
        f'"priority":{quote(event.priority)},"rule":{quote(event.rule)}',
        f'"onset":"{rfc3339(event.onset_ns)}","end":{end},"delay_s":{number(event.delay_s)}',
        f'"values":{_numbers(event.values)},"limits":{_numbers(event.limits)}',
        f'"latched":{"true" if event.latched else "false"}',
    ]
    if event.quality:
        parts.append(f'"quality":{quality_json(event.quality)}')
    if event.detail:
        parts.append(f'"detail":{quote(event.detail)}')
    if event.evidence:
        parts.append(f'"evidence":{_strip(event.evidence)}')
    return f"{{{','.join(parts)}}}"


def _numbers(values: Mapping[str, float]) -> str:
    return f"{{{','.join(f'{quote(name)}:{number(value)}' for name, value in values.items())}}}"


def _strip(strip: Strip) -> str:
    """Whole microvolts, a list for each lead; null where there is none."""
    leads = [
        _list("null" if value - value != 0 else f"{1000 * value:.0f}" for value in column)
        for column in strip.data.T.tolist()
    ]
    return (
        f'{{"timestamp":"{rfc3339(strip.timestamp_ns)}","rate_hz":{number(strip.rate_hz)},'
        f'"leads":{_list(map(quote, strip.leads))},"microvolts":{_list(leads)}}}'
    )


def quality_json(quality: Quality) -> str:
    """The object `quality` of a result or an event."""
    score = "null" if quality.score is None else number(quality.score)
    reasons = _list(map(quote, quality.reasons))
    return f'{{"state":{quote(quality.state)},"score":{score},"reasons":{reasons}}}'


_DIGITS = {"float16": "%.5g", "float32": "%.9g", "float64": "%.17g"}  # enough to read back exactly


def _tensor(tensor: Tensor) -> str:
    data = tensor.data
    dtype = str(data.dtype)
    if data.dtype.kind == "f":
        values = list(map(_DIGITS.get(dtype, "%.17g").__mod__, data.ravel().tolist()))
        if any(value[-1] in "fn" for value in values):
            values = ["null" if value[-1] in "fn" else value for value in values]
    elif data.dtype.kind in "iub":
        values = list(map("%d".__mod__, data.ravel().tolist()))
    else:
        values = [quote(str(value)) for value in data.ravel().tolist()]
    shape = ",".join(map(str, data.shape))
    return (
        f'{{"name":{quote(tensor.name)},"dtype":{quote(dtype)},"shape":[{shape}],'
        f'"data":{_list(values)}}}'
    )


def number(value: float) -> str:
    """A number with seven digits; null when it is not finite."""
    text = f"{value:.7g}"
    return "null" if text[-1] in "fn" else text  # inf, nan


def _list(items: Iterable[str]) -> str:
    return f"[{','.join(items)}]"


_KINDS: dict[type, tuple[str, Callable[[Any], str]]] = {
    Labels: ("labels", _label),
    Detections: ("detections", _detection),
    Beats: ("beats", _beat),
    Keypoints: ("keypoints", _keypoint),
    Tensors: ("tensors", _tensor),
    Events: ("events", _event),
}
