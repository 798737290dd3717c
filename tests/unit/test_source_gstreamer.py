"""The sources `gstreamer`, by the real gst-launch-1.0, and `picamera` up to its hardware."""

from __future__ import annotations

import importlib.util
import os
import signal

import psutil
import pytest

from edge_runtime.errors import BadOptionError, ConfigError, SourceLostError
from edge_runtime.sources.cameras.gstreamer import GStreamer
from edge_runtime.sources.cameras.picamera import PiCamera

from ..brokers import wait_until
from ..contracts.test_source_contract import SourceContract
from ..needs import program

CAPS = "video/x-raw,width=320,height=240,framerate=30/1"
LIVE = f"videotestsrc is-live=true pattern=smpte ! {CAPS}"


@pytest.fixture
def camera():
    """Makes sources, and closes them."""
    program("gst-launch-1.0", "gstreamer1.0-tools gstreamer1.0-plugins-good")
    made = []

    def make(pipeline=LIVE, **options):
        made.append(GStreamer(name="jetson", pipeline=pipeline, **options))
        return made[-1]

    yield make
    for source in made:
        source.close()


def read_until_lost(source):
    with pytest.raises(SourceLostError) as lost:
        while True:
            source.read(0.1)
    return str(lost.value)


class TestGStreamer(SourceContract):
    @pytest.fixture
    def make(self, camera):
        return camera


def test_pictures_have_the_colours_of_the_test_card(camera):
    source = camera()
    source.open()
    row = source.read(2.0).data[50, 20::46]  # the middle of each of seven bars

    wanted = ["white", "yellow", "cyan", "green", "magenta", "red", "blue"]
    names = {
        (1, 1, 1): "white", (0, 1, 1): "yellow", (1, 1, 0): "cyan", (0, 1, 0): "green",
        (1, 0, 1): "magenta", (0, 0, 1): "red", (1, 0, 0): "blue",
    }  # fmt: skip
    assert [names[tuple(int(level > 100) for level in pixel)] for pixel in row] == wanted


@pytest.mark.parametrize(
    ("pipeline", "words"),
    [
        ("nosuchsrc", 'does not start: no element "nosuchsrc"'),
        ("videotestsrc ! nosuchthing", 'does not start: no element "nosuchthing"'),
        ("filesrc location=/nowhere.mp4 ! decodebin", "does not start: .*Resource not found"),
        ("videotestsrc ! video/x-raw,width=322,height=240", "multiple of 8"),
    ],
)
def test_a_pipeline_that_cannot_run_is_told_in_gstreamers_own_words(camera, pipeline, words):
    with pytest.raises(SourceLostError, match=words):
        camera(pipeline).open()


def test_a_pipeline_that_ends_is_lost(camera):
    source = camera(f"videotestsrc num-buffers=3 ! {CAPS}")
    source.open()

    assert "gives no more pictures" in read_until_lost(source)


def test_s02_a_pipeline_that_hangs_is_killed_and_started_again(camera):
    source, before = camera(silent_s=0.5), psutil.Process().children()
    source.open()
    (reader,) = set(psutil.Process().children()) - set(before)
    (launched,) = reader.children()
    os.kill(launched.pid, signal.SIGSTOP)

    assert "no picture for 0.5 s" in read_until_lost(source)
    wait_until(lambda: not launched.is_running() or launched.status() == psutil.STATUS_ZOMBIE, 5)
    source.open()
    assert source.read(2.0) is not None


@pytest.mark.parametrize("pipeline", ["", "videotestsrc !", "videotestsrc ! fakesink", "a 'b"])
def test_an_impossible_pipeline_is_refused(pipeline):
    with pytest.raises(BadOptionError) as refused:
        GStreamer(pipeline=pipeline)

    assert refused.value.key == "pipeline"


@pytest.mark.skipif(importlib.util.find_spec("picamera2") is not None, reason="it is installed")
def test_picamera_without_its_package_says_what_to_install():
    with pytest.raises(ConfigError, match=r"apt-get install python3-picamera2.*--system-site"):
        PiCamera().open()


@pytest.mark.parametrize(
    ("options", "key"),
    [({"camera": -1}, "camera"), ({"fps": 0.0}, "fps"), ({"skip": 999}, "skip")],
)
def test_an_impossible_option_of_picamera_is_refused_by_name(options, key):
    with pytest.raises(BadOptionError) as refused:
        PiCamera(**options)

    assert refused.value.key == key


@pytest.mark.hardware
def test_a_raspberry_pis_camera_gives_pictures():
    camera = PiCamera()
    camera.open()
    frames = [camera.read(2.0) for _ in range(5)]
    camera.close()

    assert all(frame.data.shape == (480, 640, 3) for frame in frames)
