"""The image steps: crop, rotate, limit, motion; and privacy masks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_runtime.errors import BadOptionError, EndOfStream, FrameError, SourceLostError
from edge_runtime.frame import Frame
from edge_runtime.preprocess.crop import Crop
from edge_runtime.preprocess.limit import Limit
from edge_runtime.preprocess.mask import Mask
from edge_runtime.preprocess.motion import Motion
from edge_runtime.preprocess.rotate import Rotate
from edge_runtime.sources.cameras.images import Images
from edge_runtime.sources.cameras.masked import Masked

START_NS = 1_700_000_000_000_000_000
STEPS = {
    "crop": lambda: Crop(box=(0.25, 0.25, 0.75, 0.75)),
    "rotate": lambda: Rotate(degrees=90, flip="vertical"),
    "limit": lambda: Limit(rate_hz=10),
    "motion": Motion,
}


def picture(height=100, width=200, seed=0):
    return np.random.default_rng(seed).integers(1, 255, (height, width, 3)).astype(np.uint8)


def frame(data, seq=0, at_s=0.0):
    return Frame(data, START_NS + round(at_s * 1e9), round(at_s * 1e9), seq, "gate")


def only(step, data):
    made = step(frame(data))
    return made.data if isinstance(made, Frame) else made[0].data


@pytest.mark.parametrize("name", STEPS)
def test_a_frame_that_goes_on_keeps_its_clocks_and_source_and_is_contiguous(name):
    step, made = STEPS[name](), []
    for seq in range(4):
        given = frame(picture(seed=seq), seq, seq / 10)
        for out in step(given):
            made.append(out)
            assert out.timestamp_ns == given.timestamp_ns
            assert out.monotonic_ns == given.monotonic_ns
            assert out.source == "gate"
            assert out.data.flags.c_contiguous

    assert len(made) >= 3
    assert not list(step.flush())


@pytest.mark.parametrize("name", ["crop", "rotate", "motion"])
def test_s04_what_is_no_picture_is_refused(name):
    for data in (np.zeros((10, 2), np.float32), np.empty((0, 5, 3), np.uint8)):
        with pytest.raises(FrameError, match="is no image"):
            list(STEPS[name]()(frame(data)))


def test_a_mask_is_burned_into_the_picture_itself():
    given = frame(picture())
    made = Mask(areas=((0.1, 0.2, 0.3, 0.5),), colour=(1, 2, 3))(given)

    assert (made.data[20:50, 20:60] == (1, 2, 3)).all()
    assert made.data is given.data  # nobody holds what was under it


def test_a_mask_covers_every_pixel_that_its_area_touches_and_little_more():
    data = picture()
    made = only(Mask(areas=((0.101, 0.201, 0.299, 0.499),)), data.copy())
    changed = np.argwhere((made != data).any(axis=2))

    assert changed.min(axis=0).tolist() == [20, 20]
    assert changed.max(axis=0).tolist() == [49, 59]


def test_a_polygon_is_covered_inside_and_open_outside():
    data = np.full((100, 200, 3), 9, np.uint8)
    made = only(Mask(areas=((0.5, 0.1, 0.9, 0.9, 0.1, 0.9),)), data)

    assert (made[50, 100] == 0).all()
    assert (made[89, 30:170] == 0).all()
    assert (made[20, 20] == 9).all()
    assert (made[20, 180] == 9).all()
    assert (made[95] == 9).all()


def test_a_mask_follows_a_camera_that_changes_its_size():
    step = Mask(areas=((0.0, 0.0, 0.5, 1.0),))
    only(step, picture())
    made = only(step, picture(height=50, width=60))

    assert (made[:, :30] == 0).all()
    assert (made[:, 32:] != 0).all()


def test_a_mask_paints_on_a_copy_of_what_cannot_be_written():
    data = picture()
    data.flags.writeable = False

    assert (only(Mask(areas=((0.0, 0.0, 1.0, 1.0),)), data) == 0).all()
    assert (data != 0).all()


def test_a_masked_source_is_the_source_with_its_pictures_painted_over(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), picture())
    source = Masked(Images(path=str(tmp_path)), Mask(areas=((0.0, 0.0, 0.5, 1.0),)))
    source.open()
    data = source.read(1.0).data

    assert (data[:, :100] == 0).all()
    assert (data[:, 102:] != 0).all()
    with pytest.raises(EndOfStream):
        source.read(1.0)
    source.close()
    with pytest.raises(SourceLostError, match="is not open"):
        source.read(1.0)
    assert (source.name, source.live) == ("images", False)


def test_crop_gives_the_part_in_the_box():
    data = picture()

    made = only(Crop(box=(0.25, 0.5, 0.75, 1.0)), data)

    np.testing.assert_array_equal(made, data[50:100, 50:150])


@pytest.mark.parametrize(
    ("options", "corner"),
    [
        ({}, (0, 0)),
        ({"degrees": 90}, (0, 3)),
        ({"degrees": 180}, (3, 5)),
        ({"degrees": 270}, (5, 0)),
        ({"flip": "horizontal"}, (0, 5)),
        ({"flip": "vertical"}, (3, 0)),
        ({"degrees": 90, "flip": "horizontal"}, (0, 0)),
    ],
)
def test_rotate_turns_clockwise_and_then_flips(options, corner):
    data = np.zeros((4, 6, 3), np.uint8)
    data[0, 0] = 255

    made = only(Rotate(**options), data)

    assert made.shape == ((6, 4, 3) if options.get("degrees") in (90, 270) else (4, 6, 3))
    assert np.argwhere(made[..., 0]).tolist() == [list(corner)]


@pytest.mark.parametrize("rate_hz", [1.0, 7.0, 10.0, 24.9, 60.0])
def test_limit_keeps_its_rate_on_the_average(rate_hz):
    step, jitter = Limit(rate_hz=rate_hz), np.random.default_rng(3).normal(0, 0.004, 1000)
    made = [
        out
        for seq in range(1000)
        for out in step(frame(picture(2, 2), seq, seq / 25 + abs(jitter[seq])))
    ]

    assert len(made) == pytest.approx(min(rate_hz, 25.0) * 40, rel=0.03)
    assert [out.seq for out in made] == list(range(len(made)))


def test_limit_shows_a_hole_in_seq_and_outlives_a_clock_that_is_set_back():
    step, small = Limit(rate_hz=10), picture(2, 2)
    made = [*step(frame(small, 0, 0.0)), *step(frame(small, 5, 0.5))]
    made += [*step(frame(small, 6, -3600.0)), *step(frame(small, 7, -3599.9))]

    assert [out.seq for out in made] == [0, 2, 3, 4]


def walk(step, count, moving, first=0, noise=3.0):
    """Frames at 10 Hz of a noisy room in which a square may walk; the numbers that went on."""
    room = np.random.default_rng(8).integers(60, 180, (12, 16, 3)).repeat(20, 0).repeat(20, 1)
    passed = []
    for seq in range(first, first + count):
        data = room + np.random.default_rng(seq).normal(0, noise, room.shape)
        if moving:
            left = (7 * seq) % 280
            data[150:190, left : left + 30] = 255
        data = np.clip(data, 0, 255).astype(np.uint8)
        passed += [(seq, out.seq) for out in step(frame(data, seq, seq / 10))]
    return passed


def test_motion_keeps_the_gate_shut_on_a_noisy_room_and_opens_it_for_a_walker():
    step = Motion(hold_s=1.0)

    assert walk(step, 20, moving=False) == []
    assert [seq for seq, _ in walk(step, 20, moving=True, first=20)] == list(range(20, 40))
    after = walk(step, 30, moving=False, first=40)

    assert 9 <= len(after) <= 12  # the hold
    assert after[-1][0] <= 52


def test_motion_shows_what_it_left_out_as_a_hole_in_seq():
    step = Motion(hold_s=0.0)
    walk(step, 5, moving=False)
    first = walk(step, 5, moving=True, first=5)
    walk(step, 30, moving=False, first=10)
    again = walk(step, 5, moving=True, first=40)

    assert [number for _, number in first] == list(range(len(first)))
    assert again[0][1] == len(first) + 1


def test_motion_outside_the_regions_does_not_open_the_gate():
    above, below = ((0.0, 0.0, 1.0, 0.5),), ((0.0, 0.5, 1.0, 0.5, 1.0, 1.0, 0.0, 1.0),)
    for regions, opens in ((above, False), (below, True)):
        step = Motion(regions=regions)
        walk(step, 5, moving=False)

        assert bool(walk(step, 10, moving=True, first=5)) is opens


def test_what_stands_still_for_long_becomes_background():
    step = Motion(hold_s=0.0)
    bright = frame(np.full((60, 80, 3), 200, np.uint8))
    step(frame(np.full((60, 80, 3), 50, np.uint8), 0, 0.0))
    passed = [bool(step(bright._replace(seq=k, timestamp_ns=START_NS + k * 10**8)))
              for k in range(1, 600)]  # fmt: skip

    assert passed[0]
    assert not any(passed[400:])


@pytest.mark.parametrize(
    ("build", "options", "key"),
    [
        (Mask, {"areas": ()}, "areas"),
        (Mask, {"areas": ((0.0, 0.0, 10.0, 10.0),)}, "areas"),
        (Mask, {"areas": ((0.0, 0.0, 1.0),)}, "areas"),
        (Mask, {"areas": ((0.5, 0.0, 0.2, 1.0),)}, "areas"),
        (Mask, {"areas": ((0.0, 0.0, 1.0, 1.0),), "colour": (0, 0, 256)}, "colour"),
        (Crop, {"box": (0.5, 0.5, 0.5, 0.9)}, "box"),
        (Limit, {"rate_hz": 0.0}, "rate_hz"),
        (Motion, {"share": 0.0}, "share"),
        (Motion, {"levels": 0}, "levels"),
        (Motion, {"hold_s": -1.0}, "hold_s"),
        (Motion, {"regions": ((2.0,),)}, "regions"),
    ],
)
def test_an_impossible_option_is_refused_by_name(build, options, key):
    with pytest.raises(BadOptionError) as refused:
        build(**options)

    assert refused.value.key == key
