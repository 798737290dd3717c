"""A model's contract: `model.toml` in a model directory, or beside a bare model file.

The manifest speaks in real values (mV, pixel means, probabilities); the weights file adds how it
stores them (dtype, scale, zero point). Where both say something they must agree. Nothing is
guessed: what neither says is a ConfigError that names the key to add.

    name = "vww96"                      version = "1.0.0"          task = "classification"
    [[file]]    path, format, precision, sha256; in order of preference
    [[input]]   name, kind = image | signal | feature | state | constant, and what that kind needs
    [[output]]  name, meaning = scores | boxes | classes | count | keypoints | anchors | ...
    [postprocess]  kind = classification | heads | detection | anchors | keypoints | ...
    [[head]]    of kind "heads": name, output, first, labels, report = best | all, ...
    [golden]    file, tolerance         [accuracy]  measured figures, free keys
    [training]  records: names of those that it learned from, for whoever scores it
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .errors import BadOptionError, ConfigError, ModelLoadError
from .readout import HeadEntry, OutputEntry, PostprocessEntry, QuantisationEntry, check_heads
from .tables import Table, read_toml

MANIFEST = "model.toml"

_INDEX = re.compile(r"[0-9]{1,6}")  # of a label

Task = Literal["classification", "detection", "keypoints", "beats", "tensors"]
Format = Literal["tflite", "onnx"]
Precision = Literal["float32", "float16", "int8", "int16", "mixed"]


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One weights file. `path` is relative to the directory; an empty sha256 is not checked."""

    path: str
    format: Format
    precision: Precision
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class InputEntry:
    """What one input tensor wants; `name` is the file's, or its position as "0", "1", ...

    kind = "image":    `colour`, `layout`, `resize`; real value = (pixel - mean) / std, one
                       number or one per channel.
    kind = "signal":   (samples, leads) in `units` at `rate_hz`, columns in the order of `leads`;
                       `layout` says where the samples axis stands ("NTC", "NCT" or "NT").
    kind = "feature":  `feature` names the side input that a step puts on the frame.
    kind = "state":    `state` names the output that is fed back; zeros at the start and at a gap.
    kind = "constant": `value`, always.
    """

    name: str
    kind: Literal["image", "signal", "feature", "state", "constant"]
    shape: tuple[int, ...] = ()  # fixes the dynamic dimensions; else the file's own
    dtype: str = ""  # checked against the file when given
    layout: Literal["", "NHWC", "NCHW", "NTC", "NCT", "NT"] = ""
    colour: Literal["", "rgb", "bgr", "grey"] = ""
    resize: Literal["", "stretch", "letterbox", "crop"] = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    units: str = ""
    rate_hz: float = 0.0
    leads: tuple[str, ...] = ()
    feature: str = ""
    state: str = ""
    value: tuple[float, ...] = ()
    pad: int = 0  # image: pixel value of a letterbox's border
    context: int = 0  # signal: samples of the window before that come first in this one
    quantisation: QuantisationEntry | None = None

    def __post_init__(self) -> None:
        needs: dict[str, tuple[str, ...]] = {
            "image": ("layout", "colour", "resize", "mean", "std"),
            "signal": ("layout", "units", "rate_hz"),
            "feature": ("feature",),
            "state": ("state",),
            "constant": ("value",),
        }
        for key in needs[self.kind]:
            if not getattr(self, key):
                raise BadOptionError(key, f"is missing: an input of kind '{self.kind}' needs it")
        if self.kind == "image" and self.layout not in ("NHWC", "NCHW"):
            raise BadOptionError("layout", "an image is NHWC or NCHW")
        if self.kind == "signal" and self.layout not in ("NTC", "NCT", "NT"):
            raise BadOptionError("layout", "a signal is NTC, NCT or NT")
        if any(value == 0 for value in self.std):
            raise BadOptionError("std", "must not be 0")


