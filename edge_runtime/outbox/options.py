"""How much an outbox may hold, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from edge_runtime.errors import BadOptionError

from .row import ROW_BYTES

Durability: TypeAlias = Literal["power", "process", "memory"]

MEMORY_ROWS = 50_000
DISK_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """The table [sink.outbox] of a run file.

    Args:
        durability: what an accepted result survives: "power" a power cut, at the price of a disk
            synchronisation per commit; "process" the end of the process in any way, and of a power
            cut all but the last seconds; "memory" nothing.
        file: its name in the state folder; a second sink of the same pipeline needs another.
        rows: results that wait, at most; 0 is a million on disk, 50,000 in memory.
        disk_mb: room for them on disk.
        memory_mb: memory for those that are not on disk: all of them, or while it fails.
        age_s: those that wait longer in the file are dropped; 0 is never.
        reserve_mb: free room on the disk that is left to others.
        when_full: "drop-oldest"; "reject" keeps what waits and refuses what comes; "auto" rejects
            heart beats and drops the oldest of everything else.
        reject: names of sources whose results are treated as "reject" says, whatever they are.
        confirm: hold each result until a subscriber has confirmed it, not only the broker.
        confirm_s: results that were not confirmed for so long are sent again.
    """

    durability: Durability = "power"
    file: str = "outbox.db"
    rows: int = 0
    disk_mb: float = 256.0
    memory_mb: float = 32.0
    age_s: float = 0.0
    reserve_mb: float = 100.0
    when_full: Literal["auto", "drop-oldest", "reject"] = "auto"
    reject: tuple[str, ...] = ()
    confirm: bool = False
    confirm_s: float = 60.0

    def __post_init__(self) -> None:
        least = {"rows": 0, "age_s": 0, "reserve_mb": 0, "confirm_s": 1}
        for key, limit in least.items():
            if not limit <= getattr(self, key):
                raise BadOptionError(key, f"{getattr(self, key)} is less than {limit}")
        for key in ("disk_mb", "memory_mb"):
            if getattr(self, key) * 1e6 < ROW_BYTES:
                raise BadOptionError(key, "is too small for a single result")

    @property
    def rows_max(self) -> int:
        """Results that may wait."""
        return self.rows or (MEMORY_ROWS if self.durability == "memory" else DISK_ROWS)

    @property
    def bytes_max(self) -> int:
        """What they may weigh, wherever they are."""
        return int(1e6 * (self.memory_mb if self.durability == "memory" else self.disk_mb))

    @property
    def unsaved_max(self) -> int:
        """What may be in memory only, in bytes."""
        return int(1e6 * self.memory_mb)

    def keeps(self, source: str, *, beats: bool) -> bool:
        """Whether a result of this source is refused when there is no room, and the rest kept."""
        rejects = beats if self.when_full == "auto" else self.when_full == "reject"
        return rejects or source in self.reject
