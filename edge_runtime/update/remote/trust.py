"""python-tuf on a copy: what it verified is kept durably, what it refuses is named.

The root that came with the device is the anchor of every run: the local chain of roots is walked
again from it. Also after a failure what was verified so far is kept, as the specification wants: a
root that takes a stolen key away holds, whatever the rest of that mirror was worth.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tuf.api import exceptions
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface

from edge_runtime.errors import ConfigError, DownloadError, UpdateError, VerificationError

from . import floors
from .fetch import Fetcher
from .floors import Floor
from .mirrors import StatusError
from .sets import Sets

log = logging.getLogger(__name__)

DAYS = "x-edge-run-days"  # in a timestamp: how long it lives, so that its birth is known

AHEAD_S = 600  # that the signer's clock may be ahead of ours

_LONGEST_DAYS = 36_500
_ROOTS = 256  # new ones in one run; each costs a request and a check of signatures
_T = TypeVar("_T")


class Trusted(Updater):
    """python-tuf's client with its time given, and what it trusts to be read."""

    def __init__(self, folder: Path, device: Device, url: str) -> None:
        self.bridge = _Bridge(device.fetcher)
        super().__init__(
            str(folder),
            url,
            fetcher=self.bridge,
            config=UpdaterConfig(max_root_rotations=1_000_000),  # the bridge counts the new ones
            bootstrap=device.root,
        )
        self._now = device.now
        self._trusted_set.reference_time = dt.datetime.fromtimestamp(device.now, dt.timezone.utc)

    @property
    def root(self) -> Root:
        return self._trusted_set.root

    @property
    def targets(self) -> Targets:
        return self._trusted_set.targets

    @property
    def timestamp(self) -> Timestamp | None:
        return self._trusted_set.timestamp if Timestamp.type in self._trusted_set else None

    @property
    def snapshot(self) -> Snapshot | None:
        return self._trusted_set.snapshot if Snapshot.type in self._trusted_set else None

    def expires(self) -> int:
        """When the first of what is trusted ends, seconds since 1970."""
        return min(int(signed.expires.timestamp()) for signed in self._trusted_set)

    def proven(self) -> int:
        """The moment of signing, as a floor; 0 when it lies ahead of our clock.

        Or else a thief of the timestamp key could stop a device for good.
        """
        signed = self.signed()
        return signed if signed <= self._now + AHEAD_S else 0

    def signed(self) -> int:
        """The moment at which the timestamp was signed; 0 where it does not say."""
        timestamp = self.timestamp
        days = timestamp.unrecognized_fields.get(DAYS) if timestamp else None
        if timestamp is None or type(days) is not int or not 0 < days < _LONGEST_DAYS:
            return 0
        return int((timestamp.expires - dt.timedelta(days=days)).timestamp())


class Device(NamedTuple):
    """This side: the folder of the metadata, the root that came with it, how it reads, its time."""

    folder: Path
    root: bytes
    fetcher: Fetcher
    now: int  # seconds since 1970


def renew(device: Device, url: str) -> Trusted:
    """Bring the metadata of a device to what the folder of metadata at `url` says.

    Raises:
        VerificationError: what came is not to be trusted; `reason` names the attack.
        DownloadError: it could not be had.
        ConfigError: the root is none.
        OSError: the folder cannot be written.
    """
    return _run(device, url, Trusted.refresh)[0]


def find(device: Device, url: str, name: str) -> tuple[Trusted, TargetFile | None]:
    """`renew`, and a target by its name, also where it was delegated."""
    return _run(device, url, lambda trusted: trusted.get_targetinfo(name))


def _run(device: Device, url: str, act: Callable[[Trusted], _T]) -> tuple[Trusted, _T]:
    sets = Sets(device.folder)
    made = sets.copy()
    try:
        trusted = Trusted(made, device, url)
    except exceptions.RepositoryError as exc:
        raise ConfigError(f"the root metadata of this device cannot be used: {exc}") from exc
    try:
        result = act(trusted)
    except (exceptions.RepositoryError, exceptions.DownloadError, UpdateError) as exc:
        try:
            with suppress(VerificationError):  # below the floor: nothing of it is kept
                _keep(sets, made, trusted, whole=False)
        except OSError as full:
            log.warning("update: %s: what was seen is not kept: %s", device.folder, full)
        raise _named(exc, trusted, device) from exc
    _keep(sets, made, trusted, whole=True)
    return trusted, result


def floor_of(folder: Path) -> Floor:
    """The floor of the metadata in `folder`: of its two copies the later one."""
    kept = floors.read(folder / floors.NAME)
    held = Sets(folder).current()
    return kept.above(floors.read(held / floors.NAME)) if held else kept


