"""A lock between processes and between threads, which ends with whoever held it."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from edge_runtime.errors import UpdateError

from . import tree

_PAUSE_S = 0.02


class Lock:
    """An exclusive flock(2) on a file; a thread that holds it may take it again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = threading.RLock()
        self._depth = 0
        self._descriptor = -1

    @contextmanager
    def hold(self, wait_s: float = 0.0) -> Iterator[None]:
        """Raises UpdateError("busy") when another has it for longer than this, or "disk"."""
        until = time.monotonic() + wait_s
        if not self._thread.acquire(timeout=wait_s):
            raise self._busy()
        try:
            if self._depth == 0:
                self._descriptor = self._taken(until)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    os.close(self._descriptor)
        finally:
            self._thread.release()

    def _taken(self, until: float) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with tree.told_as(str(self._path)), ExitStack() as unless_taken:
            descriptor = os.open(self._path, flags, 0o600)
            unless_taken.callback(os.close, descriptor)
            self._wait(descriptor, until)
            unless_taken.pop_all()
        return descriptor

    def _wait(self, descriptor: int, until: float) -> None:
        while True:
            try:
                return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise self._busy() from None
                time.sleep(_PAUSE_S)

    def _busy(self) -> UpdateError:
        return UpdateError(f"{self._path}: another update is at work here", reason="busy")
