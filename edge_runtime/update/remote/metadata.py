"""What a repository says now: its releases, verified, from the first mirror that will do.

One way for https, files and sticks. The clock is believed only above a floor: the build of this
package, what signed metadata proved before, what the caller kept.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.errors import DownloadError, MissingExtraError, UpdateError, VerificationError
from edge_runtime.update.release import Release, read

from . import mirrors as addresses
from .download import Progress, Wanted, bring, of_the_disk
from .fetch import Fetcher

if TYPE_CHECKING:
    from tuf.api.metadata import TargetFile

    from .trust import Trusted

log = logging.getLogger(__name__)

BUILT = 1_793_491_200  # 2026-11-01T00:00:00Z; each release of this package raises it

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_NAME_LENGTH = 255


@dataclass(frozen=True, slots=True)
class Metadata:
    """What was verified.

    `proven_time` is the latest moment that signed metadata proved, `expires` when the first of its
    files ends (both seconds since 1970, UTC). `mirrors` are URLs, the one that served first.
    `unreadable` are targets that are no release for this version of edge-run, and why.
    """

    releases: tuple[Release, ...]
    proven_time: int
    expires: int
    versions: tuple[tuple[str, int], ...]  # of root, timestamp, snapshot, targets
    mirrors: tuple[str, ...]
    consistent: bool  # bundles carry their digest in the name
    unreadable: tuple[tuple[str, str], ...] = ()


def refresh(  # noqa: PLR0917 - all of them are needed each time, in this order
    folder: Path,
    root: bytes,
    mirrors: Sequence[str],
    fetcher: Fetcher,
    now: int,
    time_floor: int = 0,
) -> Metadata:
    """Bring the metadata in `folder` up to date; see `trust` for what is kept there.

    Args:
        folder: ours alone; the caller holds the store's lock.
        root: the root metadata that came with the device.
        mirrors: of one repository, in order; all are tried before this fails.
        fetcher: reads from them.
        now: by this device's clock, seconds since 1970, UTC.
        time_floor: a moment that the caller knows to have passed.

    Raises:
        ConfigError: a mirror's address, the proxy's or the file of authorities is none.
        VerificationError: an attack, named by `reason`; "clock" when the clock cannot be right.
        DownloadError: no mirror could be read (a StatusError tells a Retry-After), or this disk
            cannot be written.
    """
    try:
        from . import trust
    except ImportError as exc:
        raise MissingExtraError("update", "ota", exc) from exc
    _check_clock(now, max(BUILT, time_floor, trust.floor_of(folder).time) - trust.AHEAD_S)
    device = trust.Device(folder, root, fetcher, now)
    urls = tuple(addresses.address(mirror) for mirror in mirrors)
    failures: list[UpdateError] = []
    for url in urls:
        try:
            trusted = trust.renew(device, addresses.join(url, addresses.METADATA))
            _check_clock(now, trusted.signed() - trust.AHEAD_S)
            proven = trust.floor_of(folder).time
            return _metadata(trusted, proven, (url, *(other for other in urls if other != url)))
        except (VerificationError, DownloadError) as failure:
            log.warning("update: %s: %s", url, failure)
            failures.append(failure)
        except OSError as exc:
            raise of_the_disk(str(folder), exc) from exc
    raise addresses.telling(urls, failures)


def download(
    found: Metadata,
    release: Release,
    to: Path,
    *,
    fetcher: Fetcher,
    progress: Progress | None = None,
) -> str:
    """Bring a release's bundle into the part file `to`, resumed and hashed; gives its URL.

    Raises what `bring` raises.
    """
    folder, slash, name = release.path.rpartition("/")
    path = f"{folder}{slash}{release.digest}.{name}" if found.consistent else release.path
    urls = [addresses.join(mirror, addresses.TARGETS + path) for mirror in found.mirrors]
    wanted = Wanted(release.length, {"sha256": release.digest})
    return bring(wanted, urls, to, fetcher=fetcher, progress=progress)


def _check_clock(now: int, lowest: int) -> None:
    if now < lowest:
        raise VerificationError(
            f"the clock of this device is {lowest - now} s before a moment that is known to have "
            "passed: nothing is installed until it is set",
            reason="clock",
        )


def _metadata(trusted: Trusted, proven: int, mirrors: tuple[str, ...]) -> Metadata:
    targets, timestamp, snapshot = trusted.targets, trusted.timestamp, trusted.snapshot
    assert timestamp is not None
    assert snapshot is not None  # a refresh that ended well has them
    if targets.delegations is not None:
        raise VerificationError(
            "the repository delegates targets, which edge-release never does", reason="delegation"
        )
    releases, unreadable = [], []
    for path, target in targets.targets.items():
        _check_name(path)
        try:
            releases.append(_release(path, target))
        except VerificationError as exc:
            log.warning("update: %s", exc)
            unreadable.append((path, str(exc)))
    four = (trusted.root, timestamp, snapshot, targets)
    return Metadata(
        releases=tuple(releases),
        proven_time=proven,
        expires=trusted.expires(),
        versions=tuple((signed.type, signed.version) for signed in four),
        mirrors=mirrors,
        consistent=bool(trusted.root.consistent_snapshot),
        unreadable=tuple(unreadable),
    )


def _check_name(path: str) -> None:
    if len(path) > _NAME_LENGTH or not _NAME.fullmatch(path):
        raise VerificationError(
            f"a target is named {path[:80]!r}: not parts of letters, digits and ._-",
            reason="bad-name",
        )


def _release(path: str, target: TargetFile) -> Release:
    custom = target.custom
    return read(
        path,
        target.hashes.get("sha256", ""),
        target.length,
        custom if isinstance(custom, dict) else {},
    )
