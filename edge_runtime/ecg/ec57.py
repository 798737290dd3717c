"""What ANSI/AAMI EC57 counts when beats are compared with a reference, and what it derives.

The definitions are those of the programs `bxb` and `rxr` of the WFDB Software Package, which the
standard names. See `ec57_pairs` for the beat-by-beat and `ec57_runs` for the run-by-run comparison.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

MATCH_S = 0.150  # EC57: beats farther apart are not the same
LEARN_S = 300.0  # EC57: the first five minutes are not scored
CLASSES = "NSVFQ"
MISSED, SHUTDOWN = "O", "X"  # pseudo-beats: no beat here, and no beat for one side was shut down

# Symbol of a beat -> its class. Escape beats ("e", "j", "n") are S here; de Chazal 2004 has two
# of them in N. Paced beats are Q, so that records with them can be compared at all.
CLASS_OF = {
    **dict.fromkeys("NLRB", "N"),
    **dict.fromkeys("aAJSejn", "S"),
    **dict.fromkeys("VEr", "V"),
    "F": "F",
    **dict.fromkeys("Q/f?", "Q"),
}

NEVER = 1 << 62  # a sample that no record has
_UNREADABLE = 0x30  # both bits of the subtype of "~": neither signal can be read


class Mark(NamedTuple):
    """One annotation: where it stands and what it says."""

    sample: int
    symbol: str
    subtype: int = 0
    aux: str = ""

    @property
    def unreadable(self) -> bool:
        """Whether no signal can be read from here on: the start of a shutdown."""
        return self.symbol == "~" and self.subtype & _UNREADABLE == _UNREADABLE


class Ratio(NamedTuple):
    """A share of a count."""

    part: int
    whole: int

    @property
    def percent(self) -> float | None:
        """None where there was nothing to count."""
        return 100 * self.part / self.whole if self.whole else None


@dataclass(frozen=True, slots=True)
class BeatTable:
    """How often a reference class met a test class, "O" and "X" standing for no beat.

    `rr_errors` are counted at every pair whose two intervals are known; `rr_square_s2` is the sum
    of their squares. `shutdown_s` is how long the test side was shut down.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    rr_square_s2: float = 0.0
    rr_errors: int = 0
    shutdown_s: float = 0.0

    def __add__(self, other: BeatTable) -> BeatTable:
        return BeatTable(
            self.counts + other.counts,
            self.rr_square_s2 + other.rr_square_s2,
            self.rr_errors + other.rr_errors,
            self.shutdown_s + other.shutdown_s,
        )

    def total(self, references: str, tests: str) -> int:
        """Pairs of any of these reference classes with any of these test classes."""
        return sum(self.counts[reference, test] for reference in references for test in tests)

    @property
    def rr_error_ms(self) -> float | None:
        """Root mean square difference of paired intervals."""
        return 1e3 * math.sqrt(self.rr_square_s2 / self.rr_errors) if self.rr_errors else None

    def qrs_sensitivity(self) -> Ratio:
        found = self.total(CLASSES, CLASSES)
        return Ratio(found, found + self.total(CLASSES, "OX"))

    def qrs_predictivity(self) -> Ratio:
        found = self.total(CLASSES, CLASSES)
        return Ratio(found, found + self.total("OX", CLASSES))

    def veb_sensitivity(self) -> Ratio:
        return Ratio(self.total("V", "V"), self.total("V", "NSVFQOX"))

    def veb_predictivity(self) -> Ratio:
        """F and Q beats that were called V are neither right nor wrong."""
        return Ratio(self.total("V", "V"), self.total("NSVOX", "V"))

    def veb_false_positive_rate(self) -> Ratio:
        false = self.total("NSOX", "V")
        return Ratio(false, false + self.total("NSFQOX", "NSFQ"))

    def sveb_sensitivity(self) -> Ratio:
        return Ratio(self.total("S", "S"), self.total("S", "NSVFQOX"))

    def sveb_predictivity(self) -> Ratio:
        """Q beats that were called S are neither right nor wrong."""
        return Ratio(self.total("S", "S"), self.total("NSVFOX", "S"))


MEASURES: dict[str, Callable[[BeatTable], Ratio]] = {
    "QRS Se": BeatTable.qrs_sensitivity,
    "QRS +P": BeatTable.qrs_predictivity,
    "VEB Se": BeatTable.veb_sensitivity,
    "VEB +P": BeatTable.veb_predictivity,
    "VEB FPR": BeatTable.veb_false_positive_rate,
    "SVEB Se": BeatTable.sveb_sensitivity,
    "SVEB +P": BeatTable.sveb_predictivity,
}


def average(ratios: Iterable[Ratio]) -> float | None:
    """The mean of the percentages that are defined; None when none is."""
    known = [ratio.percent for ratio in ratios if ratio.percent is not None]
    return sum(known) / len(known) if known else None


@dataclass(frozen=True, slots=True)
class Period:
    """The part of a record that is scored, in samples; `stop` is None when it has no known end."""

    start: int
    stop: int | None
    within: int  # the match window
    rate_hz: float

    @classmethod
    def of(cls, rate_hz: float, samples: int | None, start_s: float = LEARN_S) -> Period:
        within = math.floor(MATCH_S * rate_hz + 0.5)
        return cls(math.floor(start_s * rate_hz + 0.5), samples, within, rate_hz)

    def lasts(self, reference: int, test: int) -> bool:
        """Whether there is still something to compare at these two beats."""
        if self.stop is None:
            return reference != NEVER
        return reference <= self.stop or test <= self.stop
