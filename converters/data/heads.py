"""What is known of each head of a network of several.

For a head it is (cases, labels) int8: 1 where a label holds, 0 where it does not, -1 where that is
not known. A head of `report = "best"` has one label of several, any other has any of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import ConfigError
from edge_runtime.frame import Array
from edge_runtime.readout import HeadEntry
from edge_runtime.tables import nearest

from .cases import Sample

PREFIX = "labels/"
UNKNOWN = -1


def take(arrays: dict[str, Array], heads: Sequence[HeadEntry], path: Path) -> dict[str, Array]:
    """Take the arrays `labels/<head>` of an .npz out of `arrays`, and give them by head.

    Raises ConfigError for a head that the model does not have, or what cannot be its labels.
    """
    given = {key: arrays.pop(key) for key in list(arrays) if key.startswith(PREFIX)}
    found = {key.removeprefix(PREFIX): array for key, array in given.items()}
    return _by_head(found, heads, str(path))


def of_case(given: Mapping[str, Any], heads: Sequence[HeadEntry], where: str) -> dict[str, Array]:
    """What a generator says of one case: by head an index, or 0 and 1 for each label."""
    found = {str(name): np.asarray(value)[None] for name, value in given.items()}
    return {name: rows[0] for name, rows in _by_head(found, heads, where).items()}


def gather(samples: Sequence[Sample], heads: Sequence[HeadEntry]) -> dict[str, Array] | None:
    """All heads of all samples, in the order of the manifest; None when nothing is known.

    A sample's `label` is a line of the labels of all heads after each other: it says that one, and
    of a head of which any label may hold nothing of the others.
    """
    found, first = {}, 0
    for head in heads:
        count = len(head.labels)
        rows = np.full((len(samples), count), UNKNOWN, np.int8)
        for row, sample in zip(rows, samples, strict=True):
            if sample.heads and head.name in sample.heads:
                row[:] = sample.heads[head.name]
            elif sample.label is not None and first <= sample.label < first + count:
                row[:] = 0 if head.report == "best" else UNKNOWN
                row[sample.label - first] = 1
        found[head.name] = rows
        first += count
    known = any((rows != UNKNOWN).any() for rows in found.values())
    return found if known else None


def _by_head(
    given: Mapping[str, Array], heads: Sequence[HeadEntry], where: str
) -> dict[str, Array]:
    known = {head.name: head for head in heads}
    for name in given:
        if not known:
            raise ConfigError(f"{where}: labels of a head '{name}', and the model has no [[head]]")
        if name not in known:
            near = nearest(name, list(known))
            hint = f"did you mean '{near}'?" if near else f"it has {', '.join(known)}"
            raise ConfigError(f"{where}: the model has no head '{name}'; {hint}")
    return {name: _rows(known[name], array, where) for name, array in given.items()}


def _rows(head: HeadEntry, given: Array, where: str) -> Array:
    """(cases,) indices, or (cases, labels) of 0 and 1, as (cases, labels) of 1, 0, -1."""
    here, count = f"{where}: labels of head '{head.name}'", len(head.labels)
    if given.dtype.kind not in "biuf":
        raise ConfigError(f"{here}: hold {given.dtype}, not numbers")
    one_of = head.report == "best"
    wide = given[:, None] if given.ndim == 1 and (one_of or count == 1) else given
    if wide.shape != (len(given) if given.ndim else 0, 1 if one_of else count):
        wanted = f"(cases,), an index of its {count}" if one_of else f"(cases, {count}) of 0 and 1"
        raise ConfigError(f"{here}: are {given.shape}, and must be {wanted}")
    values = np.where(np.isnan(wide.astype(np.float64)), UNKNOWN, wide)
    may_be = range(UNKNOWN, count if one_of else 2)
    if (bad := ~np.isin(values, list(may_be))).any():
        row = int(bad.any(axis=1).argmax())
        wanted = f"0 to {count - 1} ({', '.join(head.labels)})" if one_of else "0 or 1"
        raise ConfigError(
            f"{here}: {values[row][bad[row]][0]:g} in case {row}: give {wanted}, and -1 or NaN "
            "where it is not known"
        )
    numbers = values.astype(np.int8)
    if not one_of:
        return numbers
    known = numbers != UNKNOWN
    return np.where(known, numbers == np.arange(count), UNKNOWN).astype(np.int8)
