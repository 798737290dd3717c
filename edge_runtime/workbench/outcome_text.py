"""A result in a line that a person reads."""

from __future__ import annotations

from edge_runtime.lines import outcome_text
from edge_runtime.outcome import (
    Beat,
    Beats,
    Detection,
    Detections,
    Keypoint,
    Keypoints,
    Label,
    Labels,
    Outcome,
    Tensor,
    Tensors,
)
from edge_runtime.times import rfc3339

VALUES_SHOWN = 8  # of a tensor


def say(outcome: Outcome, top: int = 1) -> str:
    """What was seen; `top` is how many labels of a classification are told, heads tell all."""
    if isinstance(outcome, Labels):
        shown = [label for at, label in enumerate(outcome.labels) if label.head or at < top]
        return ", ".join(map(_label, shown)) or "nothing"
    if isinstance(outcome, Detections):
        return ", ".join(map(_detection, outcome.detections)) or "nothing"
    if isinstance(outcome, Beats):
        return ", ".join(map(_beat, outcome.beats)) or "nothing"
    if isinstance(outcome, Keypoints):
        return ", ".join(map(_keypoint, outcome.keypoints)) or "nothing"
    if isinstance(outcome, Tensors):
        return "; ".join(map(_tensor, outcome.tensors))
    return outcome_text(outcome)


def _label(label: Label) -> str:
    head = f"{label.head}: " if label.head else ""
    return f"{head}{label.label} {label.score:.3f}"


def _keypoint(point: Keypoint) -> str:
    return f"{point.name} {point.score:.2f} ({point.x:.0f}, {point.y:.0f})"


def _detection(found: Detection) -> str:
    box = found.box
    corners = f"{box.x_min:.0f}, {box.y_min:.0f}, {box.x_max:.0f}, {box.y_max:.0f}"
    return f"{found.label} {found.score:.3f} [{corners}]"


def _beat(beat: Beat) -> str:
    rate = f", {beat.rate_bpm:.0f} /min" if beat.rate_bpm is not None else ""
    return f"{beat.label} {beat.score:.3f} at {rfc3339(beat.timestamp_ns)}{rate}"


def _tensor(tensor: Tensor) -> str:
    values = tensor.data.ravel()
    shown = " ".join(f"{value:.4g}" for value in values[:VALUES_SHOWN].tolist())
    more = " ..." if values.size > VALUES_SHOWN else ""
    return f"{tensor.name} {tensor.data.shape}: {shown}{more}"
