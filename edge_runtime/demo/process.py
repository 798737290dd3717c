"""The pipeline as its users start it: `edge-run start` in a process of its own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import final

STOP_TIMEOUT_S = 20.0  # to deliver what was computed; then it is killed, and that is told
LOG_LINES = 12

_TOTAL = re.compile(r"^(\d+) results from (\d+) frames, (\d+) bad$", re.MULTILINE)
_SOURCE = re.compile(r"^\S+: (\d+) frames read, (\d+) dropped, (\d+) bad", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Summary:
    """What `edge-run start` says at its end."""

    read: int
    dropped: int
    bad: int
    frames: int
    results: int


def parse_summary(text: str) -> Summary | None:
    """The numbers in the last lines of `edge-run start`; None when they are not there."""
    totals = _TOTAL.findall(text)
    if not totals:
        return None
    results, frames, refused = map(int, totals[-1])
    sources = [tuple(map(int, found)) for found in _SOURCE.findall(text)]
    return Summary(
        read=sum(source[0] for source in sources),
        dropped=sum(source[1] for source in sources),
        bad=refused + sum(source[2] for source in sources),
        frames=frames,
        results=results,
    )


@final
class PipelineProcess:
    """A context manager: runs a run file, its log in a file; stopped at the latest on leaving.

    It is out of reach of the terminal's Ctrl-C, so that `stop` alone decides when it drains.
    """

    def __init__(self, run_file: Path, log_file: Path) -> None:
        self.log_file = log_file
        self._run_file = run_file
        self._process: subprocess.Popen[bytes] | None = None
        self._asked: float | None = None  # monotonic time of the first stop

    def __enter__(self) -> PipelineProcess:
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "edge_runtime", "start", str(self._run_file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._process is not None:
            self._process.kill()
        self.stop()
        self.wait()

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return None if self._process is None else self._process.poll()

    def stop(self) -> None:
        """Ask it to deliver and end, as `systemctl stop` would; kill it when it does not."""
        if self._process is None or self._process.poll() is not None:
            return
        if self._asked is None:
            self._asked = time.monotonic()
            self._process.send_signal(signal.SIGTERM)
        elif time.monotonic() - self._asked > STOP_TIMEOUT_S:
            self._process.kill()

    def wait(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Wait for its end; kill it after `timeout_s`."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        """All that it has said so far."""
        return self.log_file.read_text("utf-8", "replace") if self.log_file.exists() else ""

    def last_lines(self) -> list[str]:
        """The end of its log."""
        return self.log().splitlines()[-LOG_LINES:]
