"""A broker in a process of its own: started, killed as by a power cut, started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

from .ports import HOST, free_port, wait_until

CONNECT = bytes.fromhex("100c00044d515454040200050000")  # MQTT 3.1.1, clean session, no client id
ACCEPTED = bytes.fromhex("20020000")


class Server:
    """A broker on a free port that keeps its data in `folder`.

    A kind of broker says what to run in `command`, and what more to set in `environment`.
    """

    start_timeout_s = 20.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.log = folder / "broker.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://localhost:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {}

    def answers(self) -> bool:
        """Whether an MQTT 3.1.1 client is let in; a listening port alone does not say that."""
        try:
            with socket.create_connection((HOST, self.port), timeout=2.0) as probe:
                probe.sendall(CONNECT)
                return probe.recv(4) == ACCEPTED
        except OSError:
            return False

    def start(self) -> None:
        """Return when it accepts MQTT connections."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.PIPE,  # what the embedded broker watches; it ends with us
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, **self.environment()},
                start_new_session=True,
            )
        wait_until(lambda: self._process.poll() is not None or self.answers(), self.start_timeout_s)
        assert self._process.poll() is None, self.log.read_text()

    def kill(self) -> None:
        """As a power cut would, with all its processes."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """As a service manager would."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Let it stand still, with all that it has open."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.killpg(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        """End it for good, and all that belongs to it."""
        self.kill()

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        try:
            os.killpg(process.pid, how)
            process.wait(30)
        except ProcessLookupError:
            process.wait()
        finally:
            process.stdin.close()
