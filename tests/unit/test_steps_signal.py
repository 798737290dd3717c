"""The signal steps, each for itself: time, arithmetic, options and refusals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edge_runtime.ecg.synthetic import Player, SyntheticEcg
from edge_runtime.errors import BadOptionError, ConfigError, FrameError
from edge_runtime.interfaces import Step
from edge_runtime.preprocess.bandpass import Bandpass
from edge_runtime.preprocess.beats import Beats
from edge_runtime.preprocess.leads import Leads
from edge_runtime.preprocess.resample import Resample
from edge_runtime.preprocess.window import Window
from tests.contracts.test_step_contract import (
    RATE_HZ,
    START_NS,
    ecg,
    frames,
    samples_and_times,
    through,
)


def test_a_change_of_rate_is_refused() -> None:
    one, two = frames(ecg(), [100])[0], frames(ecg(), [100], rate_hz=250.0)[1]
    for make in (Bandpass, Beats, lambda: Window(length_s=1), lambda: Resample(rate_hz=200)):
        step = make()
        list(step(one))
        with pytest.raises(FrameError, match=r"250\.0 Hz after 360\.0 Hz"):
            list(step(two))


@pytest.mark.parametrize(("rate_in", "rate_out"), [(360, 250), (250, 360), (125, 250), (1000, 250)])
def test_resample_keeps_a_sine_and_its_time(rate_in: int, rate_out: int) -> None:
    hz, top = 17.0, min(rate_in, rate_out)
    time_s = np.arange(4 * rate_in) / rate_in
    sine = np.sin(2 * np.pi * hz * time_s)[:, None].astype(np.float32)

    made = through(Resample(rate_hz=rate_out), frames(sine, [333], rate_hz=float(rate_in)))

    found, times_ns = samples_and_times(made, joined=True)
    at_s = (np.array(times_ns) - START_NS) / 1e9
    middle = (at_s > 0.5) & (at_s < 3.5)
    error = found[middle, 0] - np.sin(2 * np.pi * hz * at_s[middle])
    assert hz < 0.34 * top
    assert np.abs(error).max() < 0.002
    assert len(found) == pytest.approx(4 * rate_out, abs=1)
    assert {frame.rate_hz for frame in made} == {rate_out}


def test_resample_removes_what_the_new_rate_cannot_hold() -> None:
    time_s = np.arange(4000) / 1000
    sine = np.sin(2 * np.pi * 180 * time_s)[:, None].astype(np.float32)

    made = through(Resample(rate_hz=250), frames(sine, [], rate_hz=1000.0))

    assert np.abs(np.concatenate([f.data for f in made])[50:-50]).max() < 0.0015


def test_resample_follows_the_time_of_late_frames() -> None:
    late = [
        f._replace(timestamp_ns=f.timestamp_ns + 1_000_000 * k)  # a slow clock
        for k, f in enumerate(frames(ecg(), range(360, 12 * 360, 360)))
    ]

    made = through(Resample(rate_hz=250), late)

    duration_ns = made[-1].timestamp_ns + len(made[-1].data) * 4_000_000 - made[0].timestamp_ns
    assert duration_ns == pytest.approx(12.011e9, abs=2e6)


def test_bandpass_keeps_the_middle_and_its_time() -> None:
    time_s = np.arange(8 * 360) / 360
    tone = np.sin(2 * np.pi * 10 * time_s)[:, None].astype(np.float32)

    (made,) = through(Bandpass(low_hz=0.5, high_hz=40), frames(tone, []))

    at_s = (made.timestamp_ns - START_NS) / 1e9 + time_s
    later = at_s > 4
    error = made.data[later, 0] - np.sin(2 * np.pi * 10 * at_s[later])
    assert np.abs(error).max() < 0.01
    assert made.timestamp_ns < START_NS


@pytest.mark.parametrize(
    ("hz", "least", "most"), [(0.05, 0, 0.011), (0.5, 0.69, 0.72), (40, 0.69, 0.72), (120, 0, 0.08)]
)
def test_bandpass_has_the_corners_it_states(hz: float, least: float, most: float) -> None:
    time_s = np.arange(60 * 360) / 360
    tone = np.sin(2 * np.pi * hz * time_s)[:, None].astype(np.float32)

    (made,) = through(Bandpass(low_hz=0.5, high_hz=40), frames(tone, []))

    assert least <= np.abs(made.data[20 * 360 : 40 * 360]).max() <= most


def test_bandpass_removes_an_offset_without_a_transient() -> None:
    (made,) = through(Bandpass(), frames(np.full((720, 1), 3.0, np.float32), []))
    assert np.abs(made.data).max() < 1e-6


def test_mains_notch_removes_mains_only() -> None:
    time_s = np.arange(10 * 360) / 360
    hum = np.sin(2 * np.pi * 50 * time_s)[:, None].astype(np.float32)
    tone = np.sin(2 * np.pi * 20 * time_s)[:, None].astype(np.float32)
    make = lambda: Bandpass(low_hz=0, high_hz=0, mains_hz=50)  # noqa: E731

    (quiet,) = through(make(), frames(hum, []))
    (kept,) = through(make(), frames(tone, []))

    assert np.abs(quiet.data[1800:]).max() < 0.001
    assert np.abs(kept.data[1800:]).max() > 0.98


def test_window_cuts_where_it_says() -> None:
    ramp = np.arange(1000, dtype=np.float32)[:, None]

    made = through(Window(length_s=1.0, hop_s=0.5), frames(ramp, [10, 777], rate_hz=100.0))

    assert [int(f.data[0, 0]) for f in made] == list(range(0, 901, 50))
    assert all(f.data.shape == (100, 1) for f in made)
    assert made[3].timestamp_ns == START_NS + 1_500_000_000


def test_leads_chooses_columns_by_any_spelling() -> None:
    (made,) = through(Leads(names=("Lead v1",)), frames(ecg(), []))
    np.testing.assert_array_equal(made.data, ecg()[:, 1:])
    assert made.leads == ("V1",)


def test_leads_names_what_is_there_when_one_is_missing() -> None:
    with pytest.raises(ConfigError, match=r"chest: has no lead aVF; it has MLII, V1"):
        list(Leads(names=("MLII", "avf"))(frames(ecg(), [])[0]))


def test_beats_gives_a_window_around_each_r_peak() -> None:
    synthetic = SyntheticEcg(RATE_HZ, 60, seed=2)
    signal = Player(synthetic).next(10**9)[:, None].astype(np.float32)

    made = through(Beats(relative=False, template=False), frames(signal, range(100, 21600, 100)))

    r_s = [beat.r_s for beat in synthetic.beats() if beat.r_s < 59.4]
    found_s = [(frame.beat.timestamp_ns - START_NS) / 1e9 for frame in made]
    np.testing.assert_allclose(found_s, r_s, atol=0.008)
    assert {frame.data.shape for frame in made} == {(324, 1)}
    assert all(f.timestamp_ns == pytest.approx(f.beat.timestamp_ns - 4e8, abs=2) for f in made)
    rr_s = [frame.beat.rr_s for frame in made]
    assert rr_s[0] is None
    np.testing.assert_allclose(rr_s[1:], np.diff(r_s), atol=0.008)
    assert made[-1].beat.rate_bpm == pytest.approx(60 / np.mean(np.diff(r_s)[-12:]), abs=1)


def test_beats_gives_template_and_difference_relative_to_the_template() -> None:
    made = through(Beats(), frames(ecg(30.0), []))

    assert {frame.data.shape for frame in made} == {(324, 3)}
    assert made[0].leads == ("MLII", "MLII template", "MLII difference")
    assert made[0].features["rr"].shape == (8,)
    for frame in made[1:]:
        beat, template, difference = frame.data.T
        np.testing.assert_allclose(np.abs(template).max(), 1.0, atol=1e-5)
        np.testing.assert_allclose(beat - template, difference, atol=1e-5)


def test_beats_turns_an_inverted_signal_up() -> None:
    upright = through(Beats(flip="beat", pre_s=0.3, template=False), frames(ecg(20.0), []))
    inverted = through(Beats(flip="beat", pre_s=0.3, template=False), frames(-ecg(20.0), []))

    assert upright[0].data.shape == (288, 1)  # what a model of 0.3 s + 0.5 s at 360 Hz wants
    for one, other in zip(upright, inverted, strict=True):
        np.testing.assert_array_equal(one.data, other.data)
        assert one.data[108, 0] > 0.5


def test_beats_uses_the_lead_it_is_told() -> None:
    made = through(Beats(lead="v1", template=False), frames(ecg(), []))
    assert made[0].leads == ("v1",)
    with pytest.raises(ConfigError, match="has no lead aVL; it has MLII, V1"):
        list(Beats(lead="AVL")(frames(ecg(), [])[0]))


def test_beats_finds_nothing_in_a_flat_line() -> None:
    assert not through(Beats(), frames(np.zeros((3600, 1), np.float32), range(90, 3600, 90)))


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: Bandpass(low_hz=-1), "low_hz"),
        (lambda: Bandpass(low_hz=50, high_hz=40), "high_hz"),
        (lambda: Resample(rate_hz=0), "rate_hz"),
        (lambda: Resample(rate_hz=float("nan")), "rate_hz"),
        (lambda: Window(length_s=0), "length_s"),
        (lambda: Window(length_s=1, hop_s=-1), "hop_s"),
        (lambda: Beats(pre_s=0), "pre_s"),
        (lambda: Beats(memory=0), "memory"),
        (lambda: Leads(names=()), "names"),
        (lambda: Leads(names=("II", "lead ii")), "names"),
    ],
)
def test_impossible_options_are_refused_by_name(make: Callable[[], Step], key: str) -> None:
    with pytest.raises(BadOptionError) as caught:
        make()
    assert caught.value.key == key


def test_bandpass_refuses_a_rate_that_is_too_low() -> None:
    with pytest.raises(ConfigError, match="40 Hz is out of reach at 60 samples/s"):
        list(Bandpass()(frames(ecg(), [], rate_hz=60.0)[0]))
