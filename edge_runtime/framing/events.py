"""What a parser finds in the bytes of a front end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

TIMEOUT_NS = 500_000_000  # an unfinished packet that is older is given up


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading of every column.

    `elapsed_ns` is time since the first sample, by the device's clock or by counting; `missing`
    says how many samples at least are lost before this one, `restarted` that the device's clock
    began anew.
    """

    counts: tuple[float, ...]
    elapsed_ns: int
    missing: int = 0
    restarted: bool = False


@dataclass(frozen=True, slots=True)
class LeadOff:
    """An electrode is off. `detail` says which, where that is known."""

    detail: str = "an electrode is off"


@dataclass(frozen=True, slots=True)
class Bad:
    """Lines or packets in a row that are no samples, as many as there were at least."""

    count: int
    first: str  # what they look like, for people


@dataclass(frozen=True, slots=True)
class Skipped:
    """What was rightly left out: `reason` is "duplicate", "out-of-order" or "other"."""

    reason: str
    count: int = 1


Event = Sample | LeadOff | Bad | Skipped


class Parser(Protocol):
    """Bytes in, events out.

    `period_ns` is what a sample adds to the time that is counted; it may be set to a measured one.
    For a pause of up to `sure_s` the samples themselves tell whether some are missing.
    """

    period_ns: float
    sure_s: float

    def feed(self, raw: bytes, arrival_ns: int) -> list[Event]:
        """The events that these bytes, which arrived together, complete."""
        ...


def add(events: list[Event], event: Event) -> None:
    """Add an event; bad ones in a row, and skipped ones of one reason, become one."""
    last = events[-1] if events else None
    if isinstance(event, Bad) and isinstance(last, Bad):
        events[-1] = Bad(last.count + event.count, last.first)
    elif isinstance(event, Skipped) and isinstance(last, Skipped) and event.reason == last.reason:
        events[-1] = Skipped(last.reason, last.count + event.count)
    else:
        events.append(event)
