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
from contextlib import ExitStack
from typing import Any

from edge_runtime.errors import UpdateError

from .checks import Check, one_line

_SAID_MAX = 4096  # bytes of its last words that are kept
_REPORT_MAX = 1 << 20  # bytes that it may say in all
_HANDED = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH")  # no secret of the run file's goes along
_GONE_S = 2.0
_PAUSE_S = 0.01


class ChildDiedError(Exception):
    """The child is gone, or was ended; `check` says why."""

    def __init__(self, check: Check) -> None:
        super().__init__(check.seen)
        self.check = check


class Child:
    """A judging child with its process group. Raises OSError when it cannot be started.

    Args:
        job: what it is to do; the descriptor of the report is added.
        wall_s: how long it may be waited for, all in all, before it is killed.
        cpu_s: what it may use, for the message.
    """

    def __init__(self, job: Mapping[str, Any], wall_s: float, cpu_s: int) -> None:
        self._wall_s, self._left_s, self._cpu_s = wall_s, wall_s, cpu_s
        self._doing, self._heard, self._lines = "start", 0, [b""]
        self.tell(json.dumps({**job, "report": self._start()}))

    def _start(self) -> int:
        """Gives the descriptor of the report, as the child has it."""
        with ExitStack() as theirs, ExitStack() as ours:
            self._report, report = _pipe(ours, theirs)
            self._words, last_words = _pipe(ours, theirs)
            for end in (self._words, last_words):
                os.set_blocking(end, False)  # what nobody reads is dropped, and blocks nobody
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-B", "-m", "edge_runtime.update.gate.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=last_words,
                pass_fds=(report,),
                start_new_session=True,  # its group can be killed
                env={name: os.environ[name] for name in _HANDED if name in os.environ},
            )
            self._ends = ours.pop_all()
        return report

    def tell(self, line: str) -> None:
        """One line to its standard input; a child that is gone says so at the next `hear`."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """Its next line. Raises ChildDiedError when its time is up, at its end, for nonsense."""
        while len(self._lines) < 2:
            began = time.monotonic()
            heard = select.select([self._report], [], [], max(0.0, self._left_s))[0]
            self._left_s -= time.monotonic() - began
            if not heard:
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
        check = facts.get("check")
        if isinstance(check, dict) and isinstance(name := check.get("name"), str):
            self._doing = f"after {one_line(name)}"
        return facts

    def close(self) -> None:
        """Kill it and all that it started."""
        self._kill()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._ends.close()

    def _kill(self) -> None:
        """Its group too, before it is reaped: afterwards that number may be another's."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):  # it waits inside the kernel
                self._process.wait(_GONE_S)

    def _lives(self) -> bool:
        how = os.WEXITED | os.WNOWAIT | os.WNOHANG
        try:
            return os.waitid(os.P_PID, self._process.pid, how) is None
        except ChildProcessError:  # SIGCHLD is ignored here: it was reaped
            return False

    def _late(self) -> Check:
        expected = f"an end within {self._wall_s:g} s"
        return Check("validation_timeout", False, expected, f"no end ({self._doing})")

    def _death(self) -> Check:
        """Why it is gone. Killed, it ran out of something; anything else is its own fault."""
        until = time.monotonic() + _GONE_S
        while (lives := self._lives()) and time.monotonic() < until:
            time.sleep(_PAUSE_S)
        self._kill()
        if lives:
            return Check("crash", False, "a report to the end", f"none any more ({self._doing})")
        code = self._process.returncode
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
        return one_line(next((line for line in reversed(text.splitlines()) if line.strip()), ""))


def no_start(why: str) -> UpdateError:
    """Before its walls are up it has read nothing: whatever happens is no candidate's fault."""
    return UpdateError(f"the gate's child does not start: {why}", reason="gate")


def _pipe(ours: ExitStack, theirs: ExitStack) -> tuple[int, int]:
    """The end to read and the end to write, closed with their stacks. Raises OSError."""
    read, write = os.pipe()
    ours.callback(os.close, read)
    theirs.callback(os.close, write)
    return read, write
