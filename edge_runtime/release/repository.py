"""A TUF repository as it lies on disk, verified while it is read, and replaced in a safe order.

    metadata/   1.root.json ...  7.targets.json  12.snapshot.json  timestamp.json
                next.timestamp.json, for the moment in which a root takes over without an old key
    targets/<name>/<sha256>.<version>.tar

Plain files with consistent snapshots (TUF 1.0.34, section 6.2): what a client reads under one
timestamp.json never changes, so no moment of a publication shows it two halves.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import UpdateError, VerificationError
from edge_runtime.update import release as releases
from edge_runtime.update.release import Release

if TYPE_CHECKING:
    from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

METADATA = "metadata"
TARGETS = "targets"
TIMESTAMP = "timestamp.json"
NEXT = "next.timestamp.json"
COUNTERS_KEY = "x-edge-run-counters"  # in targets: of names whose newest release was removed


@dataclass(frozen=True, slots=True)
class Repository:
    """The metadata that clients see now. `length` is how many bytes targets.json has.

    `cut_off`: a new root is in place and what it signs is not yet; the next signature mends it.
    """

    folder: Path
    root: Metadata[Root]
    targets: Metadata[Targets]
    snapshot: Metadata[Snapshot]
    timestamp: Metadata[Timestamp]
    length: int
    cut_off: bool = False

    def counters(self) -> dict[str, int]:
        """The highest counter that was ever given out, by name."""
        highest = dict(self.targets.signed.unrecognized_fields.get(COUNTERS_KEY, {}))
        for release in self.releases():
            highest[release.name] = max(release.counter, highest.get(release.name, 0))
        return highest

    def releases(self) -> tuple[Release, ...]:
        """In the order of their names and counters. Raises VerificationError for a foreign one."""
        read = [
            releases.read(path, target.hashes.get("sha256", ""), target.length, target.custom)
            for path, target in self.targets.signed.targets.items()
        ]
        return tuple(sorted(read, key=lambda release: (release.name, release.counter)))


def bundle_path(folder: Path, release: Release) -> Path:
    """Where the bundle of a release lies: its digest stands before its name."""
    target = Path(release.path)
    return folder / TARGETS / target.parent / f"{release.digest}.{target.name}"


def has_bundle(folder: Path, release: Release) -> bool:
    """Whether a bundle of the right length lies there; clients hash it."""
    path = bundle_path(folder, release)
    return path.is_file() and path.stat().st_size == release.length


def read(folder: Path) -> Repository:
    """Read and verify what lies there; expiry is not looked at, as signing anew mends it.

    Raises UpdateError("missing") where no repository is, and VerificationError for one that its
    own keys did not sign: signing on top of it would make it good.
    """
    if not (folder / METADATA / "1.root.json").is_file():
        raise UpdateError(
            f"{folder}: no repository here; edge-release init makes one", reason="missing"
        )
    root = _newest_root(folder)
    try:
        return _below(folder, root, TIMESTAMP)
    except VerificationError:
        with suppress(VerificationError):
            return replace(_below(folder, root, NEXT), cut_off=True)
        raise


def _below(folder: Path, root: Metadata[Root], name: str) -> Repository:
    timestamp = _verified(root, "timestamp", folder, name)[0]
    version = timestamp.signed.snapshot_meta.version
    snapshot = _verified(root, "snapshot", folder, f"{version}.snapshot.json")[0]
    version = snapshot.signed.meta["targets.json"].version
    targets, length = _verified(root, "targets", folder, f"{version}.targets.json")
    return Repository(folder, root, targets, snapshot, timestamp, length)


def load(path: Path) -> tuple[Metadata[Any], int]:
    """One metadata file and its length. Raises VerificationError when it is none."""
    from tuf.api.metadata import Metadata
    from tuf.api.serialization import DeserializationError

    try:
        content = path.read_bytes()
        return Metadata[Any].from_bytes(content), len(content)
    except OSError as exc:
        raise VerificationError(f"{path}: {exc.strerror}", reason="malformed") from exc
    except DeserializationError as exc:
        raise VerificationError(f"{path}: not metadata: {exc}", reason="malformed") from exc


def signed_by(root: Metadata[Root], role: str, found: Metadata[Any]) -> bool:
    """Whether enough keys of a role, as `root` names them, signed this."""
    from tuf.api.exceptions import RepositoryError

    try:
        root.signed.verify_delegate(role, found.signed_bytes, found.signatures)
    except (RepositoryError, ValueError):
        return False
    return True


def _newest_root(folder: Path) -> Metadata[Root]:
    root, version = None, 1
    while (path := folder / METADATA / f"{version}.root.json").is_file():
        following = load(path)[0]
        right = following.signed.type == "root" and following.signed.version == version
        trusted = right and all(
            signed_by(judge, "root", following) for judge in (root or following, following)
        )
        if not trusted:
            raise VerificationError(
                f"{path}: not signed by enough root keys; restore it from a copy",
                reason="bad-signature",
            )
        root, version = following, version + 1
    assert root is not None, "read() looked"
    return root


def _verified(
    root: Metadata[Root], role: str, folder: Path, name: str
) -> tuple[Metadata[Any], int]:
    path = folder / METADATA / name
    found, length = load(path)
    if found.signed.type != role or not signed_by(root, role, found):
        raise VerificationError(
            f"{path}: not signed by the {role} key of this repository: it was changed or damaged; "
            "restore it from a copy",
            reason="bad-signature",
        )
    return found, length
