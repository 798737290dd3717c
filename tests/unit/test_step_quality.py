"""The step `quality`: what each sample is stamped with, when, and that nothing else changes."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_runtime import registry
from edge_runtime.ecg.synthetic import Player, SyntheticEcg
from edge_runtime.errors import BadOptionError, ConfigError, FrameError
from edge_runtime.frame import BeatMark, Frame, Quality
from edge_runtime.preprocess.quality import QualityStep
from tests.contracts.test_step_contract import START_NS, frames, samples_and_times, through

RATE_HZ = 250.0


@functools.cache
def signal() -> np.ndarray:
    """16 s of a good lead, and one that holds noise from 12 s on."""
    one = Player(SyntheticEcg(RATE_HZ, 16.0, seed=5)).next(10**9)
    noise = np.random.default_rng(6).standard_normal(len(one))
    noisy = np.where(np.arange(len(one)) < 12 * RATE_HZ, one, 3 * noise)
    return np.stack([one, noisy], axis=1).astype(np.float32)


def cuts(chunk: int, offset: int = 0) -> list[int]:
    return [k for k in range(offset, len(signal()), chunk) if k]


def by_sample(made: list[Frame]) -> list[Quality]:
    return [frame.quality for frame in made for _ in range(len(frame.data))]


@functools.cache
def whole() -> list[Frame]:
    return through(QualityStep(lead="V1"), frames(signal(), [], RATE_HZ))


@settings(max_examples=4, deadline=None)
@example(chunk=1, offset=0)
@example(chunk=7, offset=3)
@example(chunk=250, offset=0)
@given(chunk=st.integers(2, 3000), offset=st.integers(0, 300))
def test_the_quality_of_a_sample_does_not_depend_on_the_chunk_size(chunk: int, offset: int) -> None:
    made = through(QualityStep(lead="V1"), frames(signal(), cuts(chunk, offset), RATE_HZ))
    assert by_sample(made) == by_sample(whole())
    found, times = samples_and_times(made, joined=True)
    np.testing.assert_array_equal(found, signal())
    expected = [START_NS + round(n * 1e9 / RATE_HZ) for n in range(len(found))]
    assert np.abs(np.subtract(times, expected)).max() <= 3
    assert [frame.seq for frame in made] == list(range(len(made)))


def test_a_judgement_holds_from_the_end_of_its_second_to_the_next() -> None:
    qualities = by_sample(whole())
    second = round(RATE_HZ)
    for n in range(16):
        assert len(set(qualities[n * second : (n + 1) * second])) == 1
    assert all(quality.reasons == ("settling",) for quality in qualities[: 10 * second])
    assert qualities[10 * second].state == qualities[12 * second].state == "good"
    assert qualities[-1].state == "bad"
    assert qualities[-1].reasons == ("noise",)


def test_a_frame_comes_out_at_once() -> None:
    step = QualityStep()
    for frame in frames(signal(), cuts(40), RATE_HZ):
        assert sum(len(made.data) for made in step(frame)) == len(frame.data)
    assert list(step.flush()) == []


def test_s09_after_a_gap_it_settles_anew() -> None:
    step = QualityStep()
    before = through(step, frames(signal(), [], RATE_HZ))
    after = through(step, frames(signal(), [], RATE_HZ, first_seq=9))
    assert by_sample(before) == by_sample(after)
    assert after[0].seq == before[-1].seq + 2
    assert after[0].quality == Quality("limited", None, ("settling",))


def test_two_steps_judge_two_leads_and_the_worse_stands() -> None:
    both = QualityStep(lead="V1")
    made = [
        out
        for frame in through(QualityStep(), frames(signal(), cuts(90), RATE_HZ))
        for out in both(frame)
    ]
    alone = by_sample(whole())
    for quality, worst in zip(by_sample(made)[10 * 250 :], alone[10 * 250 :], strict=True):
        assert quality.state == worst.state
        assert quality.score <= worst.score


def test_the_state_of_the_source_and_what_steps_have_added_pass() -> None:
    mark = BeatMark(START_NS, None, None)
    (frame,) = frames(signal()[:100], [], RATE_HZ)
    side = {"rr": np.ones(8, np.float32)}
    given_frame = frame._replace(state="gap", beat=mark, features=side)
    (made,) = QualityStep()(given_frame)
    assert (made.state, made.beat, made.features) == ("gap", mark, side)


def test_a_lead_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="chest: has no lead V5; it has MLII, V1"):
        QualityStep(lead="v5")(frames(signal(), [], RATE_HZ)[0])


def test_s10_a_frame_with_nan_is_refused() -> None:
    spoilt = signal()[:100].copy()
    spoilt[7, 0] = np.nan
    with pytest.raises(FrameError, match="NaN"):
        QualityStep()(frames(spoilt, [], RATE_HZ)[0])


@pytest.mark.parametrize(
    ("key", "options"),
    [
        ("good", {"good": 1.0}),
        ("bad", {"bad": 0.0}),
        ("bad", {"bad": 0.8}),
        ("margin", {"margin": 0.4}),
    ],
)
def test_an_impossible_option_is_refused(key: str, options: dict[str, float]) -> None:
    with pytest.raises(BadOptionError, match=key):
        QualityStep(**options)


def test_a_run_file_finds_it_by_its_name() -> None:
    assert registry.find("step", "quality") is QualityStep
