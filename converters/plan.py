"""Which files are asked for, and by which jobs each can be made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from edge_runtime.errors import ConfigError
from edge_runtime.manifest import Format
from edge_runtime.manifest import Precision as Stored
from edge_runtime.tables import nearest

from .source import Kind

Precision = Literal["float32", "float16", "dynamic", "int8", "int16x8"]
Tensors = Literal["float32", "int8", "uint8"]

PRECISIONS: Mapping[Format, tuple[Precision, ...]] = {
    "tflite": ("float32", "float16", "dynamic", "int8", "int16x8"),
    "onnx": ("float32", "float16", "dynamic", "int8"),
}
STORED: Mapping[Precision, Stored] = {
    "float32": "float32",
    "float16": "float16",
    "dynamic": "mixed",
    "int8": "int8",
    "int16x8": "int16",
}


@dataclass(frozen=True, slots=True)
class Target:
    """One file to make. `tensors` is what an INT8 TFLite file takes and gives."""

    format: Format
    precision: Precision
    tensors: Tensors = "float32"

    @property
    def calibrated(self) -> bool:
        """Whether real inputs are needed to make it."""
        return self.precision in ("int8", "int16x8")

    def __str__(self) -> str:
        rim = "" if self.tensors == "float32" else f":{self.tensors}"
        return f"{self.format}:{self.precision}{rim}"

    def filename(self, name: str) -> str:
        """Of this file in the directory of the model `name`."""
        rim = "" if self.tensors == "float32" else f"-{self.tensors}"
        return f"{name}-{self.precision}{rim}.{self.format}"


@dataclass(frozen=True, slots=True)
class Act:
    """One job in a child process: its module, the family whose Python runs it, its options."""

    family: str
    module: str
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


def target(text: str) -> Target:
    """`tflite:int8`, `tflite:int8:uint8`, `onnx:float16` ... Raises ConfigError."""
    format_, _, rest = text.partition(":")
    precision, _, rim = rest.partition(":")
    known = [f"{name}:{one}" for name, ones in PRECISIONS.items() for one in ones]
    if f"{format_}:{precision}" not in known:
        near = nearest(text, known)
        hint = f"did you mean '{near}'?" if near else f"there are {', '.join(known)}"
        raise ConfigError(f"target '{text}' does not exist; {hint}")
    tensors = rim or "float32"
    if tensors not in ("float32", "int8", "uint8") or (rim and (format_, precision) != _RIMMED):
        raise ConfigError(f"target '{text}': only tflite:int8 takes :float32, :int8 or :uint8")
    return Target(format_, precision, tensors)  # type: ignore[arg-type]


_RIMMED = ("tflite", "int8")

# From what is given to a float32 file of a format; None where there is no way.
_TO_FLOAT: Mapping[Kind, Mapping[Format, tuple[Act, ...] | None]] = {
    "keras": {
        "tflite": (Act("keras", "keras.to_tflite", {"precision": "float32"}),),
        "onnx": (Act("keras", "keras.to_onnx"),),
    },
    "torch": {
        "tflite": (Act("litert-torch", "torch.to_tflite"),),
        "onnx": (Act("torch", "torch.to_onnx"),),
    },
    "torchscript": {"tflite": None, "onnx": (Act("torch", "torch.to_onnx"),)},
    "onnx": {
        "tflite": (Act("convert", "onnx.model"), Act("onnx2tf", "onnx.to_tflite")),
        "onnx": (Act("convert", "onnx.model"),),
    },
    "tflite": {"tflite": (), "onnx": (Act("keras", "tflite.to_onnx"),)},
}
_SAME: Mapping[Kind, Kind] = {"saved-model": "keras", "exported-program": "torch"}
_PREDICT: Mapping[Kind, Act] = {
    "keras": Act("keras", "keras.predict"),
    "torch": Act("torch", "torch.predict"),
    "torchscript": Act("torch", "torch.predict"),
    "onnx": Act("convert", "onnx.predict"),
    "tflite": Act("convert", "tflite.predict"),
}


def predict(kind: Kind) -> Act:
    """The job that runs the source itself: what every file is compared with."""
    return _PREDICT[_SAME.get(kind, kind)]


def to_float(kind: Kind, format_: Format) -> tuple[Act, ...]:
    """The jobs that lead to a float32 file. Raises ConfigError where there is no way."""
    acts = _TO_FLOAT[_SAME.get(kind, kind)][format_]
    if acts is None:
        raise ConfigError(
            f"from {kind} there is no way to {format_}: save the model with torch.export.save "
            "(.pt2), or convert it to ONNX"
        )
    return acts


def to_precision(wanted: Target) -> tuple[Act, ...]:
    """The jobs that lead from a float32 file of the format to the target."""
    if wanted.precision == "float32":
        return ()
    options = {"precision": wanted.precision, "io": wanted.tensors}
    return (Act("convert", f"{wanted.format}.precision", options),)


def direct(kind: Kind, wanted: Target) -> tuple[Act, ...]:
    """The one job that goes from the source to the target at once, where there is one.

    TensorFlow's own quantiser makes wholly integer files of Transformers and unrolled RNNs; it
    leaves no layer float on request.
    """
    if _SAME.get(kind, kind) != "keras" or wanted.format != "tflite":
        return ()
    if wanted.precision == "float32":
        return ()
    options = {"precision": wanted.precision, "io": wanted.tensors}
    return (Act("keras", "keras.to_tflite", options),)


def families(kind: Kind, wanted: tuple[Target, ...]) -> dict[str, str]:
    """Every family that a conversion needs, and what for."""
    found = {predict(kind).family: f"running the {kind} source"}
    for one in wanted:
        for act in (*to_float(kind, one.format), *to_precision(one)):
            found.setdefault(act.family, f"{kind} to {one}")
    return found


def job(source: Path, out: Path, act: Act, cases: Path | None, **more: Any) -> dict[str, Any]:
    """What a child is told."""
    options = {**act.options, **more}
    return {"source": str(source), "out": str(out), "options": options, "cases": cases}
