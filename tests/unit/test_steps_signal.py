"""The signal steps, each for itself: time, arithmetic, options and refusals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edge_runtime.ecg.leads import LIMB, canonical_lead
from edge_runtime.ecg.synthetic import Player, SyntheticEcg
from edge_runtime.errors import BadOptionError, ConfigError, FrameError
from edge_runtime.frame import Frame
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


def samples(step: Step, signal: np.ndarray, rate_hz: float = RATE_HZ) -> np.ndarray:
    return np.concatenate([f.data for f in through(step, frames(signal, [], rate_hz=rate_hz))])


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


def test_bandpass_keeps_a_qrs_frequency_and_its_time() -> None:
    time_s = np.arange(8 * 360) / 360
    tone = np.sin(2 * np.pi * 15 * time_s)[:, None].astype(np.float32)
    step = Bandpass(low_hz=0.5, high_hz=40, mains_hz=50)

    found, times_ns = samples_and_times(through(step, frames(tone, [])), joined=True)

    at_s = (np.array(times_ns) - START_NS) / 1e9
    later = at_s > 4
    error = found[later, 0] - np.sin(2 * np.pi * 15 * at_s[later])
    assert np.abs(error).max() < 0.015
    assert at_s[0] == pytest.approx(-step.delay_s, abs=1e-9)
    assert 0.004 < step.delay_s < 0.007


def test_bandpass_shifts_no_r_peak_by_a_millisecond() -> None:
    synthetic = SyntheticEcg(1000.0, 30, seed=4)
    signal = Player(synthetic).next(10**9)[:, None].astype(np.float32)

    for low_hz, high_hz in ((0.05, 40), (0.5, 40), (0.5, 150), (1, 30)):
        step = Bandpass(low_hz=low_hz, high_hz=high_hz)
        found, times_ns = samples_and_times(
            through(step, frames(signal, [], rate_hz=1000.0)), joined=True
        )

        errors_ms = []
        for beat in synthetic.beats()[2:-1]:
            near = slice(round(beat.r_s * 1000) - 40, round(beat.r_s * 1000) + 60)
            peak_ns = times_ns[near][int(found[near, 0].argmax())]
            errors_ms.append((peak_ns - START_NS) / 1e6 - beat.r_s * 1000)
        assert abs(np.median(errors_ms)) < 1.0, (low_hz, high_hz)


@pytest.mark.parametrize(
    ("hz", "least", "most"), [(0.05, 0, 0.011), (0.5, 0.69, 0.72), (40, 0.69, 0.72), (120, 0, 0.08)]
)
def test_bandpass_has_the_corners_it_states(hz: float, least: float, most: float) -> None:
    time_s = np.arange(60 * 360) / 360
    tone = np.sin(2 * np.pi * hz * time_s)[:, None].astype(np.float32)

    made = samples(Bandpass(low_hz=0.5, high_hz=40), tone)

    assert least <= np.abs(made[20 * 360 : 40 * 360]).max() <= most


def test_bandpass_removes_an_offset_without_a_transient() -> None:
    assert np.abs(samples(Bandpass(), np.full((720, 1), 3.0, np.float32))).max() < 1e-6


@pytest.mark.parametrize(
    ("options", "fit"),
    [
        ({"low_hz": 0.05, "low_order": 1}, True),
        ({"low_hz": 0.05, "low_order": 2}, False),
        ({"low_hz": 0.5, "low_order": 2}, False),
    ],
)
def test_bandpass_leaves_the_st_segment_alone_only_where_it_says_so(options, fit) -> None:
    pulse = np.zeros((6 * 500, 1), np.float32)
    pulse[500:550] = 3.0  # 3 mV for 100 ms, the pulse of IEC 60601-2-25

    made = samples(Bandpass(high_hz=150, **options), pulse, 500.0)[560:, 0]

    assert (np.abs(made).max() < 0.1) == fit
    assert (np.abs(np.diff(made[:100])).max() * 500 < 0.3) == (options["low_hz"] < 0.1)


def test_bandpass_says_where_it_has_not_settled() -> None:
    step = Bandpass(low_hz=0.5, high_hz=40)
    first = frames(ecg(6.0), range(100, 2160, 100))
    after_gap = frames(ecg(6.0), range(100, 2160, 100), first_seq=50)

    made = through(step, [*first, *after_gap])

    states: dict[str, int] = {}
    for frame in made:
        states[frame.state] = states.get(frame.state, 0) + len(frame.data)
    assert states["settling"] == states["gap"] == 542
    assert [f.state for f in made] == sorted(
        (f.state for f in made[: len(made) // 2]), key="settling live".index
    ) + sorted((f.state for f in made[len(made) // 2 :]), key="gap live".index)
    assert list(np.diff([f.seq for f in made])).count(2) == 1


def test_after_settling_a_twentieth_is_left_of_a_wrong_start() -> None:
    signal = np.zeros((60 * 250, 1), np.float32)
    signal[0] = 1.0  # the filter starts as if this had stood for ever
    for options in ({"low_hz": 0.5}, {"low_hz": 0.05, "low_order": 1}, {"low_hz": 0.05}):
        made = through(Bandpass(high_hz=40, **options), frames(signal, [], rate_hz=250.0))
        assert [frame.state for frame in made] == ["settling", "live"]
        assert np.abs(made[1].data).max() <= 0.051
        assert np.abs(made[0].data[50:]).max() > 0.2


def test_every_signal_step_states_its_high_pass_and_its_delay() -> None:
    steps = {
        "leads": (Leads(names=("MLII",)), 0.0, 0.0),
        "window": (Window(length_s=1), 0.0, 0.0),
        "resample": (Resample(rate_hz=250), 0.0, 19 / 360),
        "itself": (Resample(rate_hz=360), 0.0, 0.0),
        "bandpass": (Bandpass(), 0.5, 0.0052),
        "no high-pass": (Bandpass(low_hz=0), 0.0, 0.0056),
    }
    for name, (step, highpass_hz, delay_s) in steps.items():
        list(step(frames(ecg(), [])[0]))
        assert step.highpass_hz == highpass_hz, name
        assert step.delay_s == pytest.approx(delay_s, abs=1e-4), name


def test_resample_gives_a_sample_when_its_delay_has_passed() -> None:
    step = Resample(rate_hz=250)
    latest_ns = 0
    for frame in frames(ecg(), range(1, 720)):
        for out in step(frame):
            late_ns = frame.timestamp_ns - out.timestamp_ns
            latest_ns = max(latest_ns, late_ns)
    assert latest_ns / 1e9 == pytest.approx(step.delay_s, abs=2 / 360)


def test_mains_notch_removes_mains_only() -> None:
    time_s = np.arange(10 * 360) / 360
    hum = np.sin(2 * np.pi * 50 * time_s)[:, None].astype(np.float32)
    tone = np.sin(2 * np.pi * 20 * time_s)[:, None].astype(np.float32)
    make = lambda: Bandpass(low_hz=0, high_hz=0, mains_hz=50)  # noqa: E731

    assert np.abs(samples(make(), hum)[1800:]).max() < 0.001
    assert np.abs(samples(make(), tone)[1800:]).max() > 0.98


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


def limb(*names: str, seconds: float = 1.0) -> list[Frame]:
    """Frames of the limb leads of two artificial potentials, on a grid of 2^-10 mV."""
    one, two = np.round(ecg(seconds) * 1024).astype(np.float32).T / 1024
    truth = {"I": one, "II": two, "III": two - one, "aVR": -(one + two) / 2}
    truth |= {"aVL": one - two / 2, "aVF": two - one / 2}
    signal = np.stack([truth[canonical_lead(name)] for name in names], axis=1)
    return [f._replace(leads=names) for f in frames(signal, [100, 101, 108])]


@pytest.mark.parametrize("names", [("i", "II"), ("Lead III", "aVF"), ("AVR", "avl"), ("II", "aVL")])
def test_leads_derives_the_limb_leads_that_are_not_there(names: tuple[str, ...]) -> None:
    made = through(Leads(names=LIMB), limb(*names))

    truth = np.concatenate([frame.data for frame in limb(*LIMB)])
    found = np.concatenate([frame.data for frame in made])
    assert made[0].leads == LIMB
    np.testing.assert_allclose(found, truth, atol=1e-6)
    if names == ("i", "II"):
        np.testing.assert_array_equal(found, truth)


def test_leads_never_derives_a_lead_that_is_there() -> None:
    given = [f._replace(data=f.data + np.float32([0, 0, 5])) for f in limb("I", "II", "III")]
    made = through(Leads(names=("III", "aVR")), given)
    np.testing.assert_array_equal(made[0].data[:, 0], given[0].data[:, 2])


def test_leads_refuses_chest_leads_and_what_it_must_not_derive() -> None:
    with pytest.raises(ConfigError, match="chest: has no lead V2; it has I, II"):
        list(Leads(names=("III", "V2"))(limb("I", "II")[0]))
    with pytest.raises(ConfigError, match="chest: has no lead III; it has I, II"):
        list(Leads(names=("III",), derive=False)(limb("I", "II")[0]))
    with pytest.raises(ConfigError, match="chest: more than one lead is II; it has II, II"):
        list(Leads(names=("II",))(limb("II", "ii")[0]))
    with pytest.raises(ConfigError, match="chest: has no lead V4; it has I, II"):
        list(Leads(names=("I",), inverted=("V4",))(limb("I", "II")[0]))


def test_leads_makes_absent_leads_zeros_only_where_it_is_told_to_and_says_which() -> None:
    given = limb("I", "II")
    step = Leads(names=("V1", "II", "aVF"), absent="zero")

    made = np.concatenate([frame.data for frame in through(step, given)])

    one, two = np.concatenate([frame.data for frame in given]).T
    np.testing.assert_array_equal(made, np.stack([0 * one, two, two - one / 2], axis=1))
    assert step.note == "zeros for V1; it has I, II"
    with pytest.raises(ConfigError, match="chest: has no lead V1; it has I, II"):
        list(Leads(names=("V1", "II"), absent="refuse")(given[0]))


def test_leads_with_absent_ones_still_refuses_a_stream_that_has_none_of_them() -> None:
    with pytest.raises(ConfigError, match="chest: has no lead V1, V2; it has I, II"):
        list(Leads(names=("V1", "V2"), absent="zero")(limb("I", "II")[0]))
    with pytest.raises(ConfigError, match="chest: has no lead V4; it has I, II"):
        list(Leads(names=("I", "V1"), absent="zero", inverted=("V4",))(limb("I", "II")[0]))


def test_leads_has_nothing_to_note_when_all_are_there_again() -> None:
    step = Leads(names=("I", "II"), absent="zero")
    list(step(limb("I")[0]))
    assert step.note == "zeros for II; it has I"

    list(step(limb("I", "II")[0]))
    assert not step.note


def test_leads_turns_inverted_leads_before_it_derives() -> None:
    upright = through(Leads(names=("I", "II", "III")), limb("I", "II"))
    given = [f._replace(data=f.data * np.float32([1, -1])) for f in limb("I", "II")]
    turned = through(Leads(names=("I", "II", "III"), inverted=("ii",)), given)
    for one, other in zip(upright, turned, strict=True):
        np.testing.assert_array_equal(one.data, other.data)


def test_leads_keeps_the_names_of_leads_that_it_does_not_know() -> None:
    given = [f._replace(leads=("CM5", "ECG1")) for f in limb("I", "II")]
    (made, *_) = through(Leads(names=("ECG1", "CM5")), given)
    assert made.leads == ("ECG1", "CM5")
    np.testing.assert_array_equal(made.data, given[0].data[:, ::-1])


def test_beats_gives_a_window_around_each_r_peak() -> None:
    synthetic = SyntheticEcg(RATE_HZ, 60, seed=2)
    signal = Player(synthetic).next(10**9)[:, None].astype(np.float32)

    made = through(Beats(relative=False, template=False), frames(signal, range(100, 21600, 100)))

    r_s = [beat.r_s for beat in synthetic.beats() if beat.r_s < 59.4]
    found_s = [(frame.beat.timestamp_ns - START_NS) / 1e9 for frame in made]
    np.testing.assert_allclose(found_s, r_s, atol=0.008)
    assert {frame.data.shape for frame in made} == {(324, 1)}
    half_ns = 0.5e9 / RATE_HZ + 2  # the R peak stands between the samples
    assert all(abs(f.timestamp_ns - (f.beat.timestamp_ns - 4e8)) <= half_ns for f in made)
    rr_s = [frame.beat.rr_s for frame in made]
    assert rr_s[0] is None
    np.testing.assert_allclose(rr_s[1:], np.diff(r_s), atol=0.008)
    assert made[-1].beat.rate_bpm == pytest.approx(60 / np.mean(np.diff(r_s)[-12:]), abs=1)


def test_beats_gives_template_and_difference_relative_to_the_template() -> None:
    made = through(Beats(), frames(ecg(30.0), []))

    assert {frame.data.shape for frame in made} == {(324, 3)}
    assert made[0].leads == ("MLII", "MLII template", "MLII difference")
    shapes = {name: values.shape for name, values in made[0].features.items()}
    assert shapes == {"rr": (8,), "shape": (7,), "context": (15,), "fibrillation": (1,)}
    for frame in made[1:]:
        beat, template, difference = frame.data.T
        np.testing.assert_allclose(np.abs(template).max(), 1.0, atol=1e-5)
        np.testing.assert_allclose(beat - template, difference, atol=1e-5)


def test_beats_scores_fibrillation_where_the_window_holds_the_p_wave() -> None:
    whole, short = (
        [float(frame.features["fibrillation"][0]) for frame in through(step, frames(ecg(60.0), []))]
        for step in (Beats(), Beats(pre_s=0.2))
    )

    assert set(whole[:8]) == {0.0}
    assert 0 < max(whole) < 0.3
    assert set(short) == {0.0}


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
        (lambda: Bandpass(low_hz=float("nan")), "low_hz"),
        (lambda: Bandpass(low_order=3), "low_order"),
        (lambda: Leads(names=("II",), inverted=("II", "ii")), "inverted"),
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
