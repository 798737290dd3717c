"""A model directory comes into being whole, or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_runtime.errors import ConfigError


@contextmanager
def staged(out: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A folder to fill, which takes the place of `out` when the block ends well.

    It lies beside `out`, so that one rename does it; after an error, or Ctrl-C, nothing is left
    and what stood at `out` still stands. Raises ConfigError when `out` is there already and may
    not be overwritten, or cannot be written.
    """
    if out.exists() and not overwrite:
        raise ConfigError(f"{out}: exists already; --overwrite replaces it")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as exc:
        raise ConfigError(f"{out}: cannot be written: {exc.strerror}") from exc
    try:
        yield folder
        folder.chmod(0o755)
        _to_disk(folder)
        _swap(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _to_disk(folder: Path) -> None:
    for path in (*folder.iterdir(), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _swap(folder: Path, out: Path) -> None:
    """Put the new folder in place; the old one goes last."""
    old = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        if out.exists():
            out.rename(old / "old")
        folder.rename(out)
    finally:
        shutil.rmtree(old, ignore_errors=True)
