"""What was counted minute by minute, and which supraventricular beats do not count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from .heartbeat import NOTHING, Decision, Episode, HeartBeat


class Fibrillation(Protocol):
    """Whoever knows of atrial fibrillation."""

    @property
    def onset_ns(self) -> int | None:
        """When the one that goes on began; None when there is none."""
        ...


def mute_in_fibrillation(
    beats: Sequence[tuple[int, str]], episodes: Sequence[tuple[int, int]]
) -> tuple[list[str], int]:
    """Labels of (time, label) beats with S made N inside (onset, end) episodes, and how many were.

    An irregular interval is what makes a beat look premature, and in fibrillation all are.
    """
    labels = [
        "N" if label == "S" and any(a <= at <= b for a, b in episodes) else label
        for at, label in beats
    ]
    return labels, sum(new != old for new, (_, old) in zip(labels, beats, strict=True))


class SummaryRule:
    """`summary`: counts of a stretch of `every_s`, whole each time, priority information.

    Values: `beats`, `pvc` and `sve` (beats of class V and S), `sve_muted` (S beats inside atrial
    fibrillation as far as it is known by then; not in `sve`), `unsure`, `pvc_percent`, and
    `rate_bpm` (over all intervals) where there was an interval.
    """

    family = ""
    needs = "rate"

    def __init__(self, every_s: float, fibrillation: Fibrillation) -> None:
        self._every_ns = round(every_s * 1e9)
        self._fibrillation = fibrillation
        self._from_ns: int | None = None
        self._episode = Episode("summary/1", "information")
        self._clear()

    def start(self, at_ns: int) -> None:
        if self._from_ns is None:
            self._from_ns = at_ns

    def beat(self, beat: HeartBeat) -> Iterator[Decision]:
        self._beats.append((beat.at_ns, beat.label))
        if beat.rr_s is not None:
            self._intervals += 1
            self._time_s += beat.rr_s
        yield from ()

    def until(self, at_ns: int) -> Iterator[Decision]:
        if self._from_ns is None or at_ns < self._from_ns + self._every_ns:
            return
        if self._beats:
            yield self._told(self._from_ns, self._from_ns + self._every_ns)
        self._from_ns += (at_ns - self._from_ns) // self._every_ns * self._every_ns
        self._clear()

    def stop(self, at_ns: int, reason: str) -> Iterator[Decision]:
        """The beats so far stay counted."""
        del at_ns, reason
        yield from ()

    def _clear(self) -> None:
        self._beats: list[tuple[int, str]] = []
        self._intervals, self._time_s = 0, 0.0

    def _told(self, from_ns: int, end_ns: int) -> Decision:
        onset_ns = self._fibrillation.onset_ns
        labels, muted = mute_in_fibrillation(
            self._beats, [] if onset_ns is None else [(onset_ns, end_ns)]
        )
        values = {
            "beats": float(len(labels)),
            "pvc": float(labels.count("V")),
            "sve": float(labels.count("S")),
            "sve_muted": float(muted),
            "unsure": float(labels.count("?")),
            "pvc_percent": 100 * labels.count("V") / len(labels),
        }
        if self._time_s > 0:
            values["rate_bpm"] = 60 * self._intervals / self._time_s
        return self._episode.whole(end_ns, from_ns, end_ns, values, NOTHING)
