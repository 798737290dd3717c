"""What a bare model file says of itself, and the start of a manifest for it.

The file knows its tensors; it does not know what the numbers mean. So the start of a manifest
carries the facts, proposes what a shape makes likely, and marks with FILL what only a person
knows. The keys that matter most are left out on purpose: the reader of manifests then asks.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_runtime import registry
from edge_runtime.backends import format_of
from edge_runtime.errors import ConfigError
from edge_runtime.interfaces import Backend, Quantisation, TensorSpec
from edge_runtime.manifest import digest

MAX_LABELS_BYTES = 1 << 20  # a label list is far smaller; a packed file may unpack to anything


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A weights file: its tensors, and the files that are packed into it (TFLite metadata)."""

    path: Path
    format: str
    size_bytes: int
    sha256: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    packed: tuple[str, ...]


def read(path: Path) -> ModelFacts:
    """Load a file on the plain CPU and read its tensors. Raises ModelLoadError."""
    kind = format_of(path)
    backend: Backend = registry.find("backend", kind)(path=path, delegate="cpu")
    try:
        backend.open()
        inputs, outputs = backend.inputs, backend.outputs
    finally:
        backend.close()
    return ModelFacts(
        path=path,
        format=kind,
        size_bytes=path.stat().st_size,
        sha256=digest(path),
        inputs=inputs,
        outputs=outputs,
        packed=packed_files(path),
    )


