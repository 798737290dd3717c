"""The contract of a model that is to be converted: a model.toml that lists no weights yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_runtime import manifest as manifests
from edge_runtime.manifest import InputEntry, Manifest
from edge_runtime.tables import read_toml

_MADE_HERE = ("file", "golden", "accuracy", "conversion")


@dataclass(frozen=True, slots=True)
class Contract:
    """What a model's numbers mean: as a manifest, and the text's own values to write it again.

    `path` is the file that says so.
    """

    manifest: Manifest
    values: Mapping[str, Any]
    path: Path


def read(path: Path) -> Contract:
    """Of a manifest, with or without weights, or of a model directory. Raises ConfigError."""
    path = path / manifests.MANIFEST if path.is_dir() else path
    table = read_toml(path)
    kept = table.without(*_MADE_HERE)
    unborn = {"path": "unborn.onnx", "format": "onnx", "precision": "float32"}
    with_file = replace(kept, values={**kept.values, "file": [unborn]})
    return Contract(manifests.from_table(with_file, path.parent), kept.values, path)


def inputs(read: Contract) -> list[dict[str, Any]]:
    """What every job is told of the inputs: name, shape of one case, type."""
    return [
        {"name": one.name, "shape": list(case_shape(one)), "dtype": one.dtype or "float32"}
        for one in read.manifest.input
    ]


def case_shape(entry: InputEntry) -> tuple[int, ...]:
    """The shape of one case of an input: its own less the batch axis."""
    return entry.shape[1:]
