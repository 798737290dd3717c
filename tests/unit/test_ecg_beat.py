"""Rhythm, template and shape: what is known of a beat from the beats before it."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.ecg.beat import RR_FEATURES, Rhythm, Template
from edge_runtime.ecg.shape import SHAPE_FEATURES, shape_features


def test_the_first_beat_has_no_interval() -> None:
    first = Rhythm().beat(12.5)
    assert first.rr_s is None
    assert first.rate_bpm is None
    assert first.features.shape == (len(RR_FEATURES),)


def test_a_premature_beat_shows_in_the_features() -> None:
    rhythm = Rhythm()
    for k in range(20):
        rhythm.beat(0.8 * k)
    early = rhythm.beat(0.8 * 19 + 0.5)
    late = rhythm.beat(0.8 * 19 + 1.6)
    assert early.rr_s == pytest.approx(0.5)
    np.testing.assert_allclose(early.features[:6], [0.5, 0.8, 0.625, 1, 1, 0.625], atol=1e-5)
    assert late.features[2] == pytest.approx(1.1 / 0.8, abs=1e-5)
    assert late.features[3] == pytest.approx(0.625, abs=1e-5)


def test_an_irregular_rhythm_shows_in_the_features() -> None:
    regular, irregular = Rhythm(), Rhythm()
    random = np.random.default_rng(0)
    times = np.cumsum(random.uniform(0.5, 1.1, 40))
    for k in range(40):
        steady, unsteady = regular.beat(0.8 * k), irregular.beat(float(times[k]))
    assert steady.features[6] == pytest.approx(0, abs=1e-4)
    assert unsteady.features[6] > 0.1
    assert unsteady.features[7] > 0.1


def test_the_rate_is_that_of_the_last_12_intervals_or_of_4_slow_ones() -> None:
    rhythm = Rhythm()
    at_s = 0.0
    for _ in range(14):
        at_s += 0.75
        fast = rhythm.beat(at_s)
    for _ in range(4):
        at_s += 1.5
        slow = rhythm.beat(at_s)
    assert fast.rate_bpm == pytest.approx(80)
    assert slow.rate_bpm == pytest.approx(40)


def test_the_template_is_the_median_of_the_last_beats() -> None:
    template = Template(length=3, memory=3)
    beats = np.array([[1, 1, 1], [2, 5, 0], [3, 3, 9], [9, 9, 9]], np.float32)
    made = [template.add(beat) for beat in beats]
    np.testing.assert_array_equal(made[0], beats[0])
    np.testing.assert_array_equal(made[2], [2, 3, 1])
    np.testing.assert_array_equal(made[3], [3, 5, 9])


def test_a_beat_like_its_template_has_no_difference() -> None:
    time_s = (np.arange(225) - 100) / 250
    normal = np.exp(-0.5 * (time_s / 0.012) ** 2).astype(np.float32)
    wide = 1.4 * np.exp(-0.5 * (time_s / 0.045) ** 2).astype(np.float32)

    same = shape_features(normal, normal, 100, 250.0)
    other = shape_features(wide, normal, 100, 250.0)

    assert same.shape == (len(SHAPE_FEATURES),)
    np.testing.assert_allclose(same[:4], [0, 0, 1, 1], atol=1e-4)
    assert other[0] > 0.2
    assert other[1] > 1
    assert other[2] == pytest.approx(2)
    assert other[3] == pytest.approx(1.4, abs=1e-3)


def test_a_flat_window_gives_finite_features() -> None:
    flat = np.zeros(225, np.float32)
    assert np.isfinite(shape_features(flat, flat, 100, 250.0)).all()
