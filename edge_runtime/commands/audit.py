"""The log of commands: JSON lines that are only ever added, in two files of a bounded size.

A command that was accepted is on the disk before it runs. Of the refused, the first of each
reason in a minute has a line; the others of that minute are counted in one line more, written
when the minute is over and something happens.
"""

from __future__ import annotations

import errno
import json
import logging
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from edge_runtime import state
from edge_runtime.times import rfc3339

log = logging.getLogger(__name__)

FILE = "commands.jsonl"
SIZE_MAX = 1_000_000  # bytes; the file before it is kept as commands.jsonl.1
MINUTE_S = 60.0


class Audit:
    """See the module. `counts` holds what was refused since the start, by reason."""

    def __init__(self, folder: Path, *, size_max: int = SIZE_MAX) -> None:
        self.counts: Counter[str] = Counter()
        self._path = folder / FILE
        self._size_max = size_max
        self._more: Counter[str] = Counter()  # refused in this minute, after the first
        self._minute_at = float("-inf")
        self._failed = ""

    def accepted(self, time_ns: int, now_s: float, entry: Mapping[str, object]) -> None:
        """A command is about to run. Raises OSError: then it must not."""
        self._turn(time_ns, now_s)
        self._write({"time": rfc3339(time_ns), **entry, "accepted": True}, lasting=True)

    def refused(self, time_ns: int, now_s: float, reason: str, entry: Mapping[str, object]) -> None:
        """A command was refused; `now_s` is monotonic."""
        self.counts[reason] += 1
        self._turn(time_ns, now_s)
        if reason in self._more:
            self._more[reason] += 1
            return
        self._more[reason] = 0
        log.warning("command refused: %s: %s", reason, json.dumps(entry))
        self.note(time_ns, {**entry, "accepted": False, "reason": reason})

    def note(self, time_ns: int, entry: Mapping[str, object]) -> None:
        """A line that may get lost; that is said once."""
        try:
            self._write({"time": rfc3339(time_ns), **entry}, lasting=False)
        except OSError as exc:
            if str(exc) != self._failed:
                self._failed = str(exc)
                log.warning("%s: cannot be written (%s)", self._path, exc.strerror)

    def flush(self, time_ns: int) -> None:
        """Write what was counted."""
        more = {reason: count for reason, count in self._more.items() if count}
        self._more.clear()
        if more:
            self.note(time_ns, {"accepted": False, "more": more})

    def _turn(self, time_ns: int, now_s: float) -> None:
        if now_s - self._minute_at >= MINUTE_S:
            self._minute_at = now_s
            self.flush(time_ns)

    def _write(self, entry: Mapping[str, object], *, lasting: bool) -> None:
        line = json.dumps(entry).encode() + b"\n"
        self._rotate()
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":  # cut off by a full disk
                line = b"\n" + line
            if os.write(descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            if lasting:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if lasting and not size:
            state.settle(self._path.parent)

    def _rotate(self) -> None:
        try:
            full = self._path.stat().st_size >= self._size_max
        except FileNotFoundError:
            return
        if full:
            self._path.replace(self._path.with_name(f"{FILE}.1"))
