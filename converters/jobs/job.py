"""What a job is given and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Facts = dict[str, Any]  # plain values that JSON can say
Array = NDArray[Any]


class JobError(Exception):
    """Why a job cannot be done, in one line: what, which layer or file, and the way out."""


class MisfitError(JobError):
    """The inputs are not those of the model: what describes them, the contract, is to be mended."""


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work on one model.

    `source` is what is converted, `out` the file to write. `cases` is an .npz of real inputs:
    one array for each input of the source, under its name, with a leading case axis and without
    a batch axis. `progress(done, total, what)` may be called as often as one likes.
    """

    source: Path
    out: Path
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    cases: Path | None = None
    progress: Callable[[int, int, str], None] = lambda done, total, what: None  # noqa: ARG005


def read_cases(path: Path) -> dict[str, Array]:
    """The arrays of an .npz by input name. Raises JobError when they are not equally long."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    if len({len(array) for array in arrays.values()}) != 1:
        raise JobError(f"{path}: the inputs have not equally many cases, or there is none")
    return arrays


def by_name(cases: dict[str, Array], names: list[str]) -> dict[str, Array]:
    """The cases under the source's own input names, in its order.

    A key that is a number is a position among `names`. Raises MisfitError when they do not fit.
    """
    found = {
        names[int(k)] if k.isdigit() and int(k) < len(names) else k: a for k, a in cases.items()
    }
    if set(found) != set(names):
        raise MisfitError(
            f"the cases are for {', '.join(cases)}; the model takes {', '.join(names)}: name its "
            'inputs so in the contract, or by position ("0", "1")'
        )
    return {name: found[name] for name in names}
