"""Files that a web server may be handing out while they change: whole or not there at all."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge_runtime.errors import UpdateError
from edge_runtime.state import settle

PUBLIC = 0o644
SECRET = 0o600


def write(path: Path, content: bytes, mode: int = PUBLIC) -> None:
    """Put a file in place: after a power cut or Ctrl-C it is the old one or the new one."""
    with replacing(path, mode) as fresh:
        fresh.write_bytes(content)


@contextmanager
def replacing(path: Path, mode: int = PUBLIC) -> Iterator[Path]:
    """A path to fill; it takes the place of `path` when the block ends well.

    Raises OSError, which names `path`.
    """
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.unlink(missing_ok=True)  # left by a run that was killed
        os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode))
        yield fresh
        descriptor = os.open(fresh, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fchmod(descriptor, mode)  # whatever the umask is
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        fresh.replace(path)
        settle(path.parent)
    except OSError as exc:
        raise OSError(exc.errno, exc.strerror, str(path)) from exc
    finally:
        with suppress(OSError):  # where nothing can be written
            fresh.unlink()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One writer of a repository. Raises UpdateError("busy") when another is at work."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise UpdateError(
            f"{folder}: {exc.strerror}; edge-release init makes a repository", reason="missing"
        ) from exc
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as exc:
        raise UpdateError(
            f"{folder}: another edge-release is at work here; try again", reason="busy"
        ) from exc
    finally:
        os.close(descriptor)
