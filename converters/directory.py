"""Writes a model directory: weights, labels, golden vectors, manifest, card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime import manifest as manifests
from edge_runtime.manifest import GoldenEntry, Manifest

from .contract import Contract
from .plan import STORED, Target
from .toml_text import dumps

CARD, FACTS, GOLDEN = "README.md", "conversion.json", "golden.npz"


@dataclass(frozen=True, slots=True)
class Weights:
    """A file that goes into the directory."""

    target: Target
    path: Path

    def filename(self, name: str) -> str:
        return self.target.filename(name)


def write(
    folder: Path,
    contract: Contract,
    weights: Sequence[Weights],
    golden: GoldenEntry,
    *,
    accuracy: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> Manifest:
    """Fill `folder`, but for golden vectors and card, and give the manifest as it is read again."""
    name = contract.manifest.name
    files = []
    for one in weights:
        path = folder / one.filename(name)
        shutil.copyfile(one.path, path)
        entry = {"path": path.name, "format": one.target.format}
        entry |= {"precision": STORED[one.target.precision], "sha256": manifests.digest(path)}
        files.append(entry)
    labels = contract.manifest.postprocess.labels
    if labels:
        shutil.copyfile(contract.manifest.directory / labels, folder / labels)
    values = {
        **contract.values,
        "file": files,
        "golden": {
            "file": golden.file,
            "tolerance": golden.tolerance,
            "agreement": golden.agreement,
        },
        "accuracy": dict(accuracy),
    }
    text = dumps({key: values[key] for key in sorted(values, key=_place)})
    (folder / manifests.MANIFEST).write_text(text, encoding="utf-8")
    (folder / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return manifests.read(folder)


def _place(key: str) -> int:
    """Where a table stands in a manifest; what is not named here comes first."""
    order = ("file", "input", "output", "postprocess", "head", "golden", "training", "accuracy")
    return order.index(key) if key in order else -1
