"""The source `shapes`: known truth, the same for the same seed, at the pace that is asked for."""

from __future__ import annotations

import time

import numpy as np
import pytest

from edge_runtime.errors import BadOptionError, EndOfStream
from edge_runtime.sources.generators.shapes import SHAPES, Shapes, draw
from tests.contracts.test_source_contract import SourceContract


def all_of(source):
    source.open()
    frames = []
    while True:
        try:
            frame = source.read(1.0)
        except EndOfStream:
            return frames
        if frame is not None:
            frames.append(frame)


def test_it_gives_its_count_of_bgr_pictures_and_ends():
    frames = all_of(Shapes(count=5, pace="flat", width=80, height=48))

    assert [frame.seq for frame in frames] == [0, 1, 2, 3, 4]
    assert {(frame.data.shape, str(frame.data.dtype)) for frame in frames} == {
        ((48, 80, 3), "uint8")
    }


def test_the_same_seed_gives_the_same_pictures_and_another_seed_others():
    first, again, other = (
        all_of(Shapes(count=3, seed=seed, pace="flat", width=64, height=64)) for seed in (4, 4, 5)
    )

    assert all(np.array_equal(a.data, b.data) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a.data, b.data) for a, b in zip(first, other, strict=True))


def test_the_truth_holds_every_shape_about_as_often_as_any_other():
    truth = Shapes(count=600).truth

    assert len(truth) == 600
    assert set(truth) == set(SHAPES)
    assert min(truth.count(shape) for shape in SHAPES) > 70


def test_a_shape_stands_out_from_its_background_and_none_does_not():
    """Half of the pixels around the truth's own colour: a picture of `none` has no second mode."""
    seed = 9
    truth = Shapes(count=200, seed=seed).truth

    def spread(seq):
        picture = draw(seed, seq, 96, 96).astype(np.float32)
        near = np.abs(picture - np.median(picture, axis=(0, 1))).max(axis=2)
        return np.mean(near > 55)

    plain = [spread(seq) for seq in range(200) if truth[seq] == "none"]
    shaped = [spread(seq) for seq in range(200) if truth[seq] != "none"]
    assert np.median(shaped) > 0.05
    assert np.median(plain) < 0.02


def test_the_real_pace_keeps_its_rate_and_a_short_wait_gives_nothing():
    source = Shapes(count=4, pace="real", rate_hz=20.0, width=32, height=32)
    began = time.monotonic()
    source.open()
    assert source.read(1.0).seq == 0
    assert source.read(0.001) is None

    rest = []
    while len(rest) < 3:
        frame = source.read(1.0)
        if frame is not None:
            rest.append(frame)

    assert 0.15 <= time.monotonic() - began < 1.0
    assert np.diff([frame.timestamp_ns for frame in rest]).tolist() == [50_000_000] * 2


def test_it_can_be_opened_again_and_starts_afresh():
    source = Shapes(count=2, pace="flat", width=32, height=32)

    assert len(all_of(source)) == len(all_of(source)) == 2
    source.close()
    source.close()


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"count": 0}, "count"),
        ({"rate_hz": 0.0}, "rate_hz"),
        ({"rate_hz": float("nan")}, "rate_hz"),
        ({"width": 8}, "width"),
        ({"height": 9999}, "height"),
        ({"seed": -1}, "seed"),
    ],
)
def test_an_impossible_option_is_refused_by_name(options, key):
    with pytest.raises(BadOptionError) as refused:
        Shapes(**options)

    assert refused.value.key == key


class TestShapes(SourceContract):
    @pytest.fixture
    def make(self):
        return lambda: Shapes(name="shapes", count=10, pace="flat", width=64, height=48)


class TestShapesAtRealPace(SourceContract):
    @pytest.fixture
    def make(self):
        return lambda: Shapes(name="shapes", count=10, rate_hz=100.0, width=64, height=48)
