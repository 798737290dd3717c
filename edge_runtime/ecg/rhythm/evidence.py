"""The strip that goes with an event; and what a strip can say against one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_runtime.outcome import Event

    from .heartbeat import Decision
    from .strip import StripRing

_AFTER_NS = 150_000_000  # after the decision: no beat is told sooner
_FLAT_S = 2.0
_FLAT_MV = 0.005  # no electrode on a body is so quiet, even over a heart that stands still


class Evidence:
    """Adds `seconds` of signal, up to 0.15 s after the decision, to what was decided.

    An asystole on a line without any life is an electrode, so it becomes one that cannot be said,
    reason "flat". Summaries and events that cannot be said get no strip.
    """

    def __init__(self, ring: StripRing, seconds: float, leads: tuple[str, ...]) -> None:
        self._ring, self._seconds, self._leads = ring, seconds, leads
        self._flat = False

    def add(self, decision: Decision, column: int) -> Event:
        """The decision's event with its strip; `column` is the lead that was watched."""
        at_ns, event = decision
        if event.phase == "cannot-say" or event.priority == "information":
            return event
        if event.name == "asystole" and self._without_life(decision, column):
            return event._replace(phase="cannot-say", priority="low", detail="flat", latched=False)
        if not self._seconds:
            return event
        strip = self._ring.strip(at_ns + _AFTER_NS, self._seconds, self._leads)
        return event._replace(evidence=strip)

    def _without_life(self, decision: Decision, column: int) -> bool:
        if decision.event.phase == "onset":
            span_mv = self._ring.span_mv(decision.at_ns, _FLAT_S, column)
            self._flat = span_mv is not None and span_mv < _FLAT_MV
        return self._flat
