"""What is known of a beat from the beats before it: intervals, and the patient's own template."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from edge_runtime.frame import Signal

RR_FEATURES = (
    "interval to the beat before, s",
    "usual interval (median of the last 16), s",
    "interval / usual",
    "interval before / usual",
    "the one before that / usual",
    "interval / mean of the 4 before",
    "median change from one interval to the next / usual, last 16",
    "mean distance from usual / usual, last 32",
)
_TOP = 2.0  # every feature is limited to 0..2
_USUAL_S = 0.8  # taken for what is not known yet
_SLOW_S = 1.2


@dataclass(frozen=True, slots=True)
class Interval:
    """The rhythm as it is known at a beat: nothing after the beat counts."""

    rr_s: float | None  # None for the first beat
    rate_bpm: float | None
    features: Signal  # (8,) float32, see RR_FEATURES


class Rhythm:
    """Follows the intervals between the beats of one stream."""

    def __init__(self) -> None:
        self._last_s: float | None = None
        self._intervals: deque[float] = deque(maxlen=32)

    def beat(self, time_s: float) -> Interval:
        """Take the next beat; `time_s` is that of its R peak, on any clock."""
        rr_s = None if self._last_s is None else time_s - self._last_s
        self._last_s = time_s
        features = _features(rr_s, list(self._intervals))
        if rr_s is not None:
            self._intervals.append(rr_s)
        return Interval(rr_s, _rate_bpm(list(self._intervals)), features)


class Template:
    """The running median of the last beats: what this patient's beats look like.

    Args:
        length: samples of a beat.
        memory: beats in the median.
    """

    def __init__(self, length: int, memory: int) -> None:
        self._ring = np.zeros((memory, length), np.float32)
        self._count = 0

    def add(self, beat: Signal) -> Signal:
        """Take (length,) and give the median of it and the beats before it, (length,)."""
        self._ring[self._count % len(self._ring)] = beat
        self._count += 1
        held = self._ring[: self._count]
        return np.asarray(np.median(held, axis=0), np.float32)


def _features(rr_s: float | None, past: Sequence[float]) -> Signal:
    usual = median(past[-16:]) if past else (rr_s or _USUAL_S)
    one = rr_s or usual
    two = past[-1] if past else usual
    three = past[-2] if len(past) > 1 else usual
    recent = past[-16:]
    changes = [abs(after - before) for before, after in pairwise(recent)]
    distances = [abs(interval - usual) for interval in past]
    values = (
        one,
        usual,
        one / usual,
        two / usual,
        three / usual,
        one / (fmean(past[-4:]) if past else usual),
        median(changes) / usual if changes else 0.0,
        fmean(distances) / usual if distances else 0.0,
    )
    return np.clip(np.asarray(values, np.float32), 0.0, _TOP)


def _rate_bpm(intervals: Sequence[float]) -> float | None:
    """The mean of the last 12 intervals, or of the last 4 when the last 3 are slow.

    That is what bedside monitors state in their manuals.
    """
    if not intervals:
        return None
    slow = len(intervals) > 2 and min(intervals[-3:]) > _SLOW_S
    return 60.0 / fmean(intervals[-4:] if slow else intervals[-12:])
