"""What can be said of a frame: the kinds of outcome that a result carries. None of them changes.

Named tuples, for the reason that `frame` gives. Pixels are those of the picture that the model
was given, times nanoseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .frame import Array, Quality, Signal
else:  # annotations alone must not import numpy
    Array = Signal = Any


class Box(NamedTuple):
    """A rectangle in pixels of the source frame."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float


class Label(NamedTuple):
    """A class and its score in 0..1; of a network with several heads, which one says so."""

    index: int  # type: ignore[assignment] # a class has one; tuple.index is not missed
    label: str
    score: float
    head: str = ""


class Detection(NamedTuple):
    """An object: its class, score and place."""

    index: int  # type: ignore[assignment] # a class has one; tuple.index is not missed
    label: str
    score: float
    box: Box
    keypoints: tuple[Keypoint, ...] = ()


class Keypoint(NamedTuple):
    """A named point in pixels of the source frame."""

    name: str
    score: float
    x: float
    y: float


class Beat(NamedTuple):
    """A heart beat: its class and score, the time of its R peak, and the rate around it."""

    index: int  # type: ignore[assignment] # a class has one; tuple.index is not missed
    label: str
    score: float
    timestamp_ns: int
    rr_s: float | None
    rate_bpm: float | None


class Tensor(NamedTuple):
    """A model output as it is, in real values (dequantised)."""

    name: str
    data: Array


class Labels(NamedTuple):
    """Result kind `labels`: the best classes, highest score first, head after head."""

    labels: tuple[Label, ...]


class Detections(NamedTuple):
    """Result kind `detections`: highest score first; empty when nothing was found."""

    detections: tuple[Detection, ...]


class Keypoints(NamedTuple):
    """Result kind `keypoints`: one pose, in the model's order."""

    keypoints: tuple[Keypoint, ...]


class Beats(NamedTuple):
    """Result kind `beats`."""

    beats: tuple[Beat, ...]


class Tensors(NamedTuple):
    """Result kind `tensors`: every output, for models whose meaning is the reader's business."""

    tensors: tuple[Tensor, ...]


class CannotSay(NamedTuple):
    """Result kind `cannot-say`: the signal does not allow an answer; `reason` is one word."""

    reason: str
    detail: str = ""


class Strip(NamedTuple):
    """Evidence: the signal around an event."""

    timestamp_ns: int  # wall time of the first sample
    rate_hz: float
    leads: tuple[str, ...]
    data: Signal  # (samples, leads) in mV


class Event(NamedTuple):
    """What a rule found, or why it cannot tell.

    `priority` is "high", "medium", "low" or "information" (IEC 60601-1-8). `delay_s` is from the
    onset to the sample that decided. `values` are what was measured, `limits` what they crossed.
    A latched event stands until somebody has seen it.
    """

    name: str
    phase: str  # "onset", "end" or "cannot-say"
    priority: str
    rule: str  # name and version, "pause/1"
    onset_ns: int
    end_ns: int | None
    delay_s: float
    values: Mapping[str, float]
    limits: Mapping[str, float]
    quality: Quality | None = None
    detail: str = ""
    evidence: Strip | None = None
    latched: bool = False


class Events(NamedTuple):
    """Result kind `events`: what a monitor found, in the order of its finding."""

    events: tuple[Event, ...]


Outcome = Labels | Detections | Keypoints | Beats | Tensors | CannotSay | Events
