"""Refuse to judge a model on patients that it learned from."""

from __future__ import annotations

from pathlib import Path

from edge_runtime.errors import ConfigError
from edge_runtime.holter.leak import Training, leaked
from edge_runtime.manifest import MANIFEST
from edge_runtime.tables import read_toml

from .reader import are_records
from .records import find

_NAMED = 10


def refuse_leak(contract: Path, data: str) -> None:
    """Raises ConfigError when WFDB records are of patients that a model was trained on.

    `contract` is the model's manifest or directory, whose `[training] records` names them; `data`
    is what it is to be judged on. Of other data than records nobody knows the patients.
    """
    path = Path(data)
    table = read_toml(contract / MANIFEST if contract.is_dir() else contract)
    if "training" not in table.values or not are_records(path):
        return
    trained = table.child("training").make(Training).records
    found = leaked([record.name for record in find(path)], trained)
    if found:
        listed = ", ".join(found[:_NAMED]) + (", ..." if len(found) > _NAMED else "")
        raise ConfigError(
            f"{data}: the model was trained on patients of {len(found)} of these records "
            f"({listed}: {table.file}, [training]): judge on others, for example by a list of them "
            "in a file RECORDS"
        )
