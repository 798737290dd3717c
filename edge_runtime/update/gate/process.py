"""The parent's side of a judging child: start it, hear it, kill it at the deadline."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from .checks import Check

_SAID_MAX = 4096  # bytes of its last words that are kept
_REPORT_MAX = 1 << 20  # bytes that it may say in all
_HANDED = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH")  # no secret of the run file's goes along
_GONE_S = 2.0


class ChildDiedError(Exception):
    """The child is gone, or was ended; `check` says why."""

    def __init__(self, check: Check) -> None:
        super().__init__(check.seen)
        self.check = check


class Child:
    """A judging child with its process group.

    Args:
        job: what it is to do; the descriptor of the report is added.
        deadline: monotonic time at which it is killed.
        cpu_s: what it may use, for the message.
    """

    def __init__(self, job: Mapping[str, Any], deadline: float, cpu_s: int) -> None:
        self._deadline, self._cpu_s, self._began = deadline, cpu_s, time.monotonic()
        self._doing, self._heard, self._lines = "start", 0, [b""]
        self._report, theirs = os.pipe()
        self._words, last_words = os.pipe()
        for end in (self._words, last_words):
            os.set_blocking(end, False)  # what nobody reads is dropped, and blocks nobody
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-B", "-m", "edge_runtime.update.gate.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=last_words,
                pass_fds=(theirs,),
                start_new_session=True,  # its group can be killed
                env={name: os.environ[name] for name in _HANDED if name in os.environ},
            )
        finally:
            os.close(theirs)
            os.close(last_words)
        self.tell(json.dumps({**job, "report": theirs}))

    def tell(self, line: str) -> None:
        """One line to its standard input; a child that is gone says so at the next `hear`."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """Its next line. Raises ChildDiedError at the deadline, at its end, for nonsense."""
        while len(self._lines) < 2:
            left = self._deadline - time.monotonic()
            if left <= 0 or not select.select([self._report], [], [], left)[0]:
                raise ChildDiedError(self._late())
            piece = os.read(self._report, 1 << 16)
            self._heard += len(piece)
            if not piece:
                raise ChildDiedError(self._death())
            if self._heard > _REPORT_MAX:
                raise ChildDiedError(Check("crash", False, "a report of a few lines", "more"))
            first, *others = piece.split(b"\n")
            self._lines[-1] += first
            self._lines += others
        try:
            facts = json.loads(self._lines.pop(0))
        except (ValueError, RecursionError):
            facts = None
        if not isinstance(facts, dict):
            raise ChildDiedError(Check("crash", False, "a report", "something else"))
        if isinstance(check := facts.get("check"), dict):
            self._doing = f"after {check.get('name')}"
        return facts

    def close(self) -> None:
        """Kill it and all that it started."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):  # it waits inside the kernel
                self._process.wait(_GONE_S)
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        for end in (self._report, self._words):
            with contextlib.suppress(OSError):
                os.close(end)

    def _late(self) -> Check:
        allowed = self._deadline - self._began
        seen = f"no end ({self._doing})"
        return Check("validation_timeout", False, f"an end within {allowed:.0f} s", seen)

    def _death(self) -> Check:
        """Why it is gone. Killed, it ran out of something; anything else is its own fault."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GONE_S)
        code = self._process.returncode
        if code is None:
            return self._late()
        if code == -signal.SIGXCPU:
            expected, seen = f"at most {self._cpu_s} s of CPU time", f"more ({self._doing})"
            return Check("validation_timeout", False, expected, seen)
        if code == -signal.SIGKILL:
            seen = f"killed ({self._doing}): memory or CPU time ran out"
            return Check("validation_timeout", False, "an end of its own", seen)
        how = signal.strsignal(-code) if code < 0 else f"exit {code}"
        words = self._last_words()
        seen = f"{how} ({self._doing})" + (f": {words}" if words else "")
        return Check("crash", False, "a child that lives", seen)

    def _last_words(self) -> str:
        """The last line that it wrote to standard error."""
        try:
            text = os.read(self._words, 1 << 16)[-_SAID_MAX:].decode("utf-8", "replace")
        except BlockingIOError:
            return ""
        return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
