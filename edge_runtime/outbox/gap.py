"""Gap records: what is told of results that were let go before they were delivered."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from .row import Row

# full: pushed out; age: too old; disk: no room on it; refused: by the broker, for good (it lies
# with the dead letters); rejected: not accepted, for its stream keeps what it has.
Reason: TypeAlias = Literal["full", "age", "disk", "refused", "rejected"]

RIPEN_NS = 1_000_000_000  # a gap that still grows is told at most this often


class Gap(NamedTuple):
    """Results of one source and one run that were let go for one reason."""

    id: int  # unique for ever: wall nanoseconds at its opening
    source: str
    run: str
    reason: str
    first_seq: int
    last_seq: int
    count: int  # type: ignore[assignment] # may be less than the span: others between them were delivered
    first_ns: int  # wall clock, when the first and the last of them were accepted
    last_ns: int


class Gaps:
    """The gaps that still grow, each until it is taken to be told."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str, str], Gap] = {}
        self._changed: set[tuple[str, str, str]] = set()
        self._opened_ns = 0
        self._last_id = 0

    def __len__(self) -> int:
        return len(self._open)

    @property
    def is_changed(self) -> bool:
        """Whether there is something to save."""
        return bool(self._changed)

    @property
    def ripe(self) -> bool:
        """Whether `take` would give something."""
        return bool(self._open) and time.monotonic_ns() - self._opened_ns >= RIPEN_NS

    def note(self, row: Row, reason: Reason) -> None:
        """A row is let go."""
        if not row.source:  # an alert or a gap record
            return
        key = (row.source, row.key.rpartition("-")[0], reason)
        gap = self._open.get(key)
        if gap is None:
            self._opened_ns = self._opened_ns if self._open else time.monotonic_ns()
            self._last_id = max(self._last_id + 1, time.time_ns())
            gap = Gap(self._last_id, *key, row.seq, row.seq, 0, row.timestamp_ns, row.timestamp_ns)
        self._open[key] = gap._replace(
            first_seq=min(gap.first_seq, row.seq),
            last_seq=max(gap.last_seq, row.seq),
            count=gap.count + 1,
            first_ns=min(gap.first_ns, row.timestamp_ns),
            last_ns=max(gap.last_ns, row.timestamp_ns),
        )
        self._changed.add(key)

    def restore(self, gaps: list[Gap]) -> None:
        """Those that an earlier process saved and could not tell."""
        for gap in gaps:
            self._open[gap.source, gap.run, f"{gap.reason} {gap.id}"] = gap

    def changed(self) -> list[Gap]:
        """Those to save; they count as saved."""
        changed = [self._open[key] for key in self._changed if key in self._open]
        self._changed.clear()
        return changed

    def unsaved(self, gaps: list[Gap]) -> None:
        """These could not be saved after all."""
        saved_in_vain = {gap.id for gap in gaps}
        self._changed |= {key for key, gap in self._open.items() if gap.id in saved_in_vain}

    def take(self) -> list[Gap]:
        """All of them, to be told, once the oldest has had its time to grow."""
        if not self.ripe:
            return []
        taken = list(self._open.values())
        self._open.clear()
        return taken
