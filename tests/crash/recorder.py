"""The shim of recorder.c: built by the compiler that is here, started, and its log read."""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
from collections.abc import Iterator
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).with_name("recorder.c")
_HEAD = struct.Struct("=iiqqQ")  # struct record


class Kind(IntEnum):
    """What happened; the numbers are those of recorder.c."""

    OPEN = 1
    CLOSE = 2
    WRITE = 3
    TRUNCATE = 4
    SYNC = 5
    SYNC_FAILED = 6
    UNLINK = 7
    RENAME = 8
    MKDIR = 9
    MARK = 10
    UNKNOWN = 11
    SYMLINK = 12
    LINK = 13


class Fault(IntEnum):
    """Which operations fail."""

    WRITE = 1  # and truncate, unlink, rename, mkdir, link
    SYNC = 2
    OPEN = 3  # for writing


class Operation(NamedTuple):
    """One successful operation, or a failed sync.

    `a` is the offset of a write, the size of a truncation, the number of a mark, and 1 for an open
    that empties; `b` is 1 for an open of what existed. `data` is what was written, or the path (of
    a rename or a link both, of a symbolic link the path and what it says, with a zero byte between
    them).
    """

    kind: Kind
    fd: int
    a: int
    b: int
    data: bytes


def build(folder: Path) -> Path:
    """Compile the shim."""
    shim = folder / "recorder.so"
    command = ["gcc", "-O2", "-shared", "-fPIC", "-o", str(shim), str(SOURCE)]
    subprocess.run(command, check=True, capture_output=True)
    return shim


def environment(shim: Path, **more: str) -> dict[str, str]:
    """For a process that is to run with the shim."""
    return {**os.environ, "LD_PRELOAD": str(shim), **more}


class Recorder:
    """The shim in this process, which must have been started with it."""

    def __init__(self) -> None:
        self._shim = ctypes.CDLL(None)
        self._shim.recorder_mark.argtypes = [ctypes.c_int64]

    def start(self, folder: Path, log: Path | None = None) -> None:
        name = None if log is None else os.fsencode(log)
        error = self._shim.recorder_start(os.fsencode(folder.resolve()), name)
        if error:
            raise OSError(error, os.strerror(error), str(log))

    def mark(self, number: int) -> None:
        self._shim.recorder_mark(number)

    def fault(self, kind: Fault, n: int, error: int, *, stays: bool = False) -> None:
        """The n-th such operation from now on fails with `error`; with `stays`, all later too."""
        self._shim.recorder_fault(int(kind), n, error, int(stays))

    def heal(self) -> int:
        """Nothing fails any more; gives how many operations did."""
        return int(self._shim.recorder_fault(0, 0, 0, 0))

    def stop(self) -> None:
        self._shim.recorder_stop()


@cache
def recorder() -> Recorder:
    """The one of this process."""
    return Recorder()


def read(log: bytes) -> Iterator[Operation]:
    """Raises ValueError for an operation that no disk of ours can model."""
    at = 0
    while at < len(log):
        kind, fd, a, b, size = _HEAD.unpack_from(log, at)
        at += _HEAD.size
        operation = Operation(Kind(kind), fd, a, b, log[at : at + size])
        if operation.kind == Kind.UNKNOWN:
            raise ValueError(f"the recorder saw {operation.data.decode()}, which is not modelled")
        yield operation
        at += size
