"""A camera's server in a process of its own: killed, stopped like a hung one, started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..needs import missing

HERE = Path(__file__).parent
SYSTEM_PYTHON = "/usr/bin/python3"  # it has GStreamer's bindings, which no wheel brings
PACKAGES = (
    "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-tools gstreamer1.0-plugins-base "
    "gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly"
)


class CameraServer:
    """`start` may follow `kill`: the port stays the same."""

    def __init__(self, *command: str) -> None:
        self._command = command
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    def start(self, *more: str) -> None:
        """Return when it serves."""
        words = [word.replace("{port}", str(self.port)) for word in (*self._command, *more)]
        self._process = subprocess.Popen(
            words, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        line = self._process.stdout.readline()
        assert line.strip().isdigit(), f"{words} does not start"
        self.port = int(line)

    def freeze(self) -> None:
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.killpg(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process.stdout.close()
            self._process = None


@pytest.fixture
def rtsp_server() -> Iterator[Callable[..., CameraServer]]:
    """Starts GStreamer's RTSP server with the given options; rtsp://127.0.0.1:PORT/camera."""
    yield from _servers(*_rtsp_command())


@pytest.fixture(scope="module")
def rtsp_port() -> Iterator[int]:
    """The port of an RTSP server that a whole module uses and none of its tests harms."""
    for start in _servers(*_rtsp_command()):
        yield start().port


def _rtsp_command() -> tuple[str, ...]:
    probe = "import gi; gi.require_version('GstRtspServer', '1.0')"
    if subprocess.run([SYSTEM_PYTHON, "-c", probe], capture_output=True, check=False).returncode:
        missing("GStreamer's RTSP server", f"apt-get install {PACKAGES}")
    return SYSTEM_PYTHON, str(HERE / "rtsp_server.py"), "--port", "{port}"


@pytest.fixture
def mjpeg_server() -> Iterator[Callable[..., CameraServer]]:
    """Starts the MJPEG server of this folder; http://127.0.0.1:PORT/stream."""
    yield from _servers(sys.executable, str(HERE / "mjpeg_server.py"), "{port}")


@pytest.fixture(scope="module")
def mjpeg_port() -> Iterator[int]:
    """The port of an MJPEG server that a whole module uses and none of its tests harms."""
    for start in _servers(sys.executable, str(HERE / "mjpeg_server.py"), "{port}"):
        yield start().port


def _servers(*command: str) -> Iterator[Callable[..., CameraServer]]:
    made: list[CameraServer] = []

    def start(*more: str) -> CameraServer:
        made.append(CameraServer(*command, *more))
        made[-1].start()
        return made[-1]

    try:
        yield start
    finally:
        for server in made:
            server.kill()
