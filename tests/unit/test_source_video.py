"""The source `video`: every frame, at its time, and no silent end."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest

from edge_runtime.errors import BadOptionError, ConfigError, EndOfStream, FrameError
from edge_runtime.sources.cameras.video import Video
from tests.contracts.test_source_contract import SourceContract


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Twenty frames at 25 a second; frame n is of grey level 10 n."""
    path = tmp_path_factory.mktemp("video") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (64, 48))
    assert writer.isOpened()
    for number in range(20):
        writer.write(np.full((48, 64, 3), 10 * number, np.uint8))
    writer.release()
    return path


def all_of(source):
    source.open()
    frames = []
    while True:
        try:
            frame = source.read(1.0)
        except EndOfStream:
            source.close()
            return frames
        if frame is not None:
            frames.append(frame)


def test_no_frame_is_left_out_and_each_has_its_place_in_the_video(clip):
    frames = all_of(Video(name="door", path=str(clip)))

    assert [frame.seq for frame in frames] == list(range(20))
    assert [round(float(frame.data.mean()) / 10) for frame in frames] == list(range(20))
    first = frames[0].timestamp_ns
    assert [round((frame.timestamp_ns - first) / 1e6) for frame in frames] == list(
        range(0, 800, 40)
    )
    assert frames[0].data.shape == (48, 64, 3)


def test_the_frames_of_a_real_video_are_those_that_opencv_gives(data):
    path = data / "video" / "car-detection.mp4"
    capture = cv2.VideoCapture(str(path))

    source = Video(path=str(path))
    source.open()
    for _ in range(25):
        assert np.array_equal(source.read(1.0).data, capture.read()[1])
    source.close()


def test_a_real_video_is_read_to_its_end(data):
    frames = 0
    source = Video(path=str(data / "video" / "car-detection.mp4"))
    source.open()
    with pytest.raises(EndOfStream):
        while source.read(1.0) is not None:
            frames += 1

    assert frames == 377
    with pytest.raises(EndOfStream):
        source.read(1.0)


def test_the_real_pace_takes_as_long_as_the_video(clip):
    source = Video(path=str(clip), pace="real")
    began = time.monotonic()

    frames = all_of(source)

    assert len(frames) == 20
    assert 0.75 <= time.monotonic() - began < 2.0


def test_a_frame_that_is_not_due_is_kept_for_later(clip):
    source = Video(path=str(clip), pace="real")
    source.open()
    assert source.read(1.0).seq == 0

    assert source.read(0.001) is None
    assert source.read(1.0).seq == 1


def test_a_video_that_breaks_off_says_so_before_it_ends(data, tmp_path):
    whole = (data / "video" / "car-detection.mp4").read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) // 4])
    source = Video(path=str(cut))
    source.open()

    with pytest.raises(FrameError, match=r"ends after \d+ of 377 frames"):
        while source.read(1.0) is not None:
            pass
    with pytest.raises(EndOfStream):
        source.read(1.0)


@pytest.mark.parametrize("content", [None, b"", b"no video at all" * 100])
def test_what_is_no_video_is_a_mistake_in_the_configuration(tmp_path, content):
    path = tmp_path / "video.mp4"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigError, match=r"video\.mp4"):
        Video(path=str(path)).open()


def test_a_folder_is_no_video(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        Video(path=str(tmp_path)).open()


def test_it_can_be_read_again_after_opening_again(clip):
    source = Video(path=str(clip))

    assert len(all_of(source)) == len(all_of(source)) == 20
    source.close()


@pytest.mark.parametrize(("options", "key"), [({"path": ""}, "path"), ({"threads": 0}, "threads")])
def test_an_impossible_option_is_refused_by_name(options, key):
    with pytest.raises(BadOptionError) as refused:
        Video(**{"path": "x", **options})

    assert refused.value.key == key


class TestVideo(SourceContract):
    @pytest.fixture
    def make(self, clip):
        return lambda: Video(name="door", path=str(clip))


class TestVideoAtRealPace(SourceContract):
    @pytest.fixture
    def make(self, clip):
        return lambda: Video(name="door", path=str(clip), pace="real")
