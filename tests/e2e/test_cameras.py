"""Cameras through capture and pipeline: killed, stalled, frozen, black, and back."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time

import pytest

from edge_runtime.capture import Capture
from edge_runtime.health.image import ImageHealth
from edge_runtime.lane import Limits
from edge_runtime.sources.cameras.mjpeg import Mjpeg
from edge_runtime.sources.cameras.rtsp import Rtsp

from ..brokers import wait_until
from ..cameras import NoisyLine, mjpeg_port, mjpeg_server, rtsp_server

pytestmark = pytest.mark.alone

__all__ = ["mjpeg_port", "mjpeg_server", "rtsp_server"]

LIMITS = Limits(backoff_s=0.2, backoff_max_s=1.0, stale_s=0.5)
RUN_FILE = """\
name = "entrance"
[model]
path = "{model}"
[capture]
backoff_s = 0.2
backoff_max_s = 1.0
[[source]]
kind = "rtsp"
name = "gate"
url = "rtsp://127.0.0.1:{port}/camera"
username = "anna"
silent_s = 1.0
[[step]]
kind = "limit"
rate_hz = 5.0
[[monitor]]
kind = "recorder"
path = "kept"
score_min = 0.0
before_s = 1.0
after_s = 1.0
[[sink]]
kind = "mqtt"
url = "{url}"
"""


class Watched:
    """A source with its capture thread and health, and what came of it."""

    def __init__(self, source, limits: Limits = LIMITS) -> None:
        self._capture = Capture([source], limits, {source.name: ImageHealth()})
        self.frames = []
        self.states = []
        self._capture.start()

    def until(self, state: str, timeout_s: float = 20.0) -> float:
        """Seconds until the source's state is this one."""
        started = time.monotonic()
        while True:
            frame = self._capture.take(0.05)
            if frame is not None:
                self.frames.append(frame)
            now = self._capture.states()[0].state
            if not self.states or self.states[-1] != now:
                self.states.append(now)
            if now == state and (state != "live" or frame is not None):
                return time.monotonic() - started
            assert time.monotonic() < started + timeout_s, self._capture.states()

    def close(self) -> None:
        self._capture.stop()
        self._capture.close()


@pytest.fixture
def watch():
    made = []

    def make(source, limits: Limits = LIMITS):
        made.append(Watched(source, limits))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(params=["rtsp", "mjpeg"])
def camera(request):
    """A server that may be harmed, and a source for it."""
    if request.param == "rtsp":
        server = request.getfixturevalue("rtsp_server")()
        url = f"rtsp://127.0.0.1:{server.port}/camera"
        return server, Rtsp(name="gate", url=url, silent_s=1.0)
    server = request.getfixturevalue("mjpeg_server")()
    url = f"http://127.0.0.1:{server.port}/stream"
    return server, Mjpeg(name="gate", url=url, silent_s=1.0)


def test_s01_s02_a_camera_that_is_killed_and_stalled_is_lost_each_time_and_comes_back(
    camera, watch
):
    server, source = camera
    watched = watch(source)
    watched.until("live")

    server.kill()
    watched.until("lost")
    server.start()
    watched.until("live")
    server.freeze()
    watched.until("lost")
    server.thaw()
    watched.until("live")

    seqs = [frame.seq for frame in watched.frames]
    assert seqs == sorted(set(seqs))
    assert "stale" in watched.states


def test_s01_pictures_are_back_within_two_seconds_of_a_server_that_serves_again(rtsp_server, watch):
    server = rtsp_server()
    watched = watch(Rtsp(name="gate", url=f"rtsp://127.0.0.1:{server.port}/camera"), Limits())
    watched.until("live")
    seconds = []
    for _ in range(3):
        server.kill()
        watched.until("lost")
        server.start()
        seconds.append(watched.until("live"))

    print(*(f"{one:.2f} s" for one in seconds))
    assert statistics.median(seconds) < 2


def test_s03_a_frozen_camera_is_called_so_within_five_seconds_and_gives_nothing_more(
    rtsp_server, watch
):
    server = rtsp_server("--pattern", "smpte", "--frozen")
    watched = watch(Rtsp(name="gate", url=f"rtsp://127.0.0.1:{server.port}/camera"))
    watched.until("live")

    seconds = watched.until("frozen")
    before = len(watched.frames)
    server.kill()
    watched.until("lost")

    assert seconds < 5
    assert len(watched.frames) <= before + LIMITS.mailbox


@pytest.mark.parametrize(("path", "state"), [("frozen", "frozen"), ("black", "blank")])
def test_s03_s04_pictures_that_show_nothing_new_are_a_state_and_no_frames(
    mjpeg_port, watch, path, state
):
    watched = watch(Mjpeg(name="gate", url=f"http://127.0.0.1:{mjpeg_port}/{path}"))

    assert watched.until(state) < 6
    if state == "blank":
        assert not watched.frames


@pytest.mark.parametrize("kind", ["rtsp", "mjpeg"])
def test_s07_a_line_on_which_bits_flip_costs_pictures_and_never_the_run(request, watch, kind):
    if kind == "rtsp":
        line = NoisyLine(request.getfixturevalue("rtsp_server")().port, every=10_000)
        source = Rtsp(name="gate", url=f"rtsp://127.0.0.1:{line.port}/camera", silent_s=1.0)
    else:
        line = NoisyLine(request.getfixturevalue("mjpeg_port"), every=50_000)
        source = Mjpeg(name="gate", url=f"http://127.0.0.1:{line.port}/stream", silent_s=1.0)
    watched = watch(source)
    try:
        until = time.monotonic() + 30
        while len(watched.frames) < 60:
            watched.until("live")
            assert time.monotonic() < until
    finally:
        watched.close()
        line.close()

    seqs = [frame.seq for frame in watched.frames]
    assert seqs == sorted(set(seqs))
    assert all(frame.data.shape == (240, 320, 3) for frame in watched.frames)


def test_a_camera_over_rtsp_is_watched_recorded_and_its_troubles_are_published(
    vww, tmp_path, rtsp_server, mosquitto, listen
):
    server = rtsp_server("--user", "anna", "--password", "se@cret")
    broker = mosquitto()
    heard = listen(broker.url)
    run_file = tmp_path / "run.toml"
    run_file.write_text(RUN_FILE.format(model=vww, port=server.port, url=broker.url))
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_runtime", "start", str(run_file)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "EDGE_RUN_RTSP_PASSWORD": "se@cret"},
    )

    def states() -> list[str]:
        return [json.loads(info)["sources"][0]["state"] for info in heard.on("/info")]

    wait_until(lambda: len(heard.on("/gate/result")) >= 5, 60)
    server.kill()
    wait_until(lambda: states()[-1] == "lost")
    results = len(heard.on("/gate/result"))
    server.start()
    wait_until(lambda: states()[-1] == "live")
    wait_until(lambda: len(heard.on("/gate/result")) > results, 30)
    process.terminate()
    _, log = process.communicate(timeout=30)

    assert process.returncode == 0, log
    assert "cret" not in log + "".join(str(info) for info in heard.on("/info"))
    assert list((tmp_path / "kept" / "gate").glob("*.avi"))
