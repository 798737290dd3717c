"""What rules take and give: beats in, decisions out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

from edge_runtime.ecg.matching import AAMI
from edge_runtime.frame import Quality
from edge_runtime.outcome import Event

if TYPE_CHECKING:
    from edge_runtime.frame import Signal

_NAMES = {
    "N": "nor normal lbbb rbbb nsr",
    "S": "sveb pac apc apb svpb",
    "V": "veb pvc vpb vpc",
    "F": "fusion",
}
_BY_NAME = {name: letter for letter, names in _NAMES.items() for name in names.split()}
NOTHING: Mapping[str, float] = MappingProxyType({})


class Wave(NamedTuple):
    """The signal of one lead around an R peak."""

    data: Signal  # (samples,) in mV
    peak: int  # index of the R peak
    rate_hz: float


class HeartBeat(NamedTuple):
    """One beat. `label` is N, S, V, F, or "?" for a beat without a sure class."""

    at_ns: int
    rr_s: float | None  # since the beat before; None after a break
    label: str
    wave: Wave | None = None


class Condition(NamedTuple):
    """How far the signal can be trusted from a moment on.

    `grade` is "good", "limited" (for the rate, not for shapes) or "bad"; `reason` says why it is
    not good. The reason "gap" means that samples are missing and nothing else is wrong.
    """

    grade: str
    reason: str = ""
    quality: Quality | None = None


class Decision(NamedTuple):
    """An event, and the moment of the signal that decided it."""

    at_ns: int
    event: Event


def beat_class(label: str) -> str:
    """N, S, V or F for a label of a model (AAMI letter, MIT symbol, or usual name), else "?"."""
    letter = AAMI.get(label) or _BY_NAME.get(label.lower(), "?")
    return "?" if letter == "Q" else letter


class Rule(Protocol):
    """Watches one thing. `needs` is "rate" when limited quality is enough, else "good"."""

    family: str  # rules of a family cannot say together; "" for one that need not say so
    needs: str

    def start(self, at_ns: int) -> None:
        """The signal can be judged from here on."""
        ...

    def beat(self, beat: HeartBeat) -> Iterable[Decision]: ...

    def until(self, at_ns: int) -> Iterable[Decision]:
        """Time has passed to `at_ns`; every beat before it has been told."""
        ...

    def stop(self, at_ns: int, reason: str) -> Iterable[Decision]:
        """The signal cannot be judged from here on: what goes on is ended, counts are broken."""
        ...


class Episode:
    """Something that begins, may go on, and ends."""

    def __init__(self, rule: str, priority: str, *, latched: bool = False) -> None:
        """`rule` is its name and version, "pause/1"."""
        self._rule, self._priority, self._latched = rule, priority, latched
        self._open: Event | None = None

    @property
    def onset_ns(self) -> int | None:
        """When what goes on began; None when nothing does."""
        return self._open.onset_ns if self._open else None

    def begin(
        self, at_ns: int, onset_ns: int, values: Mapping[str, float], limits: Mapping[str, float]
    ) -> Decision:
        """Decided at `at_ns` that it began at `onset_ns`."""
        self._open = Event(
            name=self._rule.partition("/")[0],
            phase="onset",
            priority=self._priority,
            rule=self._rule,
            onset_ns=onset_ns,
            end_ns=None,
            delay_s=(at_ns - onset_ns) / 1e9,
            values=values,
            limits=limits,
            latched=self._latched,
        )
        return Decision(at_ns, self._open)

    def end(
        self, at_ns: int, end_ns: int, values: Mapping[str, float] = NOTHING, detail: str = ""
    ) -> list[Decision]:
        """Decided at `at_ns` that it ended at `end_ns`; nothing when it does not go on."""
        if self._open is None:
            return []
        begun, self._open = self._open, None
        end_ns = max(end_ns, begun.onset_ns)
        event = begun._replace(
            phase="end", end_ns=end_ns, values={**begun.values, **values}, detail=detail
        )
        return [Decision(at_ns, event._replace(delay_s=(at_ns - end_ns) / 1e9))]

    def whole(
        self,
        at_ns: int,
        onset_ns: int,
        end_ns: int,
        values: Mapping[str, float],
        limits: Mapping[str, float],
    ) -> Decision:
        """An event that is over when it is known: one onset that has its end."""
        begun = self.begin(at_ns, onset_ns, values, limits)
        self._open = None
        return begun._replace(event=begun.event._replace(end_ns=end_ns))
