"""What a loaded Keras model or SavedModel is to the jobs: one function of lists of tensors."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Shape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output. None in `shape` is open; the first is the batch axis."""

    name: str
    shape: Shape
    dtype: str

    def fact(self) -> dict[str, Any]:
        """As JSON says it; an open dimension is -1."""
        shape = [-1 if size is None else int(size) for size in self.shape]
        return {"name": self.name, "shape": shape, "dtype": self.dtype}


@dataclass(frozen=True, slots=True)
class Source:
    """A loaded model. `call` takes and gives flat lists in the order of `inputs`, `outputs`."""

    path: Path
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    call: Callable[[Sequence[Any]], list[Any]]
    owner: Any  # what TensorFlow must keep alive and save: the Keras model or what was loaded
    weights: Mapping[str, Any]  # by path, "dense/kernel"
    layers: tuple[Any, ...]  # Keras layers, inner ones too; none of a SavedModel
    notes: tuple[str, ...] = ()


def versions(*distributions: str) -> dict[str, str]:
    """The versions of those distributions that are installed."""
    found = {}
    for name in distributions:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
