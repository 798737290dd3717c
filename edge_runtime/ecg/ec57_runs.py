"""Run-by-run comparison of two sets of annotations, by ANSI/AAMI EC57.

Couplets, short runs (3 to 5 beats) and long runs (6 and more) of ventricular or supraventricular
ectopic beats. Each run of one side is held against the longest run that the other side has in the
same stretch; flutter counts as a long ventricular run, fibrillation of the atria as a long
supraventricular one. The rules are those of `rxr` of the WFDB Software Package, version of 2020.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .ec57 import CLASS_OF, NEVER, Mark, Period, Ratio

_LONG = 6  # longer runs are counted as this
_ANY = range(_LONG + 1)


class Kind(NamedTuple):
    """What a run is made of; a bracket opens and closes an episode that counts as a long run."""

    members: str
    others: str  # ectopic beats of the other kind end a run
    opens: str
    closes: str
    foreign: str  # an episode of the other kind


VENTRICULAR = Kind("VF", "S", "[", "]", "{")
SUPRAVENTRICULAR = Kind("S", "VF", "{", "}", "[")


@dataclass(frozen=True, slots=True)
class RunTable:
    """How often a run of one length met one of another: (reference length, test length).

    In `sensitivity` the runs are the reference's, in `predictivity` the test's.
    """

    sensitivity: Counter[tuple[int, int]] = field(default_factory=Counter)
    predictivity: Counter[tuple[int, int]] = field(default_factory=Counter)

    def __add__(self, other: RunTable) -> RunTable:
        return RunTable(
            self.sensitivity + other.sensitivity, self.predictivity + other.predictivity
        )

    def sensitive(self, lengths: range) -> Ratio:
        """Reference runs of these lengths that the test found to be at least as many."""
        found = _sum(self.sensitivity, lengths, range(lengths.start, _LONG + 1))
        return Ratio(found, _sum(self.sensitivity, lengths, _ANY))

    def predictive(self, lengths: range) -> Ratio:
        """Test runs of these lengths where the reference has at least as many."""
        right = _sum(self.predictivity, range(lengths.start, _LONG + 1), lengths)
        return Ratio(right, _sum(self.predictivity, _ANY, lengths))


_COUPLET, _SHORT, _LONG_RUN = range(2, 3), range(3, 6), range(6, 7)
RUN_MEASURES: dict[str, Callable[[RunTable], Ratio]] = {
    "couplet Se": lambda table: table.sensitive(_COUPLET),
    "couplet +P": lambda table: table.predictive(_COUPLET),
    "short run Se": lambda table: table.sensitive(_SHORT),
    "short run +P": lambda table: table.predictive(_SHORT),
    "long run Se": lambda table: table.sensitive(_LONG_RUN),
    "long run +P": lambda table: table.predictive(_LONG_RUN),
}


def compare_runs(
    reference: Sequence[Mark], test: Sequence[Mark], period: Period, kind: Kind
) -> RunTable:
    """Hold the runs of both against each other; each side's marks are in the order of time."""
    sensitivity = Counter(_runs(reference, test, period, kind))
    turned = _runs(test, reference, period, kind)
    return RunTable(sensitivity, Counter((other, own) for own, other in turned))


def _sum(counts: Counter[tuple[int, int]], references: range, tests: range) -> int:
    return sum(counts[reference, test] for reference in references for test in tests)


def _runs(
    own: Sequence[Mark], other: Sequence[Mark], period: Period, kind: Kind
) -> Iterator[tuple[int, int]]:
    """(length, longest length on the other side) of each run of `own` after the start."""
    reader, search = _Reader(own), _Search(other, kind)
    length = reader.skip_to(period.start, kind)
    if length is None:
        return
    begin, end = (period.start + sign * period.within if length else 0 for sign in (-1, 1))
    while period.stop is None or reader.now.sample <= period.stop:
        label, sample = reader.label(), reader.now.sample
        if not length and label in (*kind.members, kind.opens):
            length = _LONG if label == kind.opens else 1
            begin = sample - period.within
            end = end if label == kind.opens else sample + period.within
        elif length and label in (*kind.members, kind.closes):
            length = length if label == kind.closes else min(length + 1, _LONG)
            end = sample + period.within
        elif length and label in (*"NQU", *kind.others):
            yield length, search.longest(begin, end)
            length = 0
        if not reader.step():
            if not length:
                return
            reader.now = Mark(sample, "Q")  # the last mark ends a run that is still open


