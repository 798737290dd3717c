"""From a frame, or from ready arrays, to the inputs of one case."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edge_runtime import binding, build
from edge_runtime.errors import ConfigError, FrameError
from edge_runtime.frame import Array, Frame, Placement
from edge_runtime.interfaces import Prepare, TensorSpec
from edge_runtime.manifest import InputEntry, Manifest
from edge_runtime.tables import nearest

from .cases import Prepared


class Intake:
    """Fills every input of a manifest, as the device would fill float32 tensors.

    An input of kind "state" is zeros, so each case is the first of its stream. Raises ConfigError
    when an input's shape is not known.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._prepares: dict[str, Prepare] = {}
        self._fixed: dict[str, Array] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        for entry in manifest.input:
            spec = TensorSpec(entry.name, _shape(manifest, entry), "float32")
            self._shapes[entry.name] = inner(entry.shape)
            if entry.kind == "constant":
                self._fixed[entry.name] = _bare(binding.constant(entry, spec))
            elif entry.kind == "state":
                self._fixed[entry.name] = np.zeros(inner(entry.shape), np.float32)
            else:
                self._prepares[entry.name] = build.prepare(entry, spec)

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the inputs that ready arrays must bring."""
        return tuple(self._prepares)

    def frame(self, frame: Frame, name: str) -> Prepared:
        """What the device's own code makes of a frame. Raises ConfigError naming the case."""
        arrays, placement = dict(self._fixed), None
        for key, prepare in self._prepares.items():
            try:
                tensor, found = prepare(frame)
            except FrameError as exc:
                hint = ": name the run file that has the steps" if "no step" in str(exc) else ""
                raise ConfigError(f"{name}: {exc}{hint}") from exc
            arrays[key] = _bare(tensor)
            placement = found or placement
        return {entry.name: arrays[entry.name] for entry in self._manifest.input}, placement

    def arrays(self, given: Mapping[str, Array], name: str) -> Prepared:
        """Ready arrays of real values, by input name, checked. Raises ConfigError."""
        arrays = dict(self._fixed)
        for key, array in given.items():
            if key not in self._shapes:
                raise ConfigError(f"{name}: no input '{key}'; {self._known(key)}")
            arrays[key] = _fitted(np.asarray(array), self._shapes[key], f"{name}: input '{key}'")
        if missing := [key for key in self._prepares if key not in arrays]:
            raise ConfigError(f"{name}: brings no input '{missing[0]}'")
        ordered = {entry.name: arrays[entry.name] for entry in self._manifest.input}
        return ordered, self._placement()

    def _known(self, key: str) -> str:
        near = nearest(key, list(self._shapes))
        listed = ", ".join(f"'{name}'" for name in self._shapes)
        return f"did you mean '{near}'?" if near else f"the model has {listed}"

    def _placement(self) -> Placement | None:
        """Boxes of a picture that came as a tensor are in pixels of the tensor."""
        for entry in self._manifest.input:
            if entry.kind == "image":
                at = 1 if entry.layout == "NHWC" else 2
                height, width = entry.shape[at], entry.shape[at + 1]
                return Placement(1.0, 1.0, 0.0, 0.0, width, height, width, height)
        return None


def inner(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A tensor's shape less the batch axis of 1."""
    return shape[1:] if shape[:1] == (1,) else shape


def _shape(manifest: Manifest, entry: InputEntry) -> tuple[int, ...]:
    if not entry.shape and entry.kind != "constant":
        raise ConfigError(
            f"{manifest.name}: input '{entry.name}': shape: is missing: data cannot be prepared "
            "for it"
        )
    return entry.shape


def _bare(tensor: Array) -> Array:
    """A copy without the batch axis."""
    return np.array(tensor, np.float32).reshape(inner(tensor.shape))


def _fitted(array: Array, shape: tuple[int, ...], where: str) -> Array:
    if array.dtype.kind not in "biuf":
        raise ConfigError(f"{where}: holds {array.dtype}, not numbers")
    if array.shape not in (shape, (1, *shape)):
        raise ConfigError(f"{where}: shape is {array.shape}, the model takes {shape}")
    return array.astype(np.float32).reshape(shape)
