"""The values that travel: frames in, results out. None of them changes after it is made.

Two clocks go with every frame: `timestamp_ns` is wall time (UTC since 1970), for people and
subscribers; `monotonic_ns` never jumps and is the only one that is subtracted.

They are named tuples: as immutable as frozen dataclasses, and made six times as fast, which counts
for every frame and at every start.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .outcome import Outcome
    from .update_state import UpdateState

    Array = NDArray[Any]
    Signal = NDArray[np.float32]
else:  # annotations alone must not import numpy
    Array = Signal = Any


class BeatMark(NamedTuple):
    """Where a beat stands in its stream; a beat-cutting step puts it on the frame it makes."""

    timestamp_ns: int  # wall time of the R peak
    rr_s: float | None  # to the R peak before; None for the first one and after a gap
    rate_bpm: float | None  # mean of the last intervals; None until there is one


class Quality(NamedTuple):
    """How far the last seconds of a signal can be trusted.

    `state` is "good", "limited" (good for the rate, not for shapes) or "bad". `score` is the
    calibrated probability that the rate is right, None where it was not measured. `reasons` are
    words such as "flat", "clipped", "noise".
    """

    state: str
    score: float | None = None
    reasons: tuple[str, ...] = ()


class Frame(NamedTuple):
    """One image, or one run of signal samples.

    `seq` counts the frames of one source from 0, at every stage anew; a jump says that
    something before this frame is missing. A signal's timestamps are those of its first sample.
    `state` is what its source was in when it came: "live", or "settling" or "gap" when filters
    have not seen enough of it. `quality` is None until a step has judged it. `highpass_hz` is the
    highest high-pass corner between the electrode and the source; None where nobody states it.
    """

    data: Array  # image (H, W, 3) uint8 in BGR order, or signal (samples, leads) float32 in mV
    timestamp_ns: int
    monotonic_ns: int
    seq: int
    source: str
    rate_hz: float | None = None  # samples per second; None for images
    leads: tuple[str, ...] = ()  # one name per signal column
    features: Mapping[str, Array] = MappingProxyType({})  # named side inputs of the model
    beat: BeatMark | None = None
    state: str = "live"
    quality: Quality | None = None
    highpass_hz: float | None = None


class Placement(NamedTuple):
    """Where a source frame lies in a model's input: input pixel = source pixel * scale + offset."""

    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float
    source_width: int
    source_height: int
    input_width: int
    input_height: int

    def to_source(self, x: float, y: float) -> tuple[float, float]:
        """Map a point in model input pixels to source pixels, kept inside the frame."""
        source_x = (x - self.offset_x) / self.scale_x
        source_y = (y - self.offset_y) / self.scale_y
        return (
            min(max(source_x, 0.0), float(self.source_width)),
            min(max(source_y, 0.0), float(self.source_height)),
        )


class ModelInfo(NamedTuple):
    """Which model spoke. `sha256` is that of the weights file in use."""

    name: str
    version: str
    sha256: str


class BackendInfo(NamedTuple):
    """What ran it. `degraded` is empty, or says why a preferred delegate is not in use."""

    kind: str
    delegate: str
    degraded: str = ""


class Latency(NamedTuple):
    """Milliseconds. `capture_to_result` is from the capture of an image, or of a signal's first
    sample, to the finished result; so it holds the length of a window.
    """

    capture_to_result: float
    preprocess: float
    inference: float
    postprocess: float


class Result(NamedTuple):
    """What the model said of one frame. `id` is unique for ever; a repeat has the same id."""

    id: str
    source: str
    seq: int
    timestamp_ns: int
    monotonic_ns: int
    model: ModelInfo
    backend: BackendInfo
    latency_ms: Latency
    outcome: Outcome
    state: str = "live"  # of the source, see Frame
    quality: Quality | None = None


class Verdict(NamedTuple):
    """What a frame says of its source; a frame that is not `usable` goes no further."""

    state: str
    detail: str = ""
    usable: bool = True


FLOWING = ("live", "settling", "gap")  # states of a source whose frames are used


class SourceState(NamedTuple):
    """What a source is in, and a line that says why.

    `opening`, `live`, `settling` (filters have not seen enough), `gap` (the same, for samples are
    missing), `stale` (open, and nothing comes), `frozen`, `blank` (images), `flat`, `clipped`,
    `lead-off` (signals), `lost` (being reopened) or `ended`. Nothing is inferred from a frozen,
    blank, flat, clipped or lead-off source.
    """

    name: str
    state: str
    detail: str = ""


class Info(NamedTuple):
    """What a pipeline is made of right now; sinks announce it when it changes.

    `task` is the manifest's; `labels` are all that a result may call what it found, and empty for
    a model that names nothing; `heads` are those of each head, where there are several. `update`
    is None where models are not updated.
    """

    model: ModelInfo
    backend: BackendInfo
    sources: tuple[SourceState, ...]
    task: str = ""
    labels: tuple[str, ...] = ()
    heads: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    update: UpdateState | None = None


class Identity(NamedTuple):
    """Who publishes: names of the device and of the pipeline, both fit to be topic levels."""

    device: str
    pipeline: str
