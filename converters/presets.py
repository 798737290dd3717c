"""What is worth making for a board or a purpose: `--for raspberry-pi-5`."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime import profile as profiles
from edge_runtime.errors import ConfigError
from edge_runtime.tables import nearest

from .plan import Target, target


@dataclass(frozen=True, slots=True)
class Preset:
    """Files in order of preference, and the programs of a vendor that come after them."""

    targets: tuple[str, ...]
    why: str
    after: tuple[str, ...] = ()  # "tensorrt", "edgetpu": see `vendors`


_PURPOSES = {
    "coral": Preset(
        ("tflite:int8:uint8",),
        "an Edge TPU takes fully integer TFLite only (coral.ai/docs/edgetpu/models-intro)",
        ("edgetpu",),
    ),
    "mobile": Preset(
        ("tflite:int8", "tflite:float16"), "INT8 for CPUs and NPUs, FP16 for graphics processors"
    ),
    "server": Preset(
        ("onnx:float32", "onnx:float16"), "servers have memory; precision is kept, batches are free"
    ),
}
_BY_DELEGATE = {
    "xnnpack": Preset(
        ("tflite:int8", "onnx:int8"), "Arm and x86 cores compute INT8 in XNNPACK and ONNX Runtime"
    ),
    "tensorrt": Preset(
        ("onnx:float16", "onnx:int8", "tflite:int8"),
        "the GPU computes FP16, TensorRT INT8 from QDQ; TFLite for the CPU rungs",
        ("tensorrt",),
    ),
}


def names() -> tuple[str, ...]:
    """Everything that `--for` takes."""
    return tuple(sorted({*_PURPOSES, *profiles.names()}))


def find(name: str) -> Preset:
    """The preset of a purpose, or of a board by the delegates in its profile.

    Raises ConfigError.
    """
    if name in _PURPOSES:
        return _PURPOSES[name]
    if name not in profiles.names():
        near = nearest(name, names())
        hint = f"did you mean '{near}'?" if near else f"there are {', '.join(names())}"
        raise ConfigError(f"--for {name}: no such board or purpose; {hint}")
    delegates = {one for some in profiles.load(name).delegates.values() for one in some}
    return _BY_DELEGATE["tensorrt" if "tensorrt" in delegates else "xnnpack"]


def targets(preset: Preset) -> tuple[Target, ...]:
    """The files of a preset."""
    return tuple(target(text) for text in preset.targets)
