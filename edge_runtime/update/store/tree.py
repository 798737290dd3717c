"""Files and folders that are reached without following a link, and made so that they stay."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from edge_runtime import state
from edge_runtime.errors import DownloadError, UpdateError, VerificationError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_GONE = frozenset({
    errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR,
    errno.EIO, errno.EUCLEAN, errno.EBADMSG,  # a bad block; what file systems call damage
})  # fmt: skip
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def opened(folder: str | Path, inside: int | None = None) -> int:
    """A descriptor of a folder, which is no link. Raises OSError."""
    return os.open(folder, _READ | os.O_DIRECTORY, dir_fd=inside)


@contextmanager
def regular(path: str | Path, inside: int | None = None) -> Iterator[BinaryIO]:
    """A regular file, for reading. Raises VerificationError("malformed"), OSError."""
    try:
        descriptor = os.open(path, _READ | os.O_NONBLOCK, dir_fd=inside)  # a pipe would block
    except OSError as exc:
        if exc.errno in (errno.ELOOP, errno.ENXIO):  # a link; a socket
            raise VerificationError(f"{path}: no regular file", reason="malformed") from exc
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise VerificationError(f"{path}: no regular file", reason="malformed")
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        yield file


@contextmanager
def made(name: str, inside: int) -> Iterator[BinaryIO]:
    """A new file in a folder, on the disk when it is left. Raises OSError."""
    with os.fdopen(os.open(name, _MAKE, 0o444, dir_fd=inside), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def entries(folder: int) -> Iterator[tuple[str, int]]:
    """Names and modes of what lies in an open folder, sorted."""
    with os.scandir(folder) as found:
        yield from sorted((one.name, one.stat(follow_symlinks=False).st_mode) for one in found)


def remove(path: Path) -> None:
    """Remove whatever stands there; a link is removed, not followed. Raises OSError."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path)


def free(path: Path) -> None:
    """Remove what can be removed, without complaint."""
    with suppress(OSError):
        remove(path)


def move(path: Path, to: Path) -> None:
    """Rename into another folder, and make that last. Raises OSError."""
    path.rename(to)
    state.settle(to.parent)
    state.settle(path.parent)


def is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


@contextmanager
def told_as(what: str) -> Iterator[None]:
    """An OSError of the body becomes DownloadError("no-space") or UpdateError("disk")."""
    try:
        yield
    except OSError as exc:
        cause = f"{exc.filename or what}: {(exc.strerror or str(exc)).lower()}"
        if is_full(exc):
            message = f"{cause}; free some and try again: the model in use is untouched"
            raise DownloadError(message, reason="no-space") from exc
        raise UpdateError(f"{cause}: the model in use is untouched", reason="disk") from exc


def is_full(error: OSError) -> bool:
    return error.errno in _FULL


def is_gone(error: OSError) -> bool:
    """Missing, damaged, or another thing than it was: no later try would read it."""
    return error.errno in _GONE
