"""Beat-by-beat comparison of two sets of annotations, by ANSI/AAMI EC57.

The pairs are those of `bxb` of the WFDB Software Package, version of 2020. Where annotations are
malformed the two may differ: a stretch of flutter or shutdown that never ends lasts to the end of
the record here, in `bxb` only if it is the first one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .ec57 import CLASS_OF, MISSED, NEVER, SHUTDOWN, BeatTable, Mark, Period

# A flutter wave outside a stretch of flutter takes part like a beat, and stands for none.
_LABELS = {**CLASS_OF, "!": MISSED}


def compare(reference: Sequence[Mark], test: Sequence[Mark], period: Period) -> BeatTable:
    """Pair the beats of both; each side's marks are in the order of time."""
    one, other = _Track(reference, period), _Track(test, period)
    counts: Counter[tuple[str, str]] = Counter()
    square, errors = 0, 0
    for expected, found, expected_rr, found_rr in _walk(one, other, period):
        if expected and found and expected + found != "OO":
            counts[expected, found] += 1
        if expected_rr and found_rr:
            square += (expected_rr - found_rr) ** 2
            errors += 1
    return BeatTable(counts, square / period.rate_hz**2, errors, other.shutdown_s(period))


class _Pair(NamedTuple):
    """A reference and a test class, "" for what is not counted, and the intervals there."""

    expected: str
    found: str
    expected_rr: int
    found_rr: int


def _walk(one: _Track, other: _Track, period: Period) -> Iterator[_Pair]:
    """Every pair, in order of time; `one` is the reference."""
    yield from _begin(one, other, period)
    while period.lasts(one.now.sample, other.now.sample):
        expected, found = one.now, other.now
        first, second = (other, one) if found.sample < expected.sample else (one, other)
        if _meet(first, second, period.within):
            yield _Pair(expected.label, found.label, expected.interval, found.interval)
            one.step()
            other.step()
        elif first is one:
            absent = other.absence(expected.sample)
            yield _Pair(expected.label, absent, expected.interval, found.interval)
            one.step()
        else:
            absent = "" if one.flutters(found.sample) else one.absence(found.sample)
            yield _Pair(absent, found.label, expected.interval, found.interval)
            other.step()


def _begin(one: _Track, other: _Track, period: Period) -> Iterator[_Pair]:
    """Go to the first beats that count; the beats about the start may be a pair, or be left out."""
    while one.now.sample < period.start:
        one.step()
    while other.next.sample < period.start:
        other.step()
    expected, found = one.now, other.now
    gap = expected.sample - found.sample
    if gap < abs(expected.sample - other.next.sample) and gap <= period.within:
        yield _Pair(expected.label, found.label, expected.interval, found.interval)
        one.step()
        other.step()
        return
    other.step()
    follower = abs(expected.sample - other.next.sample)
    early = other.now.sample - period.start <= period.within
    if early and follower < abs(expected.sample - other.now.sample):
        other.step()


def _meet(first: _Track, second: _Track, within: int) -> bool:
    """Whether the earlier beat belongs to the later one.

    It does unless its follower is nearer, and the follower is not nearer still to the follower of
    the later one.
    """
    here = second.now.sample - first.now.sample
    there = abs(second.now.sample - first.next.sample)
    followers = abs(second.next.sample - first.next.sample)
    return here <= within and (here < there or followers < there)


class _Beat(NamedTuple):
    sample: int
    label: str  # "" is no beat: the place before the first, and after the last
    interval: int  # from the beat before; 0 when it is not known


class _Span(NamedTuple):
    start: int
    end: int


_END = _Beat(NEVER, "", 0)


class _Track:
    """The beats of one side and where it flutters or is shut down; stands at one of the beats."""

    def __init__(self, marks: Sequence[Mark], period: Period) -> None:
        self._flutter: list[_Span] = []
        self._shutdown: list[_Span] = []
        self._beats = [_Beat(0, "", 0)]
        self._at = 0
        position = 0
        while position < len(marks):
            mark = marks[position]
            position += 1
            if mark.symbol in _LABELS:
                self._add(mark)
            elif mark.symbol == "[":
                position = self._read_flutter(marks, position)
            elif mark.unreadable:
                position = self._read_shutdown(marks, position, period.within)

    @property
    def now(self) -> _Beat:
        return self._beats[self._at] if self._at < len(self._beats) else _END

    @property
    def next(self) -> _Beat:
        return self._beats[self._at + 1] if self._at + 1 < len(self._beats) else _END

    def step(self) -> None:
        self._at += 1

    def flutters(self, sample: int) -> bool:
        return any(span.start <= sample <= span.end for span in self._flutter)

    def absence(self, sample: int) -> str:
        """The pseudo-beat that stands for "nothing here"."""
        shut = any(span.start <= sample <= span.end for span in self._shutdown)
        return SHUTDOWN if shut else MISSED

    def shutdown_s(self, period: Period) -> float:
        """How long this side was shut down; a shutdown without an end lasts to the record's."""
        ends = [
            period.stop or span.start if span.end == NEVER else span.end for span in self._shutdown
        ]
        samples = sum(end - span.start for end, span in zip(ends, self._shutdown, strict=True))
        return samples / period.rate_hz

    def _add(self, mark: Mark) -> None:
        before = self._beats[-1].sample
        broken = any(before <= span.start < mark.sample for span in self._flutter + self._shutdown)
        interval = 0 if broken or not before else mark.sample - before
        self._beats.append(_Beat(mark.sample, _LABELS[mark.symbol], interval))

    def _read_flutter(self, marks: Sequence[Mark], position: int) -> int:
        """Beats inside do not count. Gives the position after the end."""
        start = marks[position - 1].sample
        for at in range(position, len(marks)):
            if marks[at].symbol == "]":
                self._flutter.append(_Span(start, marks[at].sample))
                return at + 1
        self._flutter.append(_Span(start, NEVER))
        return len(marks)

    def _read_shutdown(self, marks: Sequence[Mark], position: int, within: int) -> int:
        """To the next mark of quality; one that stands alone (AHA) covers all between beats."""
        start = marks[position - 1].sample
        if position == len(marks):
            self._shutdown.append(_Span(start, NEVER))
            return position
        following = marks[position]
        if following.symbol == "~" and not following.unreadable:
            self._shutdown.append(_Span(start, following.sample))
            return position + 1
        beat = self._beats[-1].sample
        last = self._flutter[-1].end if self._flutter else -1
        end = following.sample - within
        self._shutdown.append(_Span(min(max(beat, last) + within, end), end))
        return position
