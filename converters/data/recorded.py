"""The recorded inputs of a model directory, where there are no other data."""

from __future__ import annotations

import numpy as np

from edge_runtime.errors import ConfigError, FrameError
from edge_runtime.frame import Array
from edge_runtime.manifest import Manifest
from edge_runtime.workbench.tensor_input import read_tensors

from .cases import Cases
from .intake import Intake


def golden_inputs(manifest: Manifest) -> Cases:
    """The recorded inputs of a model directory, without labels. Raises ConfigError."""
    if manifest.golden is None:
        raise ConfigError(f"{manifest.name}: has no golden vectors: name data to compare on")
    path = manifest.directory / manifest.golden.file
    arrays: dict[str, Array] = {}
    try:
        recorded = read_tensors(path)[1]
    except FrameError as exc:
        raise ConfigError(str(exc)) from exc
    for key, array in recorded.items():
        if not key.startswith("input/"):
            continue
        if array.dtype.kind != "f":
            raise ConfigError(f"{path}: its inputs are stored as {array.dtype}: name data instead")
        arrays[key.removeprefix("input/")] = array
    intake = Intake(manifest)
    count = min((len(array) for array in arrays.values()), default=0)
    if count == 0:
        raise ConfigError(f"{path}: holds no golden case")
    ready = [
        intake.arrays({key: array[row] for key, array in arrays.items()}, f"{path} case {row}")
        for row in range(count)
    ]
    return Cases(
        spec=str(path),
        inputs={key: np.stack([one[key] for one, _ in ready]) for key in ready[0][0]},
        names=tuple(f"golden {row}" for row in range(count)),
        placements=tuple(placement for _, placement in ready),
        label_names=manifest.labels(),
        total=count,
    )
