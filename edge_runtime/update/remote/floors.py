"""What a device has seen, so that it never goes below: versions of roles, and a moment.

TUF forgets with its local files: after a cut that left them empty, python-tuf takes an older
timestamp that is still signed. This floor lies beside them, and a copy within each set.

A floor lasts as long as the keys that signed it: once a root has taken them away, a repository may
count anew. That is how it recovers when a thief counted to 2^31 - 1 (TUF specification 5.3.11).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from edge_runtime import state
from edge_runtime.errors import VerificationError

log = logging.getLogger(__name__)

NAME = "floor.json"

Authority = tuple[frozenset[str], int]  # the keys of a role, and how many of them must sign


@dataclass(frozen=True, slots=True)
class Floor:
    """The highest versions seen, whose keys signed the last two files, and the time proven."""

    root: int = 0
    timestamp: int = 0
    snapshot: int = 0
    targets: int = 0
    timestamp_keys: tuple[str, ...] = ()
    snapshot_keys: tuple[str, ...] = ()
    time: int = 0  # seconds since 1970, UTC

    def above(self, other: Floor) -> Floor:
        """Of both, the one that was kept later: floors only rise, but for keys taken away."""
        return self if (self.root, self.time, self.timestamp) >= other._age() else other

    def _age(self) -> tuple[int, int, int]:
        return (self.root, self.time, self.timestamp)

    def raised(self, seen: Floor, roles: Mapping[str, Authority]) -> Floor:
        """This floor with what was seen. Raises VerificationError("rollback") below it.

        A version of 0 in `seen` was not seen. `roles` is what the newest root says of its roles.
        """
        holds = _holds(self.timestamp_keys, roles["timestamp"])
        holds_targets = holds and _holds(self.snapshot_keys, roles["snapshot"])
        merged = {
            "root": _not_below("root", seen.root, self.root),
            "timestamp": _not_below("timestamp", seen.timestamp, self.timestamp * holds),
            "snapshot": _not_below("snapshot", seen.snapshot, self.snapshot * holds),
            "targets": _not_below("targets", seen.targets, self.targets * holds_targets),
        }
        return Floor(
            **merged,
            timestamp_keys=seen.timestamp_keys or (self.timestamp_keys if holds else ()),
            snapshot_keys=seen.snapshot_keys or (self.snapshot_keys if holds_targets else ()),
            time=max(self.time, seen.time),
        )


def read(path: Path) -> Floor:
    """The floor that was kept there; an empty one where there is none that can be read."""
    try:
        facts = json.loads(path.read_bytes())
        return Floor(
            root=int(facts["root"]),
            timestamp=int(facts["timestamp"]),
            snapshot=int(facts["snapshot"]),
            targets=int(facts["targets"]),
            timestamp_keys=tuple(map(str, facts["timestamp_keys"])),
            snapshot_keys=tuple(map(str, facts["snapshot_keys"])),
            time=int(facts["time"]),
        )
    except FileNotFoundError:
        return Floor()
    except (OSError, ValueError, TypeError, KeyError) as exc:
        log.warning("update: %s: what was seen before is lost here (%s)", path, exc)
        return Floor()


def keep(path: Path, floor: Floor) -> None:
    """Write it whole, or not at all. Raises OSError."""
    state.replace(path, _bytes(floor))


def copy(path: Path, floor: Floor) -> None:
    """Write it into a set that is not live yet, as a new file. Raises OSError."""
    path.unlink(missing_ok=True)
    path.write_bytes(_bytes(floor))


def _bytes(floor: Floor) -> bytes:
    return json.dumps(asdict(floor), indent=1).encode()


def _holds(signed_by: tuple[str, ...], authority: Authority) -> bool:
    keys, threshold = authority
    return len(keys.intersection(signed_by)) >= threshold


def _not_below(role: str, seen: int, floor: int) -> int:
    if 0 < seen < floor:
        raise VerificationError(
            f"{role} is version {seen}, but this device has seen {floor}: an old repository is "
            "played back, or a mirror lags",
            reason="rollback",
        )
    return max(seen, floor)
