"""Electrodes that are off, told from the counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

Rule: TypeAlias = Literal["marker", "zeros", "rail"]


class Reading(NamedTuple):
    """A sample with its time; `gap` says that something before it is missing."""

    counts: tuple[float, ...]
    monotonic_ns: int
    gap: bool


class Electrodes:
    """Says from the counts whether electrodes are on.

    Args:
        rule: "zeros": off when every column is 0; "rail": off when one is at or beyond its limits;
            "marker": the front end says it in words, nothing is read from the counts.
        leads: names of the columns.
        limits: lowest and highest count.
        hold: so many samples in a row must look so.

    Samples that look so are held until that is decided, so that none reaches a model first.
    """

    def __init__(
        self, rule: Rule, leads: Sequence[str], limits: tuple[float, float] | None, hold: int
    ) -> None:
        self._leads = leads
        self._low, self._high = limits or (float("-inf"), float("inf"))
        self._hold = hold
        self._suspect = {"zeros": self._zeros, "rail": self._rail, "marker": _never}[rule]
        self._held: list[Reading] = []
        self.off = ""  # what is off; empty when nothing is

    def judge(self, reading: Reading) -> list[Reading]:
        """The readings that are free to go on, this one among them or not."""
        suspicion = self._suspect(reading.counts)
        if not suspicion:
            free, self._held, self.off = [*self._held, reading], [], ""
            return free
        if not self.off:
            self._held.append(reading)
        if len(self._held) >= self._hold:
            self._held, self.off = [], suspicion
        return []

    def _zeros(self, counts: tuple[float, ...]) -> str:
        return "" if any(counts) else "an electrode is off: the front end sends zeros"

    def _rail(self, counts: tuple[float, ...]) -> str:
        off = [
            lead
            for lead, count in zip(self._leads, counts, strict=True)
            if not self._low < count < self._high
        ]
        return f"an electrode is off: {', '.join(off)} at the end of its range" if off else ""


def _never(counts: tuple[float, ...]) -> str:
    del counts
    return ""
