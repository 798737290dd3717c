"""What a counter that wraps says of its samples: lost, repeated, or late."""

from __future__ import annotations

PAUSE_NS = 500_000_000  # arrivals are unsteady by less


class Order:
    """Follows a counter of `modulo` values.

    The counter alone cannot tell a loss of n samples from one of n + modulo; the time of arrival
    can, after a pause. A batch is judged as a whole: what a computer held back comes at once.
    """

    def __init__(self, modulo: int) -> None:
        self._modulo = modulo
        self._back = modulo // 16 if modulo > 16 else 0  # so many behind is late, more is a loss
        self._last: int | None = None
        self._before: int | None = None  # what was last before a jump
        self._arrival_ns = 0

    def steps(self, counters: list[int], arrival_ns: int, period_ns: float) -> list[int]:
        """For each sample how far it is from the one before: 1 follows, 3 means that two are lost.

        0 is a repeat, below 0 out of order: such a sample is no new place to count from.
        """
        first = self._last is None
        steps = [self._step(counter) for counter in counters]
        if steps and not first:
            passed = (arrival_ns - self._arrival_ns) / period_ns
            unseen = passed - sum(step for step in steps if step > 0)
            paused = passed * period_ns >= PAUSE_NS
            wraps = int((unseen + self._modulo / 4) // self._modulo) if paused else 0
            if wraps > 0 and steps[0] <= 0:  # not behind: a turn of the counter ahead
                self._last, self._before = counters[0], None
                steps[1:] = [self._step(counter) for counter in counters[1:]]
            if wraps > 0:
                steps[0] += wraps * self._modulo
        if steps:
            self._arrival_ns = arrival_ns
        return steps

    def _step(self, counter: int) -> int:
        if self._last is None:
            self._last = counter
            return 1
        ahead = (counter - self._last) % self._modulo
        if ahead == 0:
            return 0
        if self._before is not None and counter == (self._before + 2) % self._modulo:
            ahead = 1  # as if the last had been right: a wrong bit in its counter made it jump
        elif ahead >= self._modulo - self._back:
            return ahead - self._modulo
        self._before = self._last if ahead > 1 else None
        self._last = counter
        return ahead
