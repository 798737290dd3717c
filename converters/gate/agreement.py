"""How far two files say the same: values, and what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edge_runtime.frame import Array
from edge_runtime.outcome import Detection

from ..data.cases import Truth
from .boxes import overlap

_SAME_BOX = 0.5  # overlap at which two boxes are the same object
_PERCENTILE = 99.0


@dataclass(frozen=True, slots=True)
class OutputError:
    """Absolute differences of one output in real values; NaN when either file gives one.

    `span` is the largest minus the smallest value of the first file, to judge them by.
    """

    name: str
    largest: float
    mean: float
    percentile_99: float
    span: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """`same` of `cases` end in the same answer; `differing` are the rows of the others.

    `heads` says in how many each head of a network of several reports the same.
    """

    cases: int
    same: int
    differing: tuple[int, ...]
    outputs: tuple[OutputError, ...]
    heads: Mapping[str, int] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Cases with the same answer, 0 to 1."""
        return self.same / self.cases if self.cases else 0.0

    @property
    def largest_error(self) -> float:
        """Over all outputs; keeps a NaN."""
        return float(np.max([one.largest for one in self.outputs], initial=0.0))


def agree(same: Array, errors: Sequence[OutputError], heads: Mapping[str, int]) -> Agreement:
    """From (cases,) whether each has the same answer, the errors of the outputs, and the heads."""
    rows = np.flatnonzero(~np.asarray(same, bool)).tolist()
    return Agreement(len(same), len(same) - len(rows), tuple(rows), tuple(errors), heads)


def output_error(name: str, first: Array, second: Array) -> OutputError:
    """Compare one output of two files, (cases, ...) each; NaN when the shapes differ."""
    if first.shape != second.shape:
        return OutputError(name, *(float("nan"),) * 4)
    one, other = first.astype(np.float64), second.astype(np.float64)
    error = np.abs(one - other)
    return OutputError(
        name,
        largest=float(error.max(initial=0.0)),
        mean=float(error.mean()) if error.size else 0.0,
        percentile_99=float(np.percentile(error, _PERCENTILE)) if error.size else 0.0,
        span=float(np.ptp(one)) if one.size else 0.0,
    )


def same_top(first: Sequence[Array], second: Sequence[Array]) -> Array:
    """Whether the largest value of every output stands at the same place, (cases,) bool."""
    cases = len(first[0])
    same = np.ones(cases, bool)
    for one, other in zip(first, second, strict=True):
        if one.shape != other.shape:
            return np.zeros(cases, bool)
        tops = [array.reshape(cases, -1).argmax(axis=1) for array in (one, other)]
        same &= tops[0] == tops[1]
    return same


def same_objects(first: Sequence[Detection], second: Sequence[Detection]) -> bool:
    """Whether both found the same: one for one, of the same class, overlapping by half."""
    left = list(second)
    for one in first:
        truth = Truth(one.index, one.box)
        near = [
            (overlap(other.box, truth), place)
            for place, other in enumerate(left)
            if other.index == one.index
        ]
        best, place = max(near, default=(0.0, 0))
        if best < _SAME_BOX:
            return False
        del left[place]
    return not left
