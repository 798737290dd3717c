"""A figure with its 95 % confidence interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edge_runtime.frame import Array

REPLICATES = 1000
LEAST_GROUPS = 10  # fewer patients say next to nothing of the next one
_Z = 1.959964  # of the normal distribution at 97.5 %


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure, the ends of its 95 % interval, and how they were found."""

    value: float
    low: float
    high: float
    method: str

    def percent(self) -> str:
        """The figure and its interval in percent, or in points for a difference."""
        return f"{100 * self.value:.2f} ({100 * self.low:.2f} to {100 * self.high:.2f})"


def wilson(right: int, cases: int) -> Estimate:
    """The share `right / cases` (Wilson 1927, J Am Stat Assoc 22:209). Cases must be above 0."""
    share = right / cases
    square = _Z * _Z / cases
    centre = (share + square / 2) / (1 + square)
    half = _Z * math.sqrt(share * (1 - share) / cases + square / (4 * cases)) / (1 + square)
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Estimate(share, min(share, low), max(share, high), "Wilson")


@dataclass(frozen=True, slots=True)
class Resampling:
    """Seeded bootstrap samples of cases, or of the groups that cases belong to.

    Cases of one patient are alike: where there are ten `groups` or more, whole groups are drawn
    (the cluster bootstrap). The same object draws the same samples each time, so two files that
    are scored with it are compared in pairs (Efron and Tibshirani 1993, An Introduction to the
    Bootstrap, chapter 13).
    """

    cases: int
    groups: Sequence[str] = ()
    seed: int = 0
    replicates: int = REPLICATES

    @property
    def method(self) -> str:
        """How the intervals are made, in words."""
        unit = f"{len(set(self.groups))} groups" if self.grouped else "cases"
        return f"bootstrap over {unit}, {self.replicates} replicates"

    @property
    def grouped(self) -> bool:
        """Whether whole groups are drawn."""
        return len(set(self.groups)) >= LEAST_GROUPS

    def estimate(self, figure: Callable[[Array], float]) -> Estimate:
        """`figure` of all cases, and its percentile interval.

        It is given how often each case counts, (cases,) int64. Replicates that have no figure
        (NaN) are left out.
        """
        value = figure(np.ones(self.cases, np.int64))
        found = np.array([figure(weights) for weights in self._weights()])
        known = found[np.isfinite(found)]
        if not known.size:
            return Estimate(value, math.nan, math.nan, self.method)
        low, high = np.percentile(known, (2.5, 97.5)).tolist()
        return Estimate(value, min(low, value), max(high, value), self.method)

    def _weights(self) -> list[Array]:
        random = np.random.default_rng(self.seed)
        unit = np.arange(self.cases)
        if self.grouped:
            _, unit = np.unique(np.array(self.groups), return_inverse=True)
        units = int(unit.max()) + 1
        equal = np.full(units, 1 / units)
        return [random.multinomial(units, equal)[unit] for _ in range(self.replicates)]
