"""What runs models: one file per runtime, and the rule that says which one a file is for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from edge_runtime.errors import ModelLoadError

Format = Literal["tflite", "onnx"]

# A TFLite delegate that is none of these is a shared library under a name of the user's.
DELEGATES: Mapping[Format, tuple[str, ...]] = MappingProxyType(
    {
        "tflite": ("xnnpack", "cpu", "edgetpu", "armnn", "gpu", "external"),
        "onnx": ("cpu", "openvino", "cuda", "tensorrt", "coreml", "qnn"),
    }
)

_HEAD_BYTES = 64
_LFS_POINTER = b"version https://git-lfs"
_SUFFIXES = {".tflite": "a TensorFlow Lite", ".onnx": "an ONNX", ".ort": "an ONNX Runtime"}


def format_of(path: Path) -> Format:
    """Tell the format of a model file by its first bytes; its suffix only words the refusal.

    Raises:
        ModelLoadError: the file is missing, unreadable, empty, a Git LFS pointer, or none of
            .tflite, .onnx and .ort.
    """
    head = read_head(path)
    if head[4:8] == b"TFL3":
        return "tflite"
    if head[4:8] == b"ORTM" or _starts_like_onnx(head):
        return "onnx"
    named = _SUFFIXES.get(path.suffix.lower())
    if named is None:
        raise ModelLoadError(f"{path}: neither a .tflite nor an .onnx file")
    raise ModelLoadError(f"{path}: not {named} file: it begins with {head[:12]!r}")


def read_head(path: Path) -> bytes:
    """The first bytes of a model file.

    Raises:
        ModelLoadError: the file is missing, unreadable, empty or a Git LFS pointer.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as exc:
        raise ModelLoadError(f"{path}: {exc.strerror}") from exc
    if not head:
        raise ModelLoadError(f"{path}: the file is empty; copy it again")
    if head.startswith(_LFS_POINTER):
        raise ModelLoadError(f"{path}: a Git LFS pointer, not the model; run 'git lfs pull'")
    return head


def one_line(error: object, limit: int = 200) -> str:
    """A runtime's own message, which may run over many lines, made fit for one."""
    text = " ".join(str(error).split())
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    """Does a shape agree with a declared one, whose open dimensions are None?"""
    if len(shape) != len(wanted):
        return False
    return all(size == want or want is None for size, want in zip(shape, wanted, strict=True))


def _starts_like_onnx(head: bytes) -> bool:
    """An ONNX ModelProto begins with field 1, ir_version, a small varint, then another field.

    Field numbers are those of onnx.proto: 2 to 6 are texts and numbers, 7 the graph, 8 the
    operator sets, 14 the metadata, 20 and 25 functions and training.
    """
    if len(head) < 3 or head[0] != 0x08 or not 1 <= head[1] <= 0x7F:
        return False
    return head[2] >> 3 in range(2, 16) and head[2] & 7 in (0, 2)
