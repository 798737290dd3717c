"""The seams. A component is a class that fits one of these Protocols; nothing is inherited.

Rules for all of them: a constructor takes keyword-only options of plain types, checks them
(`BadOptionError`) and does no I/O; `open()` acts and imports the driver; `close()` may be called
twice and before `open()`. No component sleeps, retries or logs in its hot path: it raises, and
the pipeline owns the reaction (see `errors`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .frame import (
        Array,
        BackendInfo,
        Frame,
        Info,
        ModelInfo,
        Placement,
        Result,
        SourceState,
        Verdict,
    )
    from .manifest import Manifest
    from .outcome import Outcome
    from .update_state import UpdateState


@dataclass(frozen=True, slots=True)
class Quantisation:
    """real = scale * (stored - zero_point); one pair, or one per index of `axis`."""

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int = 0


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output as the loaded model declares it; a dynamic dimension is None."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str  # numpy's name: "float32", "int8", ...
    quantisation: Quantisation | None = None


class Source(Protocol):
    """Gives frames. `read` is called from one thread only.

    A live source (a camera, a port) is reopened when it is lost, and its oldest unread frame is
    dropped when the pipeline is slow. A recorded one (a file) waits, loses nothing and ends.
    """

    name: str
    live: bool

    def open(self) -> None:
        """Raises ConfigError (never right), SourceLostError (not now), MissingExtraError."""
        ...

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, or None when there was none in time.

        Raises FrameError (skip this one), SourceLostError (reopen me), EndOfStream.
        """
        ...

    def close(self) -> None: ...


class Health(Protocol):
    """Judges the frames of one source as they come, in the capture thread."""

    def __call__(self, frame: Frame) -> Verdict:
        """The source's state by this frame, and whether the frame may be used."""
        ...

    def restart(self) -> None:
        """The source was opened anew."""
        ...


class Monitor(Protocol):
    """Watches one source behind the model, and gives outcomes of its own.

    Its time is that of the frames and results that it is given. The same stream gives the same
    outcomes however it is cut into frames.
    """

    def frame(self, frame: Frame) -> Iterable[Outcome]:
        """Every usable frame as the source gave it, before the steps."""
        ...

    def result(self, result: Result) -> Iterable[Outcome]:
        """Every result of the model for this source."""
        ...

    def state(self, state: SourceState) -> Iterable[Outcome]:
        """The source's state has changed."""
        ...

    def flush(self) -> Iterable[Outcome]:
        """What can still be said at the end."""
        ...


class Step(Protocol):
    """Turns one frame into none, one or many. One instance serves one source.

    A step that keeps samples starts afresh when `frame.seq` jumps, and passes the jump on in the
    `seq` of what it makes. The same stream gives the same output however it is cut into frames.
    It may have a `note`: a line of what is not as usual with this source, logged and in `info`.
    """

    def __call__(self, frame: Frame) -> Iterable[Frame]:
        """Raises FrameError when this frame cannot be used."""
        ...

    def flush(self) -> Iterable[Frame]:
        """What is still held, at the end of a recorded stream."""
        ...


def notes_of(steps: Iterable[Step]) -> list[str]:
    """The notes that steps have just now."""
    return [note for step in steps if (note := getattr(step, "note", ""))]


class Backend(Protocol):
    """A loaded model on one delegate. `inputs` and `outputs` are valid after `open()`."""

    kind: str
    delegate: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def open(self) -> None:
        """Raises ModelLoadError (bad file), DelegateError (not on this delegate)."""
        ...

    def run(self, tensors: Sequence[Array]) -> Sequence[Array]:
        """Infer: arrays in the order of `inputs`, arrays of its own in the order of `outputs`.

        Raises FrameError when the runtime refuses these tensors.
        """
        ...

    def reset(self) -> None:
        """Forget what a stateful model holds inside itself."""
        ...

    def close(self) -> None: ...


class Prepare(Protocol):
    """Writes a frame into one input tensor, in the tensor's own dtype; the array is kept."""

    def __call__(self, frame: Frame) -> tuple[Array, Placement | None]:
        """Raises FrameError when the frame does not fit the model's contract."""
        ...


class Postprocess(Protocol):
    """Reads the raw (still quantised) outputs. `placement` is that of the image input, if any."""

    def __call__(
        self, outputs: Sequence[Array], frame: Frame, placement: Placement | None
    ) -> Outcome: ...


class Speaker(Protocol):
    """Says something of every frame: a model, or what puts one in the place of another.

    Who speaks changes in `turn` only, which is called between two frames.
    """

    @property
    def manifest(self) -> Manifest: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def heads(self) -> Mapping[str, tuple[str, ...]]: ...
    @property
    def model_info(self) -> ModelInfo: ...
    @property
    def backend_info(self) -> BackendInfo: ...

    def open(self) -> None:
        """Raises ModelLoadError, MissingExtraError, ConfigError."""
        ...

    def __call__(self, frame: Frame) -> Result:
        """Raises FrameError when the frame or the outputs cannot be used."""
        ...

    def tell(self, outcome: Outcome, frame: Frame) -> Result: ...

    def turn(self) -> UpdateState | None:
        """Where an update stands; None where models are not updated."""
        ...

    def close(self) -> None: ...


class Sink(Protocol):
    """Takes results away. `publish` and `announce` never block and never raise for the network."""

    def open(self) -> None:
        """Raises ConfigError for what cannot work; starts connecting without waiting."""
        ...

    def publish(self, result: Result) -> None: ...

    def announce(self, info: Info) -> None: ...

    def ready(self) -> bool:
        """False while one more result would push another out; recorded pipelines then wait."""
        ...

    def close(self) -> None:
        """Deliver what was accepted, within the sink's own time limit.

        Raises SinkError naming how many results were not delivered.
        """
        ...
