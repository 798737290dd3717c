"""What a candidate did so far, in counters and times; who judges it is `probation.py`.

Times are seconds of a monotonic clock, latencies milliseconds of the model alone (prepare, infer,
read the outputs).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

WINDOW = 100  # results of which a p99 is taken; it must be too high twice running
FEW = 20  # results that a baseline needs
SOON = 8  # results that say of a median that it is far too high


class Baseline(NamedTuple):
    """What the live model did before; zeros where too little was seen to say."""

    median_ms: float = 0.0
    p99_ms: float = 0.0
    changing: float = 0.0  # share of outputs that differ from the one before


@dataclass(slots=True)
class Outputs:
    """What a model's raw outputs were like."""

    seen: int = 0
    changes: int = 0  # outputs that differ from those before
    repeats: int = 0  # equal ones in a row, now

    def add(self, *, same: bool) -> None:
        self.seen += 1
        self.changes += not same
        self.repeats = self.repeats + 1 if same else 0


@dataclass(slots=True)
class Evidence:
    """What a candidate did so far. One thread writes the counters of its calls."""

    since_s: float
    outputs: Outputs = field(default_factory=Outputs)
    calls: int = 0
    results: int = 0
    errors: int = 0
    errors_in_a_row: int = 0
    last_error: str = ""
    not_finite: int = 0
    busy_s: float = 0.0  # when the call under way began; 0: none is
    unanswered_s: float = 0.0  # when the first call since the last result began; 0: none did
    times: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    timed: int = 0  # calls, since the old model was last timed
    tails: deque[float] = field(default_factory=lambda: deque(maxlen=2))  # p99 of whole windows
    rss_first: int = 0  # bytes
    rss: int = 0
    before_s: float = 0.0  # of this probation in earlier lives of the process
    control: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    control_left: int = 0  # calls that the old model answers, to be timed under today's load
    control_calls: int = 0  # calls before them

    def ask(self, times: Iterable[float] = ()) -> None:
        """Have the old model timed, over as many calls as the doubt needs; or take these times.

        What the candidate took before counts no more.
        """
        self.control.clear()
        self.control.extend(times)
        if not self.control:
            self.control_left = WINDOW if len(self.tails) == 2 else SOON
        self.control_calls = self.calls
        self.times.clear()
        self.tails.clear()
        self.timed = 0

    @property
    def tail_ms(self) -> float:
        """p99 of the last window."""
        return self.tails[-1] if self.tails else percentile(self.times, 0.99)

    def begin(self, now_s: float) -> None:
        """A call of the candidate begins."""
        self.calls += 1
        self.busy_s = now_s
        self.unanswered_s = self.unanswered_s or now_s

    def succeed(self, took_ms: float) -> None:
        """It gave a result."""
        self.results += 1
        self.errors_in_a_row = 0
        self.unanswered_s = 0.0
        self.times.append(took_ms)
        self.timed += 1
        if self.timed % WINDOW == 0:
            self.tails.append(percentile(self.times, 0.99))

    def fail(self, cause: str) -> None:
        """It gave none, of a frame that the live model can use."""
        self.errors += 1
        self.errors_in_a_row += 1
        self.last_error = cause

    def excuse(self) -> None:
        """The frame was at fault."""
        self.calls -= 1
        self.unanswered_s = 0.0


def percentile(values: Iterable[float], share: float) -> float:
    """The value that `share` of them do not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


def baseline(times: Iterable[float], outputs: Outputs) -> Baseline:
    """What to measure a candidate by."""
    known = tuple(times)
    changing = outputs.changes / outputs.seen if outputs.seen >= FEW else 0.0
    if len(known) < FEW:
        return Baseline(changing=changing)
    return Baseline(percentile(known, 0.5), percentile(known, 0.99), changing)
