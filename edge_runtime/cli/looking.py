"""SIGUSR1 to a running pipeline: look for a new model now, in a process of its own.

A command over MQTT raises the same signal. It says no more than "now": where models come from is
the run file's, and what they may be the repository's signatures'. So a forged or flooded command
costs a look a minute at most.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType

log = logging.getLogger(__name__)

PAUSE_S = 60.0  # between the beginnings of two looks


class Looking:
    """Starts `edge-run update apply`, at most one at a time and one in `pause_s`."""

    def __init__(self, run_file: Path, device: str | None, pause_s: float = PAUSE_S) -> None:
        words = ["update", "apply", str(run_file), *(["--device", device] if device else [])]
        self._command = [sys.executable, "-m", "edge_runtime", *words]
        self._pause_s = pause_s
        self._next_s = 0.0
        self._thread: threading.Thread | None = None

    def on_signal(self) -> None:
        """From now on SIGUSR1 asks."""

        def ask(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
            self.ask()

        signal.signal(signal.SIGUSR1, ask)

    def ask(self) -> bool:
        """Whether a look was begun; called by the main thread alone."""
        now_s = time.monotonic()
        if now_s < self._next_s or (self._thread is not None and self._thread.is_alive()):
            return False
        self._next_s = now_s + self._pause_s
        self._thread = threading.Thread(target=self._look, name="update", daemon=True)
        self._thread.start()
        return True

    def _look(self) -> None:
        """In a thread: starting a process takes longer than a frame may wait."""
        try:
            done = subprocess.run(
                self._command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
        except OSError as exc:
            log.warning("update: cannot look: %s", exc)
            return
        told = (done.stderr or done.stdout).strip().splitlines()
        level = logging.INFO if done.returncode == 0 else logging.WARNING
        log.log(level, "update: %s", told[-1] if told else f"exit {done.returncode}")