def packed_files(path: Path) -> tuple[str, ...]:
    """Names of the files that a .tflite carries behind its weights, as a zip archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return ()


def packed_labels(path: Path) -> tuple[str, str]:
    """Name and text of the label list that is packed into a file. Raises ConfigError."""
    names = [name for name in packed_files(path) if name.endswith(".txt")]
    if not names:
        raise ConfigError(f"{path}: no label list is packed into this file")
    name = next((name for name in names if "label" in name), names[0])
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(name).file_size > MAX_LABELS_BYTES:
                raise ConfigError(f"{path}: {name} is above 1 MiB: not a label list")
            return name, archive.read(name).decode("utf-8")
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as exc:
        raise ConfigError(f"{path}: {name}: cannot be unpacked: {exc}") from exc


def tensor_line(spec: TensorSpec) -> str:
    """One tensor in a line: shape, type, how it stores real values."""
    shape = ", ".join("?" if size is None else str(size) for size in spec.shape)
    return f"({shape}) {spec.dtype}{_stored(spec.quantisation)}"


def _stored(quantisation: Quantisation | None) -> str:
    if quantisation is None:
        return ""
    if len(quantisation.scale) > 1:
        return f", {len(quantisation.scale)} scales along axis {quantisation.axis}"
    return f", scale {quantisation.scale[0]:.9g}, zero point {quantisation.zero_point[0]}"


def skeleton(facts: ModelFacts) -> str:
    """The start of a model.toml: valid TOML, with the facts in it and FILL where a person must."""
    return "\n".join([*_head(facts), *_inputs(facts), *_outputs(facts), *_tail(facts)]) + "\n"


def _head(facts: ModelFacts) -> Iterator[str]:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", facts.path.stem).strip("-.") or "model"
    yield f"# Start of a manifest for {_comment(facts.path.name)}, {facts.size_bytes} bytes."
    yield "# FILL marks what the file does not say: answer it from the model's documentation."
    yield from _packed(facts)
    yield f"name = {_text(name)}"
    yield _fill('version = "0.0.0"')
    yield _fill('task = "tensors"', "classification, detection, keypoints, beats, tensors")
    yield _fill('# licence = ""')
    yield ""
    yield "[[file]]"
    yield f"path = {_text(facts.path.name)}"
    yield f"format = {_text(facts.format)}"
    yield _fill(f"precision = {_text(_precision(facts))}", "float32, float16, int8, int16, mixed")
    yield f"sha256 = {_text(facts.sha256)}"


def _packed(facts: ModelFacts) -> Iterator[str]:
    if facts.packed:
        yield f"# Packed into the file: {', '.join(map(_comment, facts.packed))}"
        if any(name.endswith(".txt") for name in facts.packed):
            yield "# `edge-run models show FILE --labels > labels.txt` unpacks the label list."


def _precision(facts: ModelFacts) -> str:
    """What the inputs and outputs suggest; weights may be stored in another type."""
    types = {spec.dtype for spec in (*facts.inputs, *facts.outputs)}
    if types & {"int8", "uint8"}:
        return "int8"
    return "int16" if "int16" in types else "float16" if types == {"float16"} else "float32"


def _inputs(facts: ModelFacts) -> Iterator[str]:
    for spec in facts.inputs:
        yield ""
        yield "[[input]]"
        yield f"name = {_text(spec.name)}"
        yield f"# in the file: {tensor_line(spec)}"
        if None in spec.shape:
            shape = [size or 1 for size in spec.shape]
            yield _fill(f"# shape = {shape}", "the file leaves dimensions open")
        layout = image_layout(spec)
        yield from _image_keys(spec, layout) if layout else _other_keys()


def image_layout(spec: TensorSpec) -> str:
    """NHWC or NCHW when the shape is that of one image; else an empty text."""
    if len(spec.shape) != 4 or spec.shape[0] not in (1, None):
        return ""
    if spec.shape[3] in (1, 3):
        return "NHWC"
    return "NCHW" if spec.shape[1] in (1, 3) else ""


def _image_keys(spec: TensorSpec, layout: str) -> Iterator[str]:
    grey = spec.shape[3 if layout == "NHWC" else 1] == 1
    yield _fill('kind = "image"', "looks like one; else signal, feature, state, constant")
    yield f"layout = {_text(layout)}"
    if grey:
        yield 'colour = "grey"'
    else:
        yield _fill('# colour = "rgb"', "rgb or bgr")
    yield _fill('# resize = "stretch"', "stretch, letterbox or crop")
    yield _fill("# mean = [127.5]", "real value = (pixel - mean) / std")
    yield _fill("# std = [127.5]", "real 0..255 is mean 0, std 1; 0..1 is mean 0, std 255")


def _other_keys() -> Iterator[str]:
    yield _fill('# kind = "signal"', "signal, feature, state or constant")
    yield _fill('# layout = "NTC"', "signal: NTC, NCT or NT")
    yield _fill('# units = "mV"', "signal")
    yield _fill("# rate_hz = 360.0", "signal")
    yield _fill('# leads = ["MLII"]', "signal: in the order of the columns")
    yield _fill('# feature = "rr"', "feature: the side input of a step")
    yield _fill('# state = "stateN"', "state: the output that is fed back")
    yield _fill("# value = [16000]", "constant")


def _outputs(facts: ModelFacts) -> Iterator[str]:
    for spec in facts.outputs:
        yield ""
        yield "[[output]]"
        yield f"name = {_text(spec.name)}"
        yield f"# in the file: {tensor_line(spec)}"
        yield _fill('meaning = "other"', "scores, boxes, classes, count, keypoints, anchors")


def _tail(facts: ModelFacts) -> Iterator[str]:
    yield ""
    yield "[postprocess]"
    yield _fill('kind = "tensors"', "classification, heads, detection, anchors, keypoints, beats")
    labels = any(name.endswith(".txt") for name in facts.packed)
    yield _fill('# labels = "labels.txt"', "packed into the file" if labels else "")


def _fill(text: str, hint: str = "") -> str:
    """A line whose value is for a person to give or to confirm."""
    return f"{text:<29} # FILL{': ' if hint else ''}{hint}"


def _text(value: str) -> str:
    """A TOML basic string; JSON escapes are valid in it."""
    text = value.encode("utf-8", "replace").decode("utf-8")  # a file name may hold any byte
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(value: str) -> str:
    """Text that cannot end a comment."""
    return "".join(sign if sign.isprintable() else "?" for sign in value)