class _Search:
    """Looks for the longest run in stretches of one side, each later than the one before."""

    def __init__(self, marks: Sequence[Mark], kind: Kind) -> None:
        self._reader, self._kind = _Reader(marks), kind
        self._breaks = (*"NQU", *kind.others, kind.foreign)
        self._episode_end = 0
        self._over = False

    def longest(self, begin: int, end: int) -> int:
        """The longest run of members from `begin` to `end`, both included."""
        if self._episode_end > begin:
            return _LONG
        while not self._over and self._reader.now.sample < begin:
            if self._reader.label() == self._kind.opens and self._skip_episode() > begin:
                return _LONG
            self._over = not self._reader.step()
        return self._count(end)

    def _count(self, end: int) -> int:
        best = length = 0
        while not self._over and self._reader.now.sample <= end:
            label = self._reader.label()
            if label in (*self._kind.members,):
                length = min(length + 1, _LONG)
            elif label in self._breaks:
                best, length = max(best, length), 0
            elif label == self._kind.opens:
                self._skip_episode()
                return _LONG
            self._over = not self._reader.step()
        return max(best, length)

    def _skip_episode(self) -> int:
        """Go to the end of the episode that begins here; gives where that is."""
        self._episode_end = NEVER
        while self._reader.step():
            if self._reader.label() in (self._kind.closes, self._kind.foreign, "U"):
                self._episode_end = self._reader.now.sample
                break
        return self._episode_end


class _Reader:
    """The marks of one side. A label depends on the marks before, and is asked for once each.

    Labels are a class; "[" and "]" for ventricular flutter, "{" and "}" for atrial fibrillation;
    "U" where the signals become unreadable; "O" for what does not matter. A normal beat in atrial
    fibrillation is S.
    """

    def __init__(self, marks: Sequence[Mark]) -> None:
        self._marks = iter(marks)
        self.now = Mark(0, "")  # stands before the first
        self._episode = ""  # the bracket that is open
        self._unreadable = False

    def step(self) -> bool:
        """Go to the next mark; False when there is none."""
        following = next(self._marks, None)
        if following is not None:
            self.now = following
        return following is not None

    def skip_to(self, start: int, kind: Kind) -> int | None:
        """Go to the first mark at or after `start`; the length of the run there, if any.

        None when there is no such mark and no run is open.
        """
        length = None
        while self.step():
            if self.now.sample >= start:
                return length or 0
            label = self.label()
            if label == kind.opens:
                length = _LONG
            elif label in ("]", "}"):
                length = 0
        return length

    def label(self) -> str:
        symbol = self.now.symbol
        if symbol in CLASS_OF:
            known = CLASS_OF[symbol]
            return "S" if known == "N" and self._episode == "{" else known
        if symbol == "~":
            before, self._unreadable = self._unreadable, self.now.unreadable
            return "U" if self._unreadable and not before else "O"
        if symbol == "[" or (symbol == "+" and self.now.aux.startswith("(VF")):
            return self._open("[")
        if symbol == "+" and self.now.aux.startswith("(AF"):
            return self._open("{")
        if symbol == "]" or (symbol == "+" and self.now.aux):
            return self._close(only="[" if symbol == "]" else "[{")
        return "O"

    def _open(self, bracket: str) -> str:
        before, self._episode = self._episode, bracket
        return "O" if before == bracket else bracket

    def _close(self, *, only: str) -> str:
        if not self._episode or self._episode not in only:
            return "O"
        before, self._episode = self._episode, ""
        return "]" if before == "[" else "}"
