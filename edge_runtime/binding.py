"""The tensors of a weights file and the words of its manifest, matched by name or position.

Every function raises ConfigError where the two do not fit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .errors import ConfigError
from .frame import Array
from .interfaces import Backend, TensorSpec
from .manifest import InputEntry, Manifest


def matched(manifest: Manifest, specs: Sequence[TensorSpec]) -> list[InputEntry]:
    """The entry of the manifest for each input of the file, in the file's order."""
    entries = {entry.name: entry for entry in manifest.input}
    found = []
    for position, spec in enumerate(specs):
        entry = entries.pop(spec.name, None) or entries.pop(str(position), None)
        if entry is None:
            raise ConfigError(
                f"{manifest.name}: the file has an input '{spec.name}' {spec.shape} {spec.dtype} "
                "that the manifest does not describe: add an [[input]] with that name"
            )
        found.append(entry)
    if entries:
        raise ConfigError(
            f"{manifest.name}: the manifest describes input '{next(iter(entries))}', the file has "
            + ", ".join(f"'{spec.name}'" for spec in specs)
        )
    return found


def output(backend: Backend, name: str, manifest: Manifest) -> int:
    """Where the output stands that the manifest calls `name`."""
    for position, spec in enumerate(backend.outputs):
        if name in (spec.name, str(position)):
            return position
    raise ConfigError(
        f"{manifest.name}: state '{name}' is no output of the file; it has "
        + ", ".join(f"'{spec.name}'" for spec in backend.outputs)
    )


def constant(entry: InputEntry, spec: TensorSpec) -> Array:
    """The value of an input that never changes, in the input's shape."""
    shape = fixed(entry, spec)
    values = np.asarray(entry.value, dtype=spec.dtype)
    whole: Array = np.broadcast_to(values if shape else values.reshape(()), shape).copy()
    return whole


def fixed(entry: InputEntry, spec: TensorSpec) -> tuple[int, ...]:
    """A whole shape: the manifest's when it has one, else the file's."""
    if entry.shape:
        return entry.shape
    if None in spec.shape:
        raise ConfigError(
            f"input '{spec.name}' has a dynamic shape {spec.shape}: give its `shape` in the "
            "manifest"
        )
    return tuple(size for size in spec.shape if size is not None)
