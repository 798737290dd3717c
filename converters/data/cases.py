"""Prepared inputs with what is known of them: what calibration and evaluation work on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import ConfigError
from edge_runtime.frame import Array, Placement
from edge_runtime.outcome import Box

Prepared = tuple[Mapping[str, Array], Placement | None]  # one case, without batch axis


@dataclass(frozen=True, slots=True)
class Truth:
    """An object that is in a picture. `index` is a line of the labels, `box` in source pixels.

    A `crowd` is a region of many objects: what is found in it counts neither for nor against.
    """

    index: int
    box: Box
    crowd: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """One case before it is chosen. `load` prepares it, and may raise ConfigError.

    `group` names what it shares with others that are not independent of it: the patient. `heads`
    has a row of 1, 0 or -1 (not known) for each head whose labels are known: see `heads`.
    """

    name: str
    load: Callable[[], Prepared]
    label: int | None = None
    objects: tuple[Truth, ...] | None = None
    group: str = ""
    heads: Mapping[str, Array] | None = None


@dataclass(frozen=True, slots=True)
class Cases:
    """Inputs by name, float32 with a leading case axis and no batch axis, in real values.

    `labels` are lines of the manifest's label file; `objects` are what a detector should find;
    `heads` has for every head of a network of several (cases, labels) of 1, 0 or -1 (not known).
    `total` counts what there was to choose from. `left_out` says what could not be a case and how
    often. `groups` is empty when every case stands for itself.
    """

    spec: str
    inputs: Mapping[str, Array]
    names: tuple[str, ...]
    labels: Array | None = None  # (cases,) int64
    objects: tuple[tuple[Truth, ...], ...] | None = None
    heads: Mapping[str, Array] | None = None
    placements: tuple[Placement | None, ...] = ()
    groups: tuple[str, ...] = ()
    label_names: tuple[str, ...] = ()
    total: int = 0
    seed: int = 0
    balanced: bool = False
    left_out: Mapping[str, int] | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def labelled(self) -> bool:
        """Whether the right answers are known."""
        return any(one is not None for one in (self.labels, self.objects, self.heads))

    def per_class(self) -> dict[str, int]:
        """How many cases each class has, classes without any included; empty without labels.

        Of several heads those count of which something is known: "rhythm: af".
        """
        if self.heads is not None:
            names = iter(self.label_names)
            found: dict[str, int] = {}
            for array in self.heads.values():
                counts = (array == 1).sum(axis=0).tolist()
                of_head = {name: count for count, name in zip(counts, names, strict=False)}
                found |= of_head if (array >= 0).any() else {}
            return found
        if self.labels is None:
            return {}
        counts = Counter(self.labels.tolist())
        named = dict(enumerate(self.label_names)) or {index: str(index) for index in sorted(counts)}
        return {name: counts[index] for index, name in named.items() if name}

    def part(self, rows: Sequence[int]) -> Cases:
        """Some of the cases, in the order of `rows`."""
        chosen = list(rows)
        return replace(
            self,
            inputs={name: array[chosen] for name, array in self.inputs.items()},
            names=tuple(self.names[row] for row in chosen),
            labels=None if self.labels is None else self.labels[chosen],
            objects=None if self.objects is None else tuple(self.objects[row] for row in chosen),
            heads=None
            if self.heads is None
            else {name: array[chosen] for name, array in self.heads.items()},
            placements=tuple(self.placements[row] for row in chosen) if self.placements else (),
            groups=tuple(self.groups[row] for row in chosen) if self.groups else (),
        )

    def facts(self) -> dict[str, Any]:
        """Where the cases are from and which were taken, in plain values."""
        return {
            "source": Path(self.spec).name,
            "cases": len(self),
            "of": self.total,
            "seed": self.seed,
            "balanced": self.balanced,
            "labelled": self.labelled,
            "per_class": self.per_class(),
            "groups": len(set(self.groups)),
            "left_out": dict(self.left_out or {}),
            "names": list(self.names),
        }

    def write(self, path: Path) -> None:
        """The inputs as an .npz, for a conversion in another process. Raises ConfigError."""
        write_arrays(path, self.inputs)


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """An .npz at exactly this path. Raises ConfigError when it cannot be written."""
    try:
        with path.open("wb") as file:
            np.savez(file, **arrays)
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror or exc}") from exc
