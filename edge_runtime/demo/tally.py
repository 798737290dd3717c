"""Counts what was published against what was heard, and how long it took."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from .hearing import Heard
from .process import Summary


class Tally:
    """What came of the results: how many, which twice, how fast."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._last_seq: dict[str, int] = {}
        self.repeated = 0
        self.skipped = 0  # numbers missing in the row of `seq`
        self.age_ms: list[float] = []  # from what the subscriber saw happen to its reception

    def hear(self, heard: Heard, happened_ns: int) -> bool:
        """Count a result; False for a repeat. `happened_ns`: wall time of what it speaks of."""
        if heard.id in self._ids:
            self.repeated += 1
            return False
        self._ids.add(heard.id)
        self.skipped += max(heard.seq - self._last_seq.get(heard.source, -1) - 1, 0)
        self._last_seq[heard.source] = max(heard.seq, self._last_seq.get(heard.source, -1))
        self.age_ms.append((heard.received_ns - happened_ns) / 1e6)
        return True

    @property
    def received(self) -> int:
        """Different results that came."""
        return len(self._ids)

    def lost(self, summary: Summary | None) -> int | None:
        """Results that the pipeline published and nobody heard; None when it did not say."""
        return None if summary is None else max(summary.results - self.received, 0)


@dataclass(frozen=True, slots=True)
class Percentiles:
    """The middle and the tail of some numbers."""

    p50: float
    p99: float


def percentiles(values: Iterable[float]) -> Percentiles | None:
    """Nearest-rank percentiles: each is one of the values. None when there are none."""
    ordered = sorted(values)
    if not ordered:
        return None
    rank = [max(math.ceil(share * len(ordered)) - 1, 0) for share in (0.5, 0.99)]
    return Percentiles(ordered[rank[0]], ordered[rank[1]])


def milliseconds(values: Iterable[float]) -> str:
    """For example "p50 412 ms, p99 431 ms"."""
    found = percentiles(values)
    if found is None:
        return "-"
    digits = 0 if found.p50 >= 20 else 1 if found.p50 >= 2 else 2
    return f"p50 {found.p50:.{digits}f} ms, p99 {found.p99:.{digits}f} ms"
