"""The models that come with the package, and how a model is named: a path, or one of these."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from .manifest import MANIFEST

PACKAGE = "edge_runtime.models"


def directories() -> dict[str, Path]:
    """Name -> directory of every shipped model; empty where the package carries none."""
    try:
        spec = importlib.util.find_spec(PACKAGE)
    except ModuleNotFoundError:
        return {}
    found: dict[str, Path] = {}
    for location in (spec.submodule_search_locations or ()) if spec else ():
        found.update(model_directories(Path(location)))
    return found


def model_directories(folder: Path) -> dict[str, Path]:
    """Name -> directory of every model directory in a folder; the folder need not exist."""
    return {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{MANIFEST}"))}


def resolve(name: str | Path, base: Path = Path()) -> Path:
    """Where a model is: a path relative to `base`, else the shipped model of that name.

    What is neither is returned as a path, for the message that says it is not there.
    """
    path = base / name
    if path.exists() or len(Path(name).parts) != 1:
        return path
    return directories().get(str(name), path)
