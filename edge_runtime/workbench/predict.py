"""A model on files instead of a stream: images, videos, ECG records, tables of samples, tensors.

The files go through the very sources and steps that a pipeline uses. A file that cannot be used
is one `Failure`; the others go on.
"""

from __future__ import annotations

import glob
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime import build, registry
from edge_runtime.errors import (
    ConfigError,
    EdgeRunError,
    EndOfStream,
    FrameError,
    MissingExtraError,
    ModelLoadError,
)
from edge_runtime.frame import Frame, Result
from edge_runtime.interfaces import Source, Step, notes_of
from edge_runtime.manifest import Manifest
from edge_runtime.model import Candidate, Model
from edge_runtime.tables import Table

from .tensor_input import TensorInput, read_tensors

log = logging.getLogger(__name__)

TENSORS = frozenset({".npy", ".npz"})
VIDEOS = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"})
TABLES = frozenset({".csv", ".tsv", ".txt"})
IMAGES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})
STILLS = IMAGES | TENSORS  # one result each
READ_TIMEOUT_S = 1.0

Chain = Callable[[], Sequence[Step]]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an input, or a part of it, gave no result."""

    input: str
    reason: str


def expand(given: Iterable[str], manifest: Manifest) -> Iterator[str | Failure]:
    """The files that names, directories and patterns stand for, in order.

    A directory stands for its images, or for its records when the model takes a signal.
    """
    wanted = IMAGES if takes_images(manifest) else {".hea"}
    for name in given:
        path = Path(name)
        if path.is_dir():
            found = sorted(str(file) for file in path.iterdir() if file.suffix.lower() in wanted)
        elif path.exists() or path.with_name(path.name + ".hea").exists():
            found = [name]
        else:
            found = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 - absolute patterns too
        if not found:
            none = f"holds no {', '.join(sorted(wanted))}; for its folders give '{name}/**/*'"
            what = none if path.is_dir() else "no such file"
            yield Failure(name, what)
        yield from found


def takes_images(manifest: Manifest) -> bool:
    """Whether frames are images."""
    return any(entry.kind == "image" for entry in manifest.input)


def are_tensors(names: Sequence[str]) -> bool:
    """Whether these files hold tensors, for which the model needs `tensor_input.TensorInput`."""
    return any(Path(name).suffix.lower() in TENSORS for name in names)


def model_for(
    manifest: Manifest, candidates: Sequence[Candidate], names: Sequence[str | Failure]
) -> Model:
    """The model for these inputs, not yet open. Raises ConfigError for tensors among files."""
    tensors = [isinstance(name, str) and are_tensors([name]) for name in names]
    if any(tensors) and not all(tensors):
        raise ConfigError("tensors (.npy, .npz) and other files: give them in two calls")
    return Model(
        manifest=manifest,
        candidates=candidates,
        prepare=TensorInput if any(tensors) else build.prepare,
        postprocess=build.postprocess,
    )


def predict(
    name: str, model: Model, chain: Chain, rate_hz: float | None = None
) -> Iterator[Result | Failure]:
    """Every result of one file, whose name stands as `source` in each.

    Args:
        name: the file.
        model: open.
        chain: makes the steps, which keep samples and so belong to one file.
        rate_hz: of a table of samples that does not say it.

    Raises ModelLoadError and MissingExtraError: no other file would do better.
    """
    try:
        if are_tensors([name]):
            yield model(_tensor_frame(name))
            return
        with_steps = () if _kind(name, model.manifest) in ("images", "video") else chain()
        yield from _stream(name, _source(name, model.manifest, rate_hz), with_steps, model)
    except (ModelLoadError, MissingExtraError):
        raise
    except EdgeRunError as exc:
        yield Failure(name, str(exc))


def stepped(frames: Iterable[Frame], steps: Sequence[Step]) -> Iterator[Frame]:
    """Frames through a chain of steps, one by one."""
    for step in steps:
        frames = _each(step, frames)
    return iter(frames)


def _tensor_frame(name: str) -> Frame:
    data, features = read_tensors(Path(name))
    return Frame(data, time.time_ns(), time.monotonic_ns(), 0, name, features=features)


def _kind(name: str, manifest: Manifest) -> str:
    suffix = Path(name).suffix.lower()
    if takes_images(manifest):
        return "video" if suffix in VIDEOS else "images"
    return "csv" if suffix in TABLES else "wfdb"


def _source(name: str, manifest: Manifest, rate_hz: float | None) -> Source:
    kind = _kind(name, manifest)
    options: dict[str, object] = {"path": name}
    if kind == "csv" and rate_hz:
        options["rate_hz"] = rate_hz
    made: Source = Table(options, name).make(registry.find("source", kind), name=kind)
    return made


def _stream(
    name: str, source: Source, steps: Sequence[Step], model: Model
) -> Iterator[Result | Failure]:
    """Every frame through the steps and the model; at the end, what the steps still hold."""
    try:
        source.open()
        for found in _frames(name, source):
            if isinstance(found, Failure):
                yield found
            else:
                yield from _infer(name, stepped([found], steps), model)
        for position, step in enumerate(steps):
            yield from _infer(name, stepped(step.flush(), steps[position + 1 :]), model)
    finally:
        for note in notes_of(steps):
            log.warning("%s: %s", name, note)
        source.close()


def _frames(name: str, source: Source) -> Iterator[Frame | Failure]:
    while True:
        try:
            frame = source.read(READ_TIMEOUT_S)
        except EndOfStream:
            return
        except FrameError as exc:
            yield Failure(name, str(exc))
            continue
        if frame is not None:
            yield frame._replace(source=name)


def _infer(name: str, frames: Iterator[Frame], model: Model) -> Iterator[Result | Failure]:
    while True:
        try:
            frame = next(frames, None)
            if frame is None:
                return
            result = model(frame)
        except FrameError as exc:
            yield Failure(name, str(exc))
        else:
            yield result


def _each(step: Step, frames: Iterable[Frame]) -> Iterator[Frame]:
    for frame in frames:
        yield from step(frame)
