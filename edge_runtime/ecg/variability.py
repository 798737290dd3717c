"""Heart rate variability over a window of beats, and how far its figures can be wrong.

SDNN, RMSSD and pNN50 are those of the Task Force of the ESC and NASPE (Circulation 93:1043,
1996): they are made of normal-to-normal intervals, those between two beats that are both normal.

The R times have an error of their own, with standard deviation e from the sampling. An interval
is the difference of two times and has the variance 2 e^2 too much; the change from one interval
to the next, t3 - 2 t2 + t1, has 6 e^2. The mean of n intervals is (last - first) / n.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median, stdev
from typing import NamedTuple

_ROUNDED = 1 / math.sqrt(12)  # standard deviation of a time that is rounded, in samples
_INTERPOLATED = 0.025  # the most of a time from `QrsDetector.find`; docs/ecg.md has the figures
_NEIGHBOURS = 4  # intervals on each side that say what is usual
_UNUSUAL = 0.2  # an interval that differs by more from the usual one is not normal
_LEAST = 3  # normal intervals that make a figure
_LONG_S = 0.05  # of pNN50


class RrBeat(NamedTuple):
    """A beat of the window."""

    time_s: float
    normal: bool = True  # False: ectopic, paced or in noise
    follows: bool = True  # False: the beat before it may be missing, as after a gap


class Variability(NamedTuple):
    """Figures of a window; `..._error` says how much of a figure may come of the sampling.

    `sdnn_error_s` and `rmssd_error_s` are what the sampling has added; those of the mean and of
    pNN50 go both ways: pNN50's is the share of changes too near to 50 ms to say.
    """

    intervals: int  # normal ones
    excluded: int  # others: at an ectopic beat, after a gap, or unusual
    mean_rr_s: float
    sdnn_s: float
    rmssd_s: float | None  # None: no two normal intervals in a row
    pnn50: float | None  # share, 0..1
    mean_rr_error_s: float
    sdnn_error_s: float
    rmssd_error_s: float | None
    pnn50_error: float | None


def r_time_error_s(rate_hz: float, *, interpolated: bool = True) -> float:
    """Standard deviation of an R time that comes of the sampling rate alone, seconds."""
    return (_INTERPOLATED if interpolated else _ROUNDED) / rate_hz


class VariabilityWindow:
    """The beats of the last `seconds`; 300 is what the Task Force calls short-term."""

    def __init__(self, seconds: float = 300.0) -> None:
        self._seconds = seconds
        self._beats: list[RrBeat] = []

    def add(self, beat: RrBeat) -> None:
        """Take a beat; one that was found by looking back may come late."""
        bisect.insort(self._beats, beat, key=lambda held: held.time_s)
        oldest_s = self._beats[-1].time_s - self._seconds
        del self._beats[: bisect.bisect_left(self._beats, oldest_s, key=lambda held: held.time_s)]

    def measure(self, rate_hz: float, *, interpolated: bool = True) -> Variability | None:
        """Of the beats now held; None when fewer than 3 intervals are normal."""
        return variability(self._beats, r_time_error_s(rate_hz, interpolated=interpolated))


def variability(beats: Sequence[RrBeat], time_error_s: float) -> Variability | None:
    """Of beats in the order of time; None when fewer than 3 intervals are normal.

    Besides those at beats that are not normal, intervals that differ by more than a fifth from
    the median of their neighbours are left out: a beat that was missed or found in noise. A
    window of which many are left out, as in atrial fibrillation, says little.
    """
    intervals = normal_intervals(beats)
    kept = [interval for interval in intervals if interval is not None]
    if len(kept) < _LEAST:
        return None
    pairs = pairwise(intervals)
    changes = [b - a for a, b in pairs if a is not None and b is not None]
    sdnn = stdev(kept)
    rmssd = math.sqrt(fmean(change * change for change in changes)) if changes else None
    doubt = 2 * math.sqrt(6) * time_error_s
    near = sum(abs(abs(change) - _LONG_S) < doubt for change in changes)
    return Variability(
        intervals=len(kept),
        excluded=len(intervals) - len(kept),
        mean_rr_s=fmean(kept),
        sdnn_s=sdnn,
        rmssd_s=rmssd,
        pnn50=fmean(abs(change) > _LONG_S for change in changes) if changes else None,
        mean_rr_error_s=math.sqrt(2) * time_error_s / len(kept),
        sdnn_error_s=_added(sdnn, math.sqrt(2) * time_error_s),
        rmssd_error_s=None if rmssd is None else _added(rmssd, math.sqrt(6) * time_error_s),
        pnn50_error=near / len(changes) if changes else None,
    )


def normal_intervals(beats: Sequence[RrBeat]) -> list[float | None]:
    """One entry for each beat but the first: the interval before it, None when not normal."""
    given = [
        after.time_s - before.time_s if before.normal and after.normal and after.follows else None
        for before, after in pairwise(beats)
    ]
    return [
        interval if interval is not None and _is_usual(given, index) else None
        for index, interval in enumerate(given)
    ]


def _is_usual(intervals: Sequence[float | None], index: int) -> bool:
    low = max(0, index - _NEIGHBOURS)
    around = [value for value in intervals[low : index + _NEIGHBOURS + 1] if value is not None]
    usual = median(around)
    return abs((intervals[index] or 0.0) - usual) <= _UNUSUAL * usual


def _added(measured: float, noise: float) -> float:
    """How much smaller it would be without independent noise of this standard deviation."""
    return measured - math.sqrt(max(measured * measured - noise * noise, 0.0))
