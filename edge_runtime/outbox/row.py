"""The values of an outbox: a row, and what one transaction changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .gap import Gap

ROW_BYTES = 250  # what a row weighs beside its payload, in CPython 3.11; more than it does on disk

LIVE_NS = 2_000_000_000  # what leaves later than this after it was accepted is historical


class Row(NamedTuple):
    """One accepted message."""

    id: int  # grows by one from row to row; below zero for a gap record
    key: str  # the result's own id: <run>-<count>
    source: str  # "" for what no source said, an alert
    seq: int
    topic: str
    payload: bytes
    version: str  # of the model that spoke
    timestamp_ns: int  # wall clock, when it was accepted
    keep: bool  # never pushed out; when all is full, it is refused instead
    accepted_ns: int  # monotonic clock; 0 for a row that leaves as historical

    @property
    def weight(self) -> int:
        """Bytes that it counts for."""
        return len(self.payload) + ROW_BYTES


@dataclass(slots=True)
class Batch:
    """What one transaction changes, wholly or not at all."""

    add: list[Row] = field(default_factory=list)
    remove: list[Row] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)  # as they are now: new ones, and grown ones
    dead: list[tuple[Row, str]] = field(default_factory=list)  # refused for good, and why
    alive: bool = False  # forget all those that were

    def __bool__(self) -> bool:
        return bool(self.add or self.remove or self.gaps or self.dead)


def to_row(found: tuple[Any, ...]) -> Row:
    """A row of the table `row`, as a value."""
    return Row._make((*found[:8], bool(found[8]), 0))