def _keep(sets: Sets, made: Path, trusted: Trusted, *, whole: bool) -> None:
    """Raise the floor, then swap the set. Raises VerificationError below the floor."""
    folder = made.parent
    roles = {
        name: (frozenset(role.keyids), role.threshold) for name, role in trusted.root.roles.items()
    }
    after = floor_of(folder).raised(_seen(made, trusted, whole=whole), roles)
    if floors.read(folder / floors.NAME) != after:
        floors.keep(folder / floors.NAME, after)
    floors.copy(made / floors.NAME, after)
    sets.commit(made)


def _seen(made: Path, trusted: Trusted, *, whole: bool) -> Floor:
    timestamp, snapshot = trusted.timestamp, trusted.snapshot
    listed = snapshot.meta.get("targets.json") if snapshot else None
    return Floor(
        root=trusted.root.version,
        timestamp=timestamp.version if timestamp else 0,
        snapshot=timestamp.snapshot_meta.version if timestamp else 0,
        targets=listed.version if listed else 0,
        timestamp_keys=_signers(made / "timestamp.json", trusted.root) if timestamp else (),
        snapshot_keys=_signers(made / "snapshot.json", trusted.root) if snapshot else (),
        time=trusted.proven() if whole else 0,
    )


def _signers(path: Path, root: Root) -> tuple[str, ...]:
    """The keys whose signatures on a file are good."""
    try:
        held: Metadata[Any] = Metadata.from_bytes(path.read_bytes())
    except (OSError, DeserializationError):  # it was never whole here
        return ()
    result = root.get_verification_result(held.signed.type, held.signed_bytes, held.signatures)
    return tuple(sorted(result.signed))


class _Bridge(FetcherInterface):
    """Our fetcher as python-tuf calls it: one deadline for all, and a count of new roots."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._end = fetcher.limits.end()
        self._roots = 0
        self._last = b""

    def download_bytes(self, url: str, max_length: int) -> bytes:
        if url.endswith(".root.json"):
            self._roots += 1
            if self._roots > _ROOTS:
                raise VerificationError(
                    f"{url}: more than {_ROOTS} new roots in one run; the next goes on from here",
                    reason="too-many-roots",
                )
        try:
            self._last = self._fetcher.read(url, max_length, self._end)
        except StatusError as exc:
            raise exceptions.DownloadHTTPError(str(exc), exc.status) from exc
        return self._last

    def _fetch(self, url: str) -> Iterator[bytes]:
        raise exceptions.DownloadError(f"{url}: only metadata is read here")

    def came(self) -> tuple[str, int]:
        """Role and version of the last file that came, as it says itself."""
        with suppress(ValueError, KeyError, TypeError):
            signed = json.loads(self._last)["signed"]
            return str(signed["_type"]), int(signed["version"])
        return "", 0


def _named(exc: Exception, trusted: Trusted, device: Device) -> UpdateError:
    """The error of ours that says which attack this looks like."""
    if isinstance(exc, UpdateError):
        return exc
    if isinstance(exc, exceptions.DownloadError):
        if isinstance(exc.__cause__, StatusError):
            return exc.__cause__
        return DownloadError(str(exc), reason="connection")
    reason = "malformed"
    if isinstance(exc, exceptions.UnsignedMetadataError):
        reason = "bad-signature"
    elif isinstance(exc, exceptions.ExpiredMetadataError):
        date = device.fetcher.server_time
        ahead = date is not None and date < trusted.expires() <= device.now
        reason = "clock" if ahead else "expired"
    elif isinstance(exc, exceptions.LengthOrHashMismatchError):
        reason = "mix-and-match"
    elif isinstance(exc, exceptions.BadVersionNumberError):
        reason = _of_versions(trusted)
    elif not isinstance(exc, DeserializationError) and "missing info" in str(exc):
        reason = "mix-and-match"
    return VerificationError(f"{_WORDS[reason]} ({exc})", reason=reason)


def _of_versions(trusted: Trusted) -> str:
    """A version that is older than what was seen, or not the one that another file asked for."""
    role, version = trusted.bridge.came()
    expected = trusted.timestamp.snapshot_meta.version if trusted.timestamp else 0
    apart = role == "targets" or (role == "snapshot" and version != expected)
    return "mix-and-match" if apart else "rollback"


_WORDS = {
    "bad-signature": "too few good signatures",
    "expired": "expired: the repository is played back or no longer kept (or this clock is ahead)",
    "clock": "expired by the clock of this device, not by the server's: set the clock",
    "mix-and-match": "files of the repository do not belong together",
    "rollback": "an older version than this device has seen",
    "malformed": "no TUF metadata",
}
