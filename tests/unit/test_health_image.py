"""Image health: frozen within five seconds, blank at once, back with the first live picture."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.errors import BadOptionError
from edge_runtime.frame import Frame
from edge_runtime.health.image import ImageHealth

RATE_HZ = 10
HEIGHT, WIDTH = 240, 320


def scene(seed=0, noise=1.0):
    """A textured picture with the noise of a sensor."""
    still = np.random.default_rng(99).integers(30, 220, (12, 16, 3)).repeat(20, 0).repeat(20, 1)
    noisy = still + np.random.default_rng(seed).normal(0, noise, still.shape)
    return np.clip(noisy.round(), 0, 255).astype(np.uint8)


def plain(level, noise=1.0, seed=0):
    noisy = level + np.random.default_rng(seed).normal(0, noise, (HEIGHT, WIDTH, 3))
    return np.clip(noisy.round(), 0, 255).astype(np.uint8)


def frame(data, at_s=0.0):
    return Frame(data, 0, round(at_s * 1e9), round(at_s * RATE_HZ), "gate")


def states(health, pictures, rate_hz=RATE_HZ):
    return [health(frame(data, at / rate_hz)).state for at, data in enumerate(pictures)]


def test_a_still_scene_with_the_noise_of_a_sensor_is_live():
    pictures = [scene(seed, noise=0.7) for seed in range(60)]

    assert set(states(ImageHealth(), pictures)) == {"live"}


def test_a_small_thing_that_moves_keeps_an_otherwise_repeated_picture_live():
    pictures = []
    for at in range(60):
        data = scene()
        data[100:110, 5 * at : 5 * at + 10] = 255
        pictures.append(data)

    assert set(states(ImageHealth(), pictures)) == {"live"}


def test_s03_a_picture_that_repeats_is_frozen_within_five_seconds_and_unusable():
    health = ImageHealth()
    said = [health(frame(scene(), at / RATE_HZ)) for at in range(50)]

    first = [verdict.state for verdict in said].index("frozen")
    assert 2.9 <= first / RATE_HZ <= 5
    assert all(not verdict.usable for verdict in said[first:])
    assert len({verdict.detail for verdict in said[first:]}) == 1  # one state, announced once


def test_s03_an_encoder_that_repeats_a_picture_with_a_grey_level_more_is_frozen():
    pictures = [scene() + np.uint8(at % 15 == 0) for at in range(50)]

    assert states(ImageHealth(), pictures)[-1] == "frozen"


def test_s03_the_first_picture_that_differs_is_live_again():
    health = ImageHealth()
    assert states(health, [scene()] * 40)[-1] == "frozen"

    verdict = health(frame(scene(seed=1, noise=3), 4.1))

    assert (verdict.state, verdict.usable) == ("live", True)


def test_a_camera_of_one_picture_in_two_seconds_is_not_frozen_before_three_repeats():
    assert states(ImageHealth(), [scene()] * 4, rate_hz=0.5) == ["live", "live", "live", "frozen"]


def test_a_reopened_camera_has_its_time_anew():
    health = ImageHealth()
    states(health, [scene()] * 29)
    health.restart()

    assert health(frame(scene(), 3.5)).state == "live"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (plain(0, noise=0), "black"),
        (plain(4), "black"),
        (plain(128, noise=0), "of one colour"),
        (plain(np.array([20, 20, 200])), "of one colour"),
        (plain(240), "white"),
        (plain(255, noise=0), "over-exposed"),
    ],
)
def test_s04_a_picture_in_which_nothing_can_be_seen_is_blank_at_once(data, words):
    verdict = ImageHealth()(frame(data))

    assert verdict.state == "blank"
    assert words in verdict.detail
    assert not verdict.usable


def test_s04_a_picture_that_is_nearly_all_white_is_over_exposed():
    data = plain(255, noise=0)
    data[:10] = scene()[:10]

    assert "over-exposed" in ImageHealth()(frame(data)).detail


def test_a_dark_scene_with_a_light_in_it_is_live():
    data = plain(5)
    data[100:150, 100:150] = 180  # three hundredths of the picture

    assert ImageHealth()(frame(data)).state == "live"


@pytest.mark.parametrize(
    "data",
    [
        np.empty((0, 0, 3), np.uint8),
        np.zeros((240, 320), np.uint8),
        np.zeros((240, 320, 3), np.float32),
    ],
)
def test_s04_what_is_no_picture_is_unusable_and_no_crash(data):
    assert not ImageHealth()(frame(data)).usable


def test_a_change_of_size_is_no_repeat():
    health = ImageHealth()
    states(health, [scene()] * 40)

    assert health(frame(scene()[:100], 4.0)).state == "live"


def test_every_judgement_can_be_switched_off():
    health = ImageHealth(frozen_s=0, contrast=0, white_share=1)

    assert set(states(health, [plain(255, noise=0)] * 60)) == {"live"}


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"frozen_s": -1.0}, "frozen_s"),
        ({"tolerance": 99}, "tolerance"),
        ({"contrast": -1}, "contrast"),
        ({"white_share": 0.0}, "white_share"),
    ],
)
def test_an_impossible_option_is_refused_by_name(options, key):
    with pytest.raises(BadOptionError) as refused:
        ImageHealth(**options)

    assert refused.value.key == key
