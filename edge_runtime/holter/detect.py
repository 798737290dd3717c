"""Find the beats of a record as a device would: the same steps, fed the same small frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edge_runtime import registry
from edge_runtime.ecg.ec57 import CLASS_OF, Mark
from edge_runtime.errors import ConfigError
from edge_runtime.outcome import Beats
from edge_runtime.sources.records.wfdb_format import read_header
from edge_runtime.sources.records.wfdb_record import open_record

from .records import choose_lead, play

if TYPE_CHECKING:
    from edge_runtime.frame import Frame
    from edge_runtime.interfaces import Step
    from edge_runtime.manifest import Manifest
    from edge_runtime.model import Model

CHUNK_S = 0.04  # what a device reads at once
_SHORT_S = 0.05  # of the window that the step cuts, where only the beat's time matters

Finder = Callable[[Iterable["Frame"]], Iterator[tuple[int, str]]]


class Detection(NamedTuple):
    """What was found in a record: beats in samples of the record, in the order of time."""

    lead: str
    marks: tuple[Mark, ...]


def detect(path: Path, finder: Finder, lead: str = "", chunk_s: float = CHUNK_S) -> Detection:
    """Find the beats of one lead. Raises ConfigError when it cannot be played, FrameError."""
    lead = choose_lead(read_header(path), lead)
    record = open_record(path, [lead] if lead else [])
    rate_hz = record.header.rate_hz
    found = finder(play(record, str(path), chunk_s))
    marks = sorted(Mark(round(at_ns * rate_hz / 1e9), symbol) for at_ns, symbol in found)
    return Detection(record.specs[0].lead, tuple(marks))


def by_detector(frames: Iterable[Frame]) -> Iterator[tuple[int, str]]:
    """Times in ns and symbol "N" of the beats that the step `beats` finds."""
    step: Step = registry.find("step", "beats")(
        pre_s=_SHORT_S, post_s=_SHORT_S, template=False, relative=False
    )
    for frame in through(frames, [step]):
        if frame.beat is not None:
            yield frame.beat.timestamp_ns, "N"


def by_model(model: Model, steps: Sequence[Step]) -> Finder:
    """Times in ns and symbols of the beats that a model finds; both are used for one record."""

    def find(frames: Iterable[Frame]) -> Iterator[tuple[int, str]]:
        for frame in through(frames, steps):
            outcome = model(frame).outcome
            if isinstance(outcome, Beats):
                yield from ((beat.timestamp_ns, symbol_of(beat.label)) for beat in outcome.beats)

    return find


def symbol_of(label: str) -> str:
    """The annotation symbol for a model's label; what is no class of beats is unclassified."""
    return label if label in CLASS_OF else "Q"


def model_lead(manifest: Manifest) -> str:
    """The lead that a beat model wants; "" when it does not say. Raises ConfigError."""
    if manifest.task != "beats":
        raise ConfigError(
            f"{manifest.name}: is a model for {manifest.task}; only one for beats can be scored"
        )
    return next((entry.leads[0] for entry in manifest.input if entry.leads), "")


def through(frames: Iterable[Frame], steps: Sequence[Step]) -> Iterator[Frame]:
    """A whole stream through a chain of steps, with what they still hold at its end."""
    for step in steps:
        frames = _through(frames, step)
    return iter(frames)


def _through(frames: Iterable[Frame], step: Step) -> Iterator[Frame]:
    for frame in frames:
        yield from step(frame)
    yield from step.flush()