@dataclass(frozen=True, slots=True)
class GoldenEntry:
    """Recorded inputs and outputs that every device must reproduce within `tolerance`.

    `file` is an .npz of `input/<tensor>` and `output/<tensor>` arrays with a leading case axis:
    inputs as real values, outputs as real values (dequantised).
    """

    file: str = "golden.npz"
    tolerance: float = 0.05  # largest absolute difference of any output value
    agreement: float = 1.0  # share of cases whose largest score must be at the same place


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole model.toml. `directory` is where its files are."""

    name: str
    version: str
    task: Task
    file: tuple[FileEntry, ...]
    input: tuple[InputEntry, ...]
    output: tuple[OutputEntry, ...]
    postprocess: PostprocessEntry
    head: tuple[HeadEntry, ...] = ()
    summary: str = ""
    licence: str = ""
    source: str = ""
    stateful: bool = False  # the weights keep state inside between two runs
    golden: GoldenEntry | None = None
    accuracy: Mapping[str, Any] = field(default_factory=dict)
    directory: Path = Path()

    def __post_init__(self) -> None:
        if not self.file:
            raise BadOptionError("file", "is missing: list the weights as [[file]]")
        if not self.input:
            raise BadOptionError("input", "is missing: describe each input as [[input]]")
        if self.golden:
            _inside(self.directory, self.golden.file)

    def path(self, entry: FileEntry) -> Path:
        """Where a weights file is; never outside the model directory."""
        return _inside(self.directory, entry.path)

    def labels(self) -> tuple[str, ...]:
        """The label list, "rhythm: af" for one of a head; empty without. Raises ConfigError."""
        if self.head:
            return tuple(f"{head.name}: {label}" for head in self.head for label in head.labels)
        name = self.postprocess.labels
        return read_labels(_inside(self.directory, name)) if name else ()

    def groups(self) -> tuple[str, ...]:
        """The group of each class, "" for none; empty without groups. Raises ConfigError."""
        name = self.postprocess.groups
        return read_labels(_inside(self.directory, name)) if name else ()


def _inside(directory: Path, relative: str) -> Path:
    path = Path(relative)
    if path.is_absolute() or ".." in path.parts:
        raise ConfigError(f"{directory / MANIFEST}: {relative}: must lie inside the directory")
    return directory / path


def read_labels(path: Path) -> tuple[str, ...]:
    """One label a line, in index order; "3 cat" and "3: cat" set the index themselves."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: cannot read the labels: {exc}") from exc
    lines = [line.strip() for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    numbered = [line.replace(":", " ").split(maxsplit=1) for line in lines]
    if not all(len(pair) == 2 and _INDEX.fullmatch(pair[0]) for pair in numbered):
        return tuple(lines)
    by_index = {int(index): label for index, label in numbered}
    return tuple(by_index.get(index, "") for index in range(max(by_index, default=-1) + 1))


def read(path: Path) -> Manifest:
    """Read a model directory, or a manifest file. Raises ConfigError naming file, line and key."""
    path = path / MANIFEST if path.is_dir() else path
    return from_table(read_toml(path), path.parent)


def from_table(table: Table, directory: Path) -> Manifest:
    """A manifest from a table, for whoever keeps it in another file."""
    accuracy = table.values.get("accuracy", {})
    contract = table.without("accuracy", "training")
    made = contract.make(Manifest, directory=directory, accuracy=accuracy)
    check_heads(contract, made.head, made.output)
    return made


def digest(path: Path) -> str:
    """sha256 of a file, in hexadecimal. Raises ModelLoadError when it cannot be read."""
    sha256 = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                sha256.update(block)
    except OSError as exc:
        raise ModelLoadError(f"{path}: {exc.strerror}") from exc
    return sha256.hexdigest()


def verified_digest(path: Path, expected: str) -> str:
    """sha256 of a file. Raises ModelLoadError when it is not the one that the manifest states."""
    found = digest(path)
    if expected and found != expected:
        raise ModelLoadError(
            f"{path}: sha256 is {found}, the manifest says {expected}: the file was changed or "
            "damaged; copy the model again"
        )
    return found
