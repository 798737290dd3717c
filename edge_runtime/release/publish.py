"""Sign the next version of a repository's metadata and put it in place, the timestamp last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import ConfigError, UpdateError, VerificationError

from . import files
from .keys import Keys
from .repository import COUNTERS_KEY, METADATA, NEXT, TIMESTAMP, Repository, signed_by

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner
    from tuf.api.metadata import Metadata, Root

DAYS = {"root": 365, "targets": 90, "snapshot": 7, "timestamp": 7}
DAYS_KEY = "x-edge-run-days"  # in each role's metadata, so that the next one lives as long
TARGETS_MAX = 5_000_000  # bytes that python-tuf's client takes
KEPT = 10  # older versions of a file stay for clients that are reading, and for slow caches


@dataclass(frozen=True, slots=True)
class Change:
    """What is new. `targets`: signed parts to become the next targets.json; `counters`: those that
    it no longer shows; `root`: a signed successor; `days`: how long roles live from now on.
    """

    targets: Mapping[str, Any] | None = None
    counters: Mapping[str, int] = field(default_factory=dict)
    root: Metadata[Root] | None = None
    days: Mapping[str, int] = field(default_factory=dict)


def publish(seen: Repository, change: Change, keys: Keys, now: datetime) -> None:
    """Write the next targets.json (when it changes), snapshot, timestamp, in that order.

    A changed role is signed by its old key too where that is at hand: then the files suit the old
    root and the new one, and the new root comes last. Without the old key clients fail for the
    moment between two renames, and try again; the timestamp of after lies there before, so that
    a run that is cut off between the two can be gone on from.

    Raises ConfigError (keys), VerificationError (would not verify), OSError; nothing is seen then.
    """
    _check_clock(seen, now)
    root = change.root or seen.root
    judges = (seen.root, root)
    fresh: dict[str, bytes] = {}
    snapshot = _next(seen.snapshot, change, now)
    timestamp = _next(seen.timestamp, change, now)
    targets = seen.targets
    if change.targets is not None or not signed_by(root, "targets", targets):
        targets = _next(seen.targets, change, now)
        if change.targets is not None:
            targets.signed.targets = dict(change.targets)
        if change.counters:
            targets.signed.unrecognized_fields[COUNTERS_KEY] = dict(change.counters)
        content = _signed("targets", targets, judges, keys)
        if len(content) > TARGETS_MAX:
            raise UpdateError(
                f"targets.json would have {len(content)} bytes, clients take {TARGETS_MAX}: "
                "edge-release remove what no device needs any more",
                reason="oversize",
            )
        fresh[f"{targets.signed.version}.targets.json"] = content
        snapshot.signed.meta["targets.json"] = _meta(targets.signed.version, content)
    content = _signed("snapshot", snapshot, judges, keys)
    fresh[f"{snapshot.signed.version}.snapshot.json"] = content
    timestamp.signed.snapshot_meta = _meta(snapshot.signed.version, content)
    fresh[TIMESTAMP] = _signed("timestamp", timestamp, judges, keys)
    changed = (("targets", targets), ("snapshot", snapshot), ("timestamp", timestamp))
    _place(seen, root, fresh, both=all(signed_by(seen.root, role, new) for role, new in changed))
    _prune(seen.folder / METADATA, snapshot.signed.version, snapshot.signed.meta["targets.json"])


def expiry(role: str, now: datetime, days: Mapping[str, int]) -> datetime:
    """When metadata signed now ends."""
    return now.replace(microsecond=0) + timedelta(days=days.get(role, DAYS[role]))


def lifetime(metadata: Metadata[Any]) -> int:
    """Days that a role's metadata lives, as it says itself."""
    days = metadata.signed.unrecognized_fields.get(DAYS_KEY)
    return days if type(days) is int and days > 0 else DAYS[metadata.signed.type]


def age(metadata: Metadata[Any], now: datetime) -> timedelta:
    """Since when it is signed; below zero for a clock that stands behind."""
    expires: datetime = metadata.signed.expires
    return now - (expires - timedelta(days=lifetime(metadata)))


def sign(metadata: Metadata[Any], signers: Iterable[CryptoSigner]) -> None:
    """In the place of all signatures that were there."""
    metadata.signatures.clear()
    for signer in signers:
        metadata.sign(signer, append=True)


def _next(metadata: Metadata[Any], change: Change, now: datetime) -> Metadata[Any]:
    from tuf.api.metadata import Metadata

    signed = deepcopy(metadata.signed)
    days = change.days.get(signed.type, lifetime(metadata))
    signed.version += 1
    signed.expires = expiry(signed.type, now, {signed.type: days})
    signed.unrecognized_fields[DAYS_KEY] = days
    return Metadata(signed)


def _signed(
    role: str, metadata: Metadata[Any], judges: tuple[Metadata[Root], ...], keys: Keys
) -> bytes:
    old, new = judges
    signers = {signer.public_key.keyid: signer for signer in keys.need(role, new.signed)}
    if old is not new:
        signers |= {signer.public_key.keyid: signer for signer in keys.find(role, old.signed)}
    sign(metadata, signers.values())
    if not signed_by(new, role, metadata):
        raise VerificationError(f"{role}: our own signature does not hold", reason="bad-signature")
    return metadata.to_bytes()


def _meta(version: int, content: bytes) -> Any:
    from tuf.api.metadata import MetaFile

    return MetaFile.from_data(version, content, ["sha256"])


def _place(
    seen: Repository, root: Metadata[Root], fresh: Mapping[str, bytes], *, both: bool
) -> None:
    """Files that nobody was told of first, then what clients read first."""
    folder = seen.folder / METADATA
    order = list(fresh.items())  # targets, snapshot, timestamp
    if root is not seen.root:
        new_root = (f"{root.signed.version}.root.json", root.to_bytes())
        order[-1:] = [order[-1], new_root] if both else [(NEXT, order[-1][1]), new_root, order[-1]]
    for name, content in order:
        files.write(folder / name, content)


def _prune(folder: Path, snapshot: int, targets: Any) -> None:
    with suppress(OSError):
        (folder / NEXT).unlink(missing_ok=True)
    for role, newest in (("snapshot", snapshot), ("targets", targets.version)):
        for path in folder.glob(f"*.{role}.json"):
            version = path.name.partition(".")[0]
            if version.isdecimal() and int(version) <= newest - KEPT:
                with suppress(OSError):  # all is published by now
                    path.unlink()


def _check_clock(seen: Repository, now: datetime) -> None:
    """A clock behind the last signature would sign what is stale at once."""
    behind = -age(seen.timestamp, now)
    if behind > timedelta(days=1):
        raise ConfigError(
            f"this machine's clock says {now:%Y-%m-%d}, and the repository was signed "
            f"{behind.days} days later: set the clock"
        )
