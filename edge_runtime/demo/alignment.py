"""When a generated signal began, from what is heard of it."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from statistics import median

EARLY_S = 5.0  # an announcement waits for the broker at most this long
LATE_S = 0.05  # clocks and threads
FAR_S = 0.05  # a found R peak further than this from a true one is just wrong


class Alignment:
    """The wall time of sample 0 of a signal whose R peaks are known.

    The pipeline announces its source a moment after opening it; the R peaks that it finds, each
    with its wall time, then say exactly when that was. `start_ns` is None until there is either.

    Args:
        peaks_s: the true R peaks, seconds after sample 0, rising.
    """

    def __init__(self, peaks_s: Sequence[float]) -> None:
        self._peaks_s = peaks_s
        self._announced_ns: int | None = None
        self._found_ns: list[int] = []
        self.start_ns: int | None = None

    def announced(self, time_ns: int) -> None:
        """The source was said to be live."""
        if self._announced_ns is None:
            self._announced_ns = self.start_ns = time_ns
            self._fit()

    def found(self, time_ns: int) -> None:
        """An R peak was found at this wall time; the first dozen settle the matter."""
        if len(self._found_ns) < 12:
            self._found_ns.append(time_ns)
            self._fit()

    def _fit(self) -> None:
        """The start, within reach of the announcement, that puts found peaks on true ones."""
        if self._announced_ns is None or not self._found_ns:
            return
        zero_ns = self._announced_ns
        found_s = [(time_ns - zero_ns) / 1e9 for time_ns in self._found_ns]
        fits = [
            self._fit_at(first_s - peak_s, found_s)
            for first_s in found_s
            for peak_s in self._peaks_s
            if -EARLY_S <= first_s - peak_s <= LATE_S
        ]
        if fits:
            _, before_s = min(fits)
            self.start_ns = zero_ns - round(before_s * 1e9)

    def _fit_at(self, shift_s: float, found_s: Sequence[float]) -> tuple[float, float]:
        """How badly the peaks fit near a shift, in ms, and how long before the announcement it is.

        Intervals differ by a few hundredths of a second from beat to beat: that tells the right
        shift from its neighbours, one beat earlier or later. Of equals the latest is taken.
        """
        away_s = [time_s - shift_s - self._nearest(time_s - shift_s) for time_s in found_s]
        close_s = [value for value in away_s if abs(value) <= FAR_S]
        middle_s = median(close_s) if close_s else 0.0
        cost_s = sum(min(abs(value - middle_s), FAR_S) for value in away_s)
        return round(cost_s * 1000), -(shift_s + middle_s)

    def _nearest(self, time_s: float) -> float:
        after = bisect.bisect(self._peaks_s, time_s)
        return min(self._peaks_s[max(after - 1, 0) : after + 1], key=lambda s: abs(s - time_s))
