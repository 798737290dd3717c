"""A process of its own for what may crash or hang: it takes nobody along."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from .errors import ConversionError

Facts = dict[str, Any]
Progress = Callable[[int, int, str], None]  # done, total (0: not known), what


def ask(
    command: Sequence[str | Path],
    job: Mapping[str, Any],
    timeout_s: float,
    on_progress: Progress | None = None,
    more: Mapping[str, str] | None = None,
) -> Facts:
    """Start a program, give it a job as JSON on standard input, and give its answer.

    It answers on standard output in lines of JSON: any number of `progress`, then one that is
    something else. `more` are environment variables. Raises ConversionError with how it ended,
    and its last words, when it ends without an answer.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        answer, ended = _converse(command, job, said, (timeout_s, on_progress, more or {}))
        if answer is None:
            raise ConversionError(f"{ended}; {_last(said)}")
    return answer


def _converse(
    command: Sequence[str | Path],
    job: Mapping[str, Any],
    said: IO[str],
    how: tuple[float, Progress | None, Mapping[str, str]],
) -> tuple[Facts | None, str]:
    """Its answer, None without one, and how it ended."""
    timeout_s, on_progress, more = how
    late = threading.Event()
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=said,
        text=True,
        encoding="utf-8",
        env={**os.environ, **more},
        start_new_session=True,
    ) as child:
        clock = threading.Timer(timeout_s, _stop, (child, late))
        clock.start()
        try:
            answer = _listen(child, json.dumps(job, default=str), on_progress)
            child.wait()
        finally:
            clock.cancel()
            _stop(child)
    return answer, _end(child.returncode, timeout_s, late=late.is_set())


def _listen(child: subprocess.Popen[str], job: str, on_progress: Progress | None) -> Facts | None:
    """Give the job, hear the child out; None when it ends without an answer."""
    if child.stdin is None or child.stdout is None:
        return None
    with suppress(BrokenPipeError):
        child.stdin.write(job)
        child.stdin.close()
    answer = None
    for line in child.stdout:
        said: Facts = json.loads(line)
        if "progress" not in said:
            answer = said
        elif on_progress:
            on_progress(*said["progress"])
    return answer


def _stop(child: subprocess.Popen[str], late: threading.Event | None = None) -> None:
    """End a child, if it still runs, and all that it started."""
    if late is not None:
        late.set()
    if child.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _end(status: int, timeout_s: float, *, late: bool) -> str:
    if late:
        return f"its process was stopped after {timeout_s:g} s"
    if status < 0:
        return f"its process crashed ({signal.Signals(-status).name})"
    return f"its process ended with status {status}"


def _last(said: IO[str]) -> str:
    said.seek(0)
    lines = [line.strip() for line in said.read().splitlines() if line.strip()]
    return f"its last words: {lines[-1]}" if lines else "it said nothing"
