"""Tensors from .npy and .npz files, straight into a model: no source, no preprocessing."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edge_runtime.errors import FrameError
from edge_runtime.frame import Array, Frame, Placement
from edge_runtime.interfaces import TensorSpec
from edge_runtime.manifest import InputEntry
from edge_runtime.preprocess.quantise import input_spec, quantise


def read_tensors(path: Path) -> tuple[Array, Mapping[str, Array]]:
    """The array of an .npy file, or those of an .npz file by name. Raises FrameError."""
    nothing = np.zeros(0, np.float32)
    try:
        if path.suffix.lower() == ".npy":
            # Mapped first: a header may state any size, the file has only so many bytes.
            return np.array(np.load(path, mmap_mode="r", allow_pickle=False)), {}
        with np.load(path, allow_pickle=False) as file:
            return nothing, {name: file[name] for name in file.files}
    except OSError as exc:
        raise FrameError(f"{path}: {exc.strerror or exc}") from exc
    except (ValueError, EOFError, KeyError, AttributeError, zipfile.BadZipFile) as exc:
        text = " ".join(str(exc).split())
        raise FrameError(f"{path}: not an array file of numpy: {text}") from exc


class TensorInput:
    """Takes the array of a frame as the tensor.

    An array of the tensor's own type goes in as it is; real numbers are quantised. Another shape
    with as many elements is taken in order. From an .npz file the array is found by the input's
    name, in the weights or in the manifest.
    """

    def __init__(self, entry: InputEntry, spec: TensorSpec) -> None:
        self._names = (spec.name, entry.name)
        self._spec = input_spec(entry, spec)
        self._placement = _placement(entry, self._spec)

    def __call__(self, frame: Frame) -> tuple[Array, Placement | None]:
        """Raises FrameError when the array does not fit the tensor."""
        named = [frame.features[name] for name in self._names if name in frame.features]
        if not named and frame.features:
            there = ", ".join(frame.features)
            raise FrameError(f"{frame.source}: holds no array '{self._names[0]}', but {there}")
        return self._fitted(named[0] if named else frame.data, frame.source), self._placement

    def _fitted(self, array: Array, where: str) -> Array:
        spec = self._spec
        shape = tuple(size or 1 for size in spec.shape)
        if array.size != np.prod(shape):
            raise FrameError(f"{where}: shape is {array.shape}, the tensor's is {shape}")
        real = np.issubdtype(array.dtype, np.floating)
        if str(array.dtype) != spec.dtype and not real:
            raise FrameError(
                f"{where}: type is {array.dtype}, the tensor's is {spec.dtype}; give that, or real "
                "numbers as float32"
            )
        if real and not np.isfinite(array).all():
            raise FrameError(f"{where}: holds NaN or infinity")
        array = array.reshape(shape)
        return array if str(array.dtype) == spec.dtype else quantise(array, spec)


def _placement(entry: InputEntry, spec: TensorSpec) -> Placement | None:
    """Boxes of an image that came as a tensor are in pixels of the tensor."""
    if entry.kind != "image":
        return None
    at = 1 if entry.layout == "NHWC" else 2
    height, width = spec.shape[at] or 1, spec.shape[at + 1] or 1
    return Placement(1.0, 1.0, 0.0, 0.0, width, height, width, height)
