"""What a repository says and until when, for a person and for a program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from edge_runtime.update.release import Release

from .keys import OFFLINE, ROLES
from .publish import TARGETS_MAX, lifetime
from .repository import TARGETS, Repository, bundle_path, has_bundle

SOON = 4  # the last quarter of a life
FULL = 0.8  # of what clients take
REMEDY = {
    "root": "edge-release refresh --root",
    "targets": "edge-release refresh --targets",
    "snapshot": "edge-release refresh",
    "timestamp": "edge-release refresh",
}


@dataclass(frozen=True, slots=True)
class Expiry:
    """Of one role. `seconds` are left, below zero when it ended; `days` is its whole life."""

    role: str
    version: int
    expires: datetime
    seconds: int
    days: int

    @property
    def soon(self) -> bool:
        return self.seconds < self.days * 86_400 / SOON


@dataclass(frozen=True, slots=True)
class Status:
    """All that is told; `faults` stop clients now, `warnings` will."""

    releases: tuple[Release, ...]
    expiries: tuple[Expiry, ...]
    faults: tuple[str, ...]
    warnings: tuple[str, ...]

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        expiries = [
            {**asdict(entry), "expires": f"{entry.expires:%Y-%m-%dT%H:%M:%SZ}"}
            for entry in self.expiries
        ]
        return {
            "releases": [asdict(release) for release in self.releases],
            "expiries": expiries,
            "faults": self.faults,
            "warnings": self.warnings,
        }


def look(seen: Repository, now: datetime) -> Status:
    """Expiries, and whether every bundle lies where clients will ask for it."""
    releases = seen.releases()
    expiries = tuple(_expiry(seen, role, now) for role in ROLES)
    ended = [entry for entry in expiries if entry.seconds <= 0]
    faults = [f"{e.role} ended {_days(-e.seconds)} ago: {REMEDY[e.role]}" for e in ended]
    if seen.cut_off:
        faults.append(f"a new root is published without the timestamp: {REMEDY['timestamp']}")
    warnings = (*_warnings(seen, expiries), *_left(seen, releases))
    return Status(releases, expiries, (*faults, *_bundles(seen, releases)), warnings)


def _expiry(seen: Repository, role: str, now: datetime) -> Expiry:
    found = getattr(seen, role)
    expires = found.signed.expires
    expires = expires if expires.tzinfo else expires.replace(tzinfo=timezone.utc)
    left = int((expires - now).total_seconds())
    return Expiry(role, found.signed.version, expires, left, lifetime(found))


def _bundles(seen: Repository, releases: Sequence[Release]) -> Iterator[str]:
    for release in releases:
        if not has_bundle(seen.folder, release):
            path = bundle_path(seen.folder, release)
            called = f"{release.name} {release.version}"
            yield f"{called}: {path} is missing or cut short; add its directory again"


def _warnings(seen: Repository, expiries: Sequence[Expiry]) -> Iterator[str]:
    for entry in expiries:
        if entry.soon and entry.seconds > 0:
            keys = f", with the {entry.role} key" if entry.role in OFFLINE else ""
            yield f"{entry.role} ends in {_days(entry.seconds)}: {REMEDY[entry.role]}{keys}"
    if seen.length > TARGETS_MAX * FULL:
        yield (
            f"targets.json has {seen.length} of the {TARGETS_MAX} bytes that clients take: "
            "edge-release remove what no device needs any more"
        )


def _left(seen: Repository, releases: Sequence[Release]) -> Iterator[str]:
    """Bundles of an `add` or a `remove` that was cut off."""
    named = {bundle_path(seen.folder, release) for release in releases}
    for path in sorted((seen.folder / TARGETS).glob("*/*.tar")):
        if path not in named:
            yield f"{path} belongs to no release: add its directory again, or delete it"


def _days(seconds: int) -> str:
    return f"{seconds / 86_400:.1f} days"
