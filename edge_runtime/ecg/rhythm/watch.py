"""Runs the rules over beats and time, and says when, and why, they cannot judge."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from edge_runtime.outcome import Event

from .heartbeat import NOTHING, Condition, Decision, HeartBeat

if TYPE_CHECKING:
    from .heartbeat import Rule

GAP = "gap"
END = "end of the stream"


class Watch:
    """One stream's rules. Beats and conditions come in the order of their times.

    A condition holds from its moment until the next one. Decisions come out in the order of the
    signal, however late `until` is called; a beat that is told after time has passed it is judged
    all the same, except by what has already been said of the time without it.

    Args:
        rules: all of them; a later one may ask an earlier one.
        refused: families that can never judge this stream, and why.
    """

    def __init__(self, rules: Sequence[Rule], refused: Mapping[str, str]) -> None:
        self._rules = [rule for rule in rules if rule.family not in refused]
        self._refused = dict(refused)
        self._ahead: deque[tuple[int, Condition]] = deque()
        self._condition = Condition("bad", "")
        self._silent: dict[str, tuple[int, str]] = {}  # family -> since when it cannot say, why
        self._broken = True
        self._clock_ns: int | None = None

    def condition(self, at_ns: int, condition: Condition) -> None:
        """From `at_ns` on, the signal is such; told before any beat at or after it."""
        later = sum(ahead_ns > at_ns for ahead_ns, _ in self._ahead)
        self._ahead.insert(len(self._ahead) - later, (at_ns, condition))

    def beat(self, beat: HeartBeat) -> list[Decision]:
        made = self.until(beat.at_ns)
        if self._condition.grade == "bad":
            return made
        if self._broken:
            beat, self._broken = beat._replace(rr_s=None), False
        able = [rule for rule in self._rules if self._able(rule.needs)]
        return made + self._marked(d for rule in able for d in rule.beat(beat))

    def until(self, at_ns: int) -> list[Decision]:
        """Time has passed to `at_ns`: every beat before it has been told."""
        made: list[Decision] = []
        while self._ahead and self._ahead[0][0] <= at_ns:
            change_ns, condition = self._ahead.popleft()
            made += self._pass(change_ns)
            made += self._change(change_ns, condition)
        return made + self._pass(at_ns)

    def finish(self, at_ns: int) -> list[Decision]:
        """The stream ends at `at_ns`; what goes on is ended."""
        made = self.until(at_ns)
        ended = (d for rule in self._rules for d in rule.stop(at_ns, END))
        self._condition = Condition("bad", END)
        return made + self._marked(ended)

    def _pass(self, at_ns: int) -> list[Decision]:
        if self._clock_ns is not None and at_ns <= self._clock_ns:
            return []
        self._clock_ns = at_ns
        made = self._marked(d for rule in self._rules for d in rule.until(at_ns))
        return sorted(made, key=_moment)

    def _change(self, at_ns: int, condition: Condition) -> list[Decision]:
        before, self._condition = self._condition, condition
        gap = condition.grade == "bad" and condition.reason == GAP
        made: list[Decision] = []
        for family, reason in self._refused.items():
            made += self._cannot_say(family, at_ns, reason)
        for rule in self._rules:
            was, able = _able(before, rule.needs), self._able(rule.needs)
            if was and not able:
                made += self._marked(rule.stop(at_ns, condition.reason))
            elif able and not was:
                rule.start(at_ns)
            if rule.family and not gap:
                made += self._cannot_say(rule.family, at_ns, "" if able else condition.reason)
        self._broken = self._broken or condition.grade == "bad"
        return made

    def _able(self, needs: str) -> bool:
        return _able(self._condition, needs)

    def _cannot_say(self, family: str, at_ns: int, reason: str) -> Iterator[Decision]:
        """Tell a change: the silence before is over, another one begins."""
        since_ns, known = self._silent.get(family, (at_ns, ""))
        if known == reason:
            return
        if known:
            yield Decision(at_ns, _silence(family, known, since_ns, at_ns))
        if reason:
            yield Decision(at_ns, _silence(family, reason, at_ns, None))
        self._silent[family] = (at_ns, reason)

    def _marked(self, decisions: Iterable[Decision]) -> list[Decision]:
        """With the quality of the signal at the moment."""
        quality = self._condition.quality
        return [d._replace(event=d.event._replace(quality=quality)) for d in decisions]


def _able(condition: Condition, needs: str) -> bool:
    return condition.grade == "good" or (condition.grade == "limited" and needs == "rate")


def _moment(decision: Decision) -> int:
    return decision.at_ns


def _silence(family: str, reason: str, since_ns: int, end_ns: int | None) -> Event:
    return Event(
        name=family,
        phase="cannot-say",
        priority="low",
        rule=f"{family}/1",
        onset_ns=since_ns,
        end_ns=end_ns,
        delay_s=0.0,
        values=NOTHING,
        limits=NOTHING,
        detail=reason,
    )
