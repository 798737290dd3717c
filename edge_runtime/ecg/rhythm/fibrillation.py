"""Atrial fibrillation: a score of the last half minute, with hysteresis."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING

from .heartbeat import Decision, Episode, HeartBeat
from .irregularity import features
from .watch import END, GAP

if TYPE_CHECKING:
    from .limits import Limits

# Logistic regression over irregularity.FEATURES, the constant first: benchmarks/ecg_af.py fits it.
WEIGHTS = (-3.7497, 2.2011, -1.0508, 1.3553, -1.9184, 1.2302, -2.231, -0.9377)
_WINDOW_NS = 30_000_000_000
_EVERY = 4  # beats from score to score
_LEAST_CHANGE_S = 0.005  # seconds: what the sampling alone makes
_SURE = 3.0  # gain in log-likelihood that makes a change of rhythm certain


def score(beats: Sequence[HeartBeat]) -> float | None:
    """0..1, how much these beats (of half a minute) look like fibrillation; None: cannot say."""
    measured = features(beats)
    if measured is None:
        return None
    logit = WEIGHTS[0] + math.fsum(w * x for w, x in zip(WEIGHTS[1:], measured, strict=True))
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))


class RunningScore:
    """The score of the last 30 s as it is known at a beat, renewed at every fourth.

    It is 0 until there are enough beats; where nothing can be said it stays as it was.
    """

    def __init__(self) -> None:
        self._beats: deque[HeartBeat] = deque(maxlen=300)
        self._count = 0
        self._score = 0.0

    def beat(self, beat: HeartBeat) -> float:
        self._beats.append(beat)
        while self._beats[0].at_ns < beat.at_ns - _WINDOW_NS:
            self._beats.popleft()
        self._count += 1
        if self._count % _EVERY == 0:
            found = score(self._beats)
            self._score = self._score if found is None else found
        return self._score


class FibrillationRule:
    """`af`: the score of the last 30 s reached `af_enter`, and `af_least_s` have passed.

    It ends when the score is below `af_leave`, or nothing could be judged for 30 s. Onset and end
    are the beats at which the size of the changes between intervals changed most. Supraventricular
    beats inside are counted as `sve_muted`: in fibrillation the class means nothing.
    """

    family = "af"
    needs = "good"

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._least_ns = round(limits.af_least_s * 1e9)
        self._episode = Episode("af/1", "medium")
        self._beats: deque[HeartBeat] = deque(maxlen=300)
        self._count = 0
        self._maybe_ns: int | None = None  # onset of what is not yet long enough
        self._top = 0.0  # score since then
        self._stopped: tuple[int, str] | None = None
        self._early: deque[int] = deque(maxlen=300)  # S beats, while no episode goes on
        self._muted = 0

    @property
    def onset_ns(self) -> int | None:
        """When the fibrillation that goes on began."""
        return self._episode.onset_ns

    def start(self, at_ns: int) -> None:
        del at_ns
        self._stopped = None

    def beat(self, beat: HeartBeat) -> Iterator[Decision]:
        self._beats.append(beat)
        while self._beats[0].at_ns < beat.at_ns - _WINDOW_NS:
            self._beats.popleft()
        self._count_supraventricular(beat)
        self._count += 1
        if self._count % _EVERY == 0:
            found = score(self._beats)
            if found is not None:
                yield from self._judge(beat.at_ns, found)

    def until(self, at_ns: int) -> Iterator[Decision]:
        if self._stopped is None or at_ns < self._stopped[0] + _WINDOW_NS:
            return
        (since_ns, reason), self._stopped = self._stopped, None
        yield from self._over(since_ns + _WINDOW_NS, since_ns, detail=reason)

    def stop(self, at_ns: int, reason: str) -> Iterator[Decision]:
        if reason == END:
            yield from self._over(at_ns, at_ns, detail=reason)
        elif reason != GAP:
            self._stopped = (at_ns, reason)

    def _judge(self, at_ns: int, found: float) -> Iterator[Decision]:
        if found < self._limits.af_leave:
            yield from self._over(at_ns, _turn(self._beats, rising=False), found)
            return
        if self.onset_ns is not None:
            return
        if self._maybe_ns is None and found >= self._limits.af_enter:
            self._maybe_ns, self._top = _turn(self._beats, rising=True), 0.0
        self._top = max(self._top, found)
        if self._maybe_ns is not None and at_ns - self._maybe_ns >= self._least_ns:
            self._muted = sum(early >= self._maybe_ns for early in self._early)
            limits = {"score": self._limits.af_enter, "seconds": self._limits.af_least_s}
            values = {"score": self._top, "seconds": (at_ns - self._maybe_ns) / 1e9}
            yield self._episode.begin(at_ns, self._maybe_ns, values, limits)

    def _over(
        self, at_ns: int, end_ns: int, found: float | None = None, detail: str = ""
    ) -> Iterator[Decision]:
        self._maybe_ns = None
        values = {"sve_muted": float(self._muted)}
        if found is not None:
            values["score"] = found
        if self.onset_ns is not None:
            values["seconds"] = max(end_ns - self.onset_ns, 0) / 1e9
        yield from self._episode.end(at_ns, end_ns, values, detail)

    def _count_supraventricular(self, beat: HeartBeat) -> None:
        if beat.label == "S" and self.onset_ns is None:
            self._early.append(beat.at_ns)
        elif beat.label == "S":
            self._muted += 1


def _turn(beats: Sequence[HeartBeat], *, rising: bool) -> int:
    """When the changes from interval to interval became larger (`rising`) or smaller.

    The maximum-likelihood change point of two exponential distributions; the first beat when
    there is none that is certain.
    """
    pairs = [
        (abs(after.rr_s - before.rr_s), before.at_ns)
        for before, after in pairwise(beats)
        if before.rr_s is not None
        and after.rr_s is not None
        and "V" not in before.label + after.label
    ]
    best, at_ns = _SURE, beats[0].at_ns
    changes = [max(change, _LEAST_CHANGE_S) for change, _ in pairs]
    whole = len(changes) * math.log(fmean(changes)) if changes else 0.0
    for index in range(3, len(changes) - 3):
        early, late = fmean(changes[:index]), fmean(changes[index:])
        gain = whole - index * math.log(early) - (len(changes) - index) * math.log(late)
        if (late > early) is rising and gain > best:
            best, at_ns = gain, pairs[index][1]
    return at_ns
