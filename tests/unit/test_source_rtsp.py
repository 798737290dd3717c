"""The source `rtsp` against GStreamer's RTSP server: streams, log-ins, stalls, deaths."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from edge_runtime.errors import BadOptionError, SourceLostError
from edge_runtime.sources.cameras.rtsp import Rtsp

from ..brokers import wait_until
from ..cameras import rtsp_port, rtsp_server
from ..contracts.test_source_contract import SourceContract

__all__ = ["rtsp_port", "rtsp_server"]


@pytest.fixture
def camera():
    """Makes sources, and closes them."""
    made = []

    def make(port, path="camera", **options):
        made.append(Rtsp(name="gate", url=f"rtsp://127.0.0.1:{port}/{path}", **options))
        return made[-1]

    yield make
    for source in made:
        source.close()


def read_until_lost(source):
    """Seconds until it was lost, and the error."""
    started = time.monotonic()
    with pytest.raises(SourceLostError) as lost:
        while time.monotonic() < started + 20:
            source.read(0.1)
    return time.monotonic() - started, str(lost.value)


def readers():
    return [
        child
        for child in psutil.Process().children()
        if "edge_runtime.grabber.child" in child.cmdline()
    ]


class TestRtsp(SourceContract):
    @pytest.fixture
    def make(self, rtsp_port, camera):
        return lambda: camera(rtsp_port)


@pytest.mark.parametrize(
    ("codec", "options"),
    [("h264", {"transport": "udp"}), ("h264", {"latency": "safe"}), ("jpeg", {})],
)
def test_pictures_come_in_order_and_fresh(rtsp_server, camera, codec, options):
    source = camera(rtsp_server("--codec", codec).port, **options)
    source.open()
    frames = [source.read(2.0) for _ in range(20)]

    assert frames[0].seq == 0
    assert all(one.seq < other.seq for one, other in itertools.pairwise(frames))
    assert frames[-1].data.shape == (240, 320, 3)
    assert frames[-1].data.max() > 200
    assert time.monotonic_ns() - frames[-1].monotonic_ns < 1e9


def test_the_first_keyframe_is_shown_and_the_next_not_waited_for(rtsp_server, camera):
    source = camera(rtsp_server("--keyframe", "500").port)  # 20 seconds
    started = time.monotonic()
    source.open()

    assert source.read(2.0) is not None
    assert time.monotonic() - started < 10


def test_a_picture_stays_as_it_is_while_anyone_holds_it_or_a_part_of_it(rtsp_port, camera):
    source = camera(rtsp_port)
    source.open()
    parts, copies = [], []
    for _ in range(40):  # four times as many as there are places for
        frame = source.read(2.0)
        parts.append(frame.data[::2, ::2])
        copies.append(frame.data[::2, ::2].copy())
        del frame

    assert all((part == copy).all() for part, copy in zip(parts, copies, strict=True))
    assert len({copy.tobytes() for copy in copies}) > 30


@pytest.mark.parametrize(
    ("path", "password", "words"),
    [
        ("camera", "hunter2", "the camera refuses the user name and password"),
        ("nothing?password=se@cret", "se@cret", "the camera has no such path"),
    ],
)
def test_a_refusal_is_told_in_words_and_without_the_password(  # noqa: PLR0917 - fixtures
    rtsp_server, camera, capfd, path, password, words
):
    server = rtsp_server("--user", "anna", "--password", "se@cret")
    source = camera(server.port, path, username="anna", password=password)

    with pytest.raises(SourceLostError, match=words) as lost:
        source.open()

    told = str(lost.value) + repr(source) + "".join(capfd.readouterr())
    for secret in ("hunter2", "se@cret", "se%40cret"):
        assert secret not in told


def test_the_password_is_in_no_list_of_processes(rtsp_server, camera):
    server = rtsp_server("--user", "anna", "--password", "se@cret")
    source = camera(server.port, username="anna", password="se@cret")
    source.open()

    assert source.read(2.0).data.shape == (240, 320, 3)
    (reader,) = readers()
    assert "cret" not in " ".join(reader.cmdline())
    assert "cret" not in " ".join(reader.environ().values())


def test_s02_a_server_that_stalls_is_lost_in_time_and_comes_back(rtsp_server, camera):
    server = rtsp_server()
    source = camera(server.port, silent_s=1.0)
    source.open()
    before = source.read(2.0)
    server.freeze()
    seconds, message = read_until_lost(source)
    server.thaw()
    source.open()
    after = source.read(2.0)

    assert 0.5 < seconds < 4
    assert "has given no picture for 1 s" in message
    assert after.seq > before.seq + 1


def test_s02_a_read_that_blocks_is_killed(rtsp_port, camera):
    source = camera(rtsp_port, silent_s=0.5)
    source.open()
    (reader,) = readers()
    os.kill(reader.pid, signal.SIGSTOP)  # as blocked as a process can be

    seconds, message = read_until_lost(source)

    assert seconds < 3
    assert "no picture for 0.5 s" in message
    assert not readers()
    source.open()
    assert source.read(2.0) is not None


def test_s02_a_reader_that_dies_is_noticed_at_once(rtsp_port, camera):
    source = camera(rtsp_port, silent_s=10)
    source.open()
    os.kill(readers()[0].pid, signal.SIGKILL)

    seconds, message = read_until_lost(source)

    assert seconds < 1.5
    assert "lost its reader process (signal 9)" in message


def test_a_server_that_dies_is_lost_and_one_that_starts_again_is_found(rtsp_server, camera):
    server = rtsp_server()
    source = camera(server.port, silent_s=2.0)
    source.open()
    server.kill()
    read_until_lost(source)

    with pytest.raises(SourceLostError, match=r"Connection refused: is the camera on"):
        source.open()
    server.start()
    source.open()
    assert source.read(2.0) is not None


def test_a_camera_that_was_there_is_waited_for_while_it_starts_again(rtsp_server, camera):
    server = rtsp_server()
    source = camera(server.port)
    source.open()
    server.kill()
    read_until_lost(source)
    again = threading.Timer(0.5, server.start)
    again.start()
    try:
        source.open()  # no second call, so no back-off, is needed
    finally:
        again.join()

    assert source.read(2.0) is not None


def test_a_stream_that_ends_is_lost(rtsp_server, camera):
    source = camera(rtsp_server("--frames", "120").port, silent_s=2.0)
    source.open()

    _, message = read_until_lost(source)

    assert "no more pictures" in message or "no picture for" in message


def test_opening_and_losing_it_again_and_again_leaves_nothing_behind(rtsp_port, camera):
    source = camera(rtsp_port)
    held = []
    for _ in range(3):
        source.open()
        held.append(source.read(2.0))
        source.close()
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    source.open()
    source.read(2.0)
    source.close()

    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    assert not readers()
    assert held[0].data.max() > 200  # a frame outlives its reader


def test_a_reader_that_blocks_ends_with_its_parent_even_when_that_is_killed(rtsp_server):
    server = rtsp_server()
    code = (
        "from edge_runtime.sources.cameras.rtsp import Rtsp; import psutil\n"
        f"source = Rtsp(url='rtsp://127.0.0.1:{server.port}/camera')\n"
        "source.open(); source.read(2.0)\n"
        "print(psutil.Process().children()[0].pid, flush=True); input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        reader = psutil.Process(int(parent.stdout.readline()))
        server.freeze()
        parent.kill()

    wait_until(lambda: not reader.is_running() or reader.status() == "zombie", 5)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"url": "http://camera/"}, "url"),
        ({"url": "rtsp://anna:hunter2@camera/"}, "url"),
        ({"url": "rtsp://camera/", "password": "hunter2"}, "username"),
        ({"url": "rtsp://camera/", "open_s": 0.0}, "open_s"),
        ({"url": "rtsp://camera/", "silent_s": 1e9}, "silent_s"),
    ],
)
def test_an_impossible_option_is_refused_by_name_and_shows_no_password(options, key):
    with pytest.raises(BadOptionError) as refused:
        Rtsp(**options)

    assert refused.value.key == key
    assert "hunter2" not in str(refused.value)
