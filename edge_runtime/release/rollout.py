"""How far a release is out: pure changes of what is signed about it, and they only ever widen.

A device that took a release keeps it, whatever is signed later: less than before would be an
illusion. To take a release back from everyone, revoke it; to hold it, move its `not_before`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_runtime import profile
from edge_runtime.errors import ConfigError
from edge_runtime.tables import nearest
from edge_runtime.update.release import Release

EVERY_BOARD = "any"
REASON_MAX = 200
_OF_LISTS = (".txt", ".csv", ".list")  # no device is called so; bed-7.ward.example may be one


@dataclass(frozen=True, slots=True)
class Rollout:
    """What `edge-release rollout` is told; None and empty change nothing."""

    percent: float | None = None
    profiles: Sequence[str] = ()
    devices: Sequence[str] = ()
    not_before: int | None = None  # seconds since 1970, UTC
    allow_downgrade: bool = False


def find(releases: Iterable[Release], name: str, version: str) -> Release:
    """The release that a person means. Raises ConfigError with the nearest."""
    listed = list(releases)
    versions = [release.version for release in listed if release.name == name]
    for release in listed:
        if (release.name, release.version) == (name, version):
            return release
    if versions:
        raise ConfigError(f"{name} {version}: not released; there is {', '.join(versions[-5:])}")
    names = sorted({release.name for release in listed})
    near = nearest(name, names)
    hint = f"did you mean '{near}'?" if near else f"there is {', '.join(names) or 'none yet'}"
    raise ConfigError(f"{name}: no release of that name; {hint}")


def widen(release: Release, told: Rollout) -> Release:
    """The release as it is signed next. Raises ConfigError for what would narrow it."""
    if release.revoked:
        raise ConfigError(f"{_called(release)}: is revoked ({release.revoked}); add a new version")
    return replace(
        release,
        percent=_percent(release, told.percent),
        profiles=_profiles(release, told.profiles),
        devices=tuple(sorted({*release.devices, *told.devices})),
        not_before=release.not_before if told.not_before is None else told.not_before,
        allow_downgrade=release.allow_downgrade or told.allow_downgrade,
    )


def revoke(release: Release, reason: str) -> Release:
    """The release taken back; devices that run it go to the one before. Raises ConfigError."""
    said = " ".join(reason.split())
    if not said or len(said) > REASON_MAX or not said.isprintable():
        raise ConfigError(f"--reason: say why, in {REASON_MAX} letters at most; devices publish it")
    return release if release.revoked else replace(release, revoked=said)


def removable(releases: Iterable[Release], name: str, version: str) -> Release:
    """A release that may go. Raises ConfigError for one that devices have, or are to have."""
    listed = list(releases)
    found = find(listed, name, version)
    if found.revoked:
        return found
    if found.percent or found.devices:
        out = f"{found.percent:g} %" if found.percent else f"{len(found.devices)} by name"
        raise ConfigError(
            f"{_called(found)}: is out to {out}; a release that devices have is not removed: "
            f"edge-release revoke {name} {version} first, and let each of them look once"
        )
    if found.counter == max(release.counter for release in listed if release.name == name):
        raise ConfigError(
            f"{_called(found)}: is the newest of its name; to be rid of it: "
            f"edge-release revoke {name} {version} first"
        )
    return found


def read_devices(text: str) -> tuple[str, ...]:
    """Names of devices: a file with one a line (# comments), or "a,b,c". Raises ConfigError."""
    path = Path(text)
    try:
        is_file = "," not in text and path.is_file()
        lines = path.read_text(encoding="utf-8-sig").splitlines() if is_file else text.split(",")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"--devices: {path}: cannot be read as a list of names: {exc}") from exc
    if not is_file and ("/" in text or path.suffix in _OF_LISTS):
        raise ConfigError(f"--devices: {text}: no such file")
    names = tuple(name for line in lines if (name := line.partition("#")[0].strip()))
    if not names or any(map(_is_no_name, names)):
        raise ConfigError(f"--devices: {text!r} is neither a file with one name a line nor names")
    return names


def _is_no_name(name: str) -> bool:
    return len(name) > 200 or "," in name or not name.isprintable()


def _percent(release: Release, percent: float | None) -> float:
    if percent is None:
        return release.percent
    if not 0 <= percent <= 100:  # a NaN is not
        raise ConfigError(f"--percent {percent:g}: from 0 to 100")
    if percent < release.percent:
        raise ConfigError(
            f"{_called(release)}: is out to {release.percent:g} %, and the devices that took it "
            f"keep it; to take it back: edge-release revoke {release.name} {release.version}"
        )
    if round(percent * 100) != round(percent * 100, 6):
        raise ConfigError(f"--percent {percent:g}: in steps of 0.01")
    return percent


def _profiles(release: Release, given: Sequence[str]) -> tuple[str, ...]:
    if not given:
        return release.profiles
    boards = () if EVERY_BOARD in given else tuple(profile.load(name).name for name in given)
    if release.percent == 0 and not release.devices:  # nobody has it yet
        return boards
    if not release.profiles and boards:
        raise ConfigError(
            f"{_called(release)}: is out to {release.percent:g} % of every board; fewer boards "
            "would not take it back from the others"
        )
    return tuple(sorted({*release.profiles, *boards})) if boards else ()


def _called(release: Release) -> str:
    return f"{release.name} {release.version}"
