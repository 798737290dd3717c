"""Refuse to score a model on patients that it was trained on.

A model directory says what it was trained on in its model.toml:

    [training]
    records = ["101", "106"]    # names of the records, whatever their folder
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.manifest import MANIFEST
from edge_runtime.tables import read_toml

from .records import patient_of


@dataclass(frozen=True, slots=True)
class Training:
    """The table [training] of a model.toml."""

    records: tuple[str, ...]


def trained_on(model: Path) -> tuple[str, ...] | None:
    """Records that a model learned from; None when it does not say. Raises ConfigError."""
    path = model / MANIFEST if model.is_dir() else model
    if path.name != MANIFEST:
        return None
    table = read_toml(path)
    if "training" not in table.values:
        return None
    return table.child("training").make(Training).records


def leaked(scored: Iterable[str], training: Sequence[str]) -> list[str]:
    """Which of the scored records are of patients that the model was trained on."""
    patients = {patient_of(record) for record in training}
    return [record for record in scored if patient_of(record) in patients]
