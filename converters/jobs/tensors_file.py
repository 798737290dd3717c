"""Outputs of reference runs in an .npz."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .job import Array


def write(path: Path, outputs: Mapping[str, Array]) -> None:
    """Write arrays of (cases, ...) whole. A batch axis of 1 after the case axis is dropped."""
    arrays = {
        name: array[:, 0] if array.ndim > 1 and array.shape[1] == 1 else array
        for name, array in outputs.items()
    }
    beside = path.with_name(f".{path.name}.part")
    try:
        with beside.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
