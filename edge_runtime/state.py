"""Where a pipeline keeps what must outlive it: one folder, private to its user.

The first of these that is given, then `<device>/<pipeline>`: a path of the run file;
`$STATE_DIRECTORY`, which systemd sets (systemd.exec(5)); `$XDG_STATE_HOME/edge-run`;
`~/.local/state/edge-run` (XDG Base Directory Specification 0.8).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ConfigError

if TYPE_CHECKING:
    from .frame import Identity

NAME = "edge-run"

# What passes without a change of the configuration: full, read-only after an error, a bad card.
_OF_THE_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


def folder(
    identity: Identity, given: str = "", environment: Mapping[str, str] | None = None
) -> Path:
    """The folder of one pipeline; nothing is made or looked at.

    Raises ConfigError for a name that leads out of it, and when there is no home.
    """
    for key, name in zip(("device", "pipeline"), identity, strict=True):
        if name in (".", "..") or "/" in name:
            raise ConfigError(f"{key}: {name!r} cannot name a folder; take another name")
    base = Path(given) if given else _base(os.environ if environment is None else environment)
    return base / identity.device / identity.pipeline


def ensure(path: Path) -> None:
    """Make the folder and what is missing above it, for our user alone (mode 0700).

    Raises:
        ConfigError: another place or other rights are needed; names path, cause and remedy.
        OSError: the disk is full, read-only or failing: the place is right, so go on without.
    """
    try:
        _make(path)
        _check_writable(path)
    except OSError as exc:
        if exc.errno in _OF_THE_DISK:
            raise
        cause = (exc.strerror or str(exc)).lower()
        raise ConfigError(
            f"{exc.filename or path}: no state can be kept here ({cause}); give our user a folder "
            "to write to, as StateDirectory= of the service or as the option state"
        ) from exc


def replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: after a power cut it is the old one or the new one.

    Raises OSError, and the old file is then still there; or the new one, where only its name could
    not be synchronised.
    """
    fresh = path.with_name(f"{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fresh.unlink(missing_ok=True)  # of an earlier end, or planted
        with os.fdopen(os.open(fresh, flags, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        with suppress(OSError):  # what was written fills the disk
            fresh.unlink()
        raise
    settle(path.parent)


def settle(path: Path) -> None:
    """Make names that were made or changed in a folder survive a power cut. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_private(path: str, option: str) -> None:
    """Refuse a key of ours that others may read, as ssh does. Raises ConfigError."""
    try:
        facts = Path(path).stat()
    except OSError as exc:
        raise ConfigError(f"{option}: {path}: {exc.strerror or exc}") from exc
    if facts.st_uid == os.getuid() and facts.st_mode & 0o077:
        raise ConfigError(f"{option}: {path}: others may read it; run chmod 600 {path}")


def _base(environment: Mapping[str, str]) -> Path:
    first = environment.get("STATE_DIRECTORY", "").split(":")[0]
    if first:
        return Path(first)
    home = Path(environment.get("XDG_STATE_HOME", ""))
    if home.is_absolute():  # the specification ignores any other
        return home / NAME
    try:
        return Path.home() / ".local" / "state" / NAME
    except RuntimeError as exc:
        raise ConfigError("no home folder to keep state in; set the option state") from exc


def _check_writable(path: Path) -> None:
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
    if not os.access(path, os.W_OK | os.X_OK, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def _make(path: Path) -> None:
    if path.is_dir():
        return
    if path != path.parent:
        _make(path.parent)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        if not path.is_dir():  # a file stands there, or another process was quicker
            raise
    else:
        settle(path.parent)
