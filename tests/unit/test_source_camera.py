"""The source `camera`: what it says when there is no camera, no permission, or no picture."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from edge_runtime.errors import BadOptionError, ConfigError, SourceLostError
from edge_runtime.grabber.messages import Facts
from edge_runtime.sources.cameras.camera import Camera


def test_s01_a_missing_camera_may_come_later():
    with pytest.raises(SourceLostError, match=r"front: /dev/video99: .*plugged in\?"):
        Camera(name="front", device="99").open()


def test_a_file_is_no_camera(tmp_path):
    file = tmp_path / "clip.mp4"
    file.touch()

    with pytest.raises(ConfigError, match="is no camera; for a recording use the source 'video'"):
        Camera(device=str(file)).open()


@pytest.mark.parametrize("isolate", [True, False])
def test_s01_a_device_that_gives_no_pictures_is_lost_and_named(isolate):
    with pytest.raises(SourceLostError, match="/dev/null cannot be opened: another program"):
        Camera(device="/dev/null", isolate=isolate).open()


def test_a_mode_that_was_not_asked_for_is_said_aloud(caplog):
    camera = Camera(width=1280, height=720, fps=30, fourcc="MJPG")

    camera._warn_of_another_mode(Facts(640, 480, 15.0, "YUYV"))

    for words in ("640x480, not the 1280x720", "rate of 15, not the 30", "YUYV, not the MJPG"):
        assert words in caplog.text


def test_a_mode_that_was_asked_for_or_is_not_told_gives_no_warning(caplog):
    camera = Camera(width=640, height=480, fps=30, fourcc="MJPG")

    camera._warn_of_another_mode(Facts(640, 480, 30.0, "MJPG"))
    camera._warn_of_another_mode(Facts(640, 480, 0.0, ""))

    assert not caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="making a device node needs root")
def test_s01_a_camera_without_permission_names_the_group():
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        node = Path(folder, "video0")
        os.mknod(node, stat.S_IFCHR | 0o600, os.makedev(1, 3))
        os.setresuid(65534, 65534, 0)
        try:
            with pytest.raises(ConfigError, match=r"no permission .* usermod -aG video"):
                Camera(device=str(node)).open()
        finally:
            os.setresuid(0, 0, 0)


def test_it_reads_nothing_before_it_is_open_and_closes_twice():
    camera = Camera()
    camera.close()
    camera.close()

    with pytest.raises(SourceLostError, match="is not open"):
        camera.read(0.1)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"device": ""}, "device"),
        ({"width": 0}, "width"),
        ({"height": -1}, "height"),
        ({"fps": 0.0}, "fps"),
        ({"fourcc": "MJPEG"}, "fourcc"),
        ({"skip": -1}, "skip"),
        ({"silent_s": 0.0}, "silent_s"),
    ],
)
def test_an_impossible_option_is_refused_by_name(options, key):
    with pytest.raises(BadOptionError) as refused:
        Camera(**options)

    assert refused.value.key == key


@pytest.mark.hardware
@pytest.mark.skipif(not Path("/dev/video0").exists(), reason="no camera at /dev/video0")
def test_a_camera_gives_pictures_in_order():
    camera = Camera(width=640, height=480)
    camera.open()
    frames = [camera.read(1.0) for _ in range(5)]
    camera.close()

    assert [frame.seq for frame in frames] == [0, 1, 2, 3, 4]
    assert frames[0].data.shape[2] == 3
    assert frames[4].monotonic_ns > frames[0].monotonic_ns
