"""The artificial ECG: known beats, premature ones as in the textbook, and the source around it."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from edge_runtime.ecg.matching import match_beats
from edge_runtime.ecg.qrs import QrsDetector
from edge_runtime.ecg.synthetic import WAVES, Noise, Player, SyntheticEcg
from edge_runtime.errors import BadOptionError, EndOfStream, SourceLostError
from edge_runtime.frame import Frame
from edge_runtime.sources.generators.ecgsyn import EcgSyn

QUIET = Noise(0, 0)


def play(source: EcgSyn) -> list[Frame]:
    source.open()
    frames = []
    while True:
        try:
            frame = source.read(5.0)
        except EndOfStream:
            source.close()
            return frames
        assert frame is not None
        frames.append(frame)


def test_it_gives_frames_of_one_lead_in_order_and_then_ends() -> None:
    frames = play(EcgSyn(name="demo", seconds=10, pace="flat", chunk_s=0.1))

    assert [frame.seq for frame in frames] == list(range(100))
    assert {frame.data.shape for frame in frames} == {(36, 1)}
    assert frames[0].data.dtype == np.float32
    assert {(frame.leads, frame.rate_hz, frame.source) for frame in frames} == {
        (("MLII",), 360.0, "demo")
    }
    assert frames[50].timestamp_ns - frames[0].timestamp_ns == 5_000_000_000
    assert EcgSyn.live is False


def test_a_seed_gives_the_same_signal_however_it_is_cut() -> None:
    short = play(EcgSyn(name="a", seconds=20, seed=7, pace="flat", chunk_s=0.04, mains_mv=0.1))
    long = play(EcgSyn(name="a", seconds=20, seed=7, pace="flat", chunk_s=3.0, mains_mv=0.1))
    other = play(EcgSyn(name="a", seconds=20, seed=8, pace="flat", chunk_s=3.0, mains_mv=0.1))

    joined = np.concatenate([frame.data for frame in short])
    np.testing.assert_array_equal(joined, np.concatenate([frame.data for frame in long]))
    assert not np.array_equal(joined, np.concatenate([frame.data for frame in other]))


def test_it_can_be_played_again() -> None:
    source = EcgSyn(name="a", seconds=5, pace="flat")
    one, two = play(source), play(source)
    np.testing.assert_array_equal(one[3].data, two[3].data)


def test_the_truth_is_where_the_r_peaks_are() -> None:
    source = EcgSyn(name="a", seconds=120, seed=3, pace="flat")
    frames = play(source)
    signal = np.concatenate([frame.data for frame in frames])[:, 0].astype(np.float64)

    detector = QrsDetector(360.0)
    found = detector.feed(signal) + detector.flush()

    truth = [at for at, _ in source.truth]
    assert len(match_beats(truth, found, within=4)) == len(truth) == len(found)
    assert {label for _, label in source.truth} == {"N", "S", "V"}
    first_ns = frames[0].timestamp_ns
    assert abs(source.truth_ns(first_ns)[0][0] - first_ns - truth[0] / 360 * 1e9) <= 2


def test_a_ventricular_beat_is_early_and_followed_by_a_full_compensatory_pause() -> None:
    beats = SyntheticEcg(360, 1800, seed=1, ventricular=1.0).beats()
    found = [k for k, beat in enumerate(beats[:-1]) if beat.label == "V" and k > 2]
    usual = np.median([beat.rr_s for beat in beats])
    assert len(found) > 100
    for k in found:
        assert beats[k].rr_s < 0.82 * usual
        two = beats[k].rr_s + beats[k + 1].rr_s
        assert two == pytest.approx(2 * usual, rel=0.15)


def test_a_supraventricular_beat_is_early_and_resets_the_rhythm() -> None:
    beats = SyntheticEcg(360, 1800, seed=1, ventricular=0.0).beats()
    found = [k for k, beat in enumerate(beats[:-1]) if beat.label == "S"]
    usual = np.median([beat.rr_s for beat in beats])
    assert len(found) > 100
    for k in found:
        assert beats[k].rr_s < 0.82 * usual
        assert beats[k + 1].rr_s == pytest.approx(usual, rel=0.12)


@pytest.mark.parametrize(
    ("share", "least", "most"), [(0.0, 0, 0), (0.12, 0.10, 0.14), (0.3, 0.25, 0.33)]
)
def test_the_share_of_premature_beats_is_as_asked(share: float, least: float, most: float) -> None:
    labels = [beat.label for beat in SyntheticEcg(360, 3600, premature=share).beats()]
    assert least <= 1 - labels.count("N") / len(labels) <= most


@pytest.mark.parametrize("bpm", [40.0, 70.0, 150.0])
def test_the_rate_is_as_asked(bpm: float) -> None:
    beats = SyntheticEcg(360, 600, mean_bpm=bpm, premature=0.0).beats()
    assert 60 / np.mean([beat.rr_s for beat in beats[1:]]) == pytest.approx(bpm, rel=0.02)
    assert np.std([beat.rr_s for beat in beats[1:]]) > 0.01 * 60 / bpm  # a living heart varies


def test_the_waves_have_physiological_size_and_width() -> None:
    ecg = SyntheticEcg(1000, 60, premature=0.2, noise=QUIET, seed=2)
    signal = Player(ecg).next(10**9)
    widths = {}
    for beat in ecg.beats()[1:-1]:
        at = round(beat.r_s * 1000)
        near = np.abs(signal[at - 100 : at + 150])
        assert near.argmax() == pytest.approx(100, abs=3)
        assert 1.0 < near.max() < 1.8
        widths[beat.label] = int((near > 0.1 * near.max()).sum())
    assert widths["N"] < 100
    assert widths["V"] > 120
    assert any(wave.at_s < -0.1 for wave in WAVES["N"])
    assert not any(wave.at_s < -0.1 for wave in WAVES["V"])  # no P wave


def test_noise_is_added_in_millivolts() -> None:
    kwargs = {"rate_hz": 500.0, "seconds": 60.0, "seed": 4}
    clean = Player(SyntheticEcg(noise=QUIET, **kwargs)).next(10**9)
    muscle = Player(SyntheticEcg(noise=Noise(0, 0.05), **kwargs)).next(10**9) - clean
    mains = Player(SyntheticEcg(noise=Noise(0, 0, 0.2), **kwargs)).next(10**9) - clean
    assert muscle.std() == pytest.approx(0.05, rel=0.02)
    assert np.abs(mains).max() == pytest.approx(0.2, rel=0.02)
    assert np.abs(np.fft.rfft(mains)).argmax() == 50 * 60


def test_real_pace_takes_the_time_of_the_heart() -> None:
    source = EcgSyn(name="a", seconds=1.0, chunk_s=0.2, pace="real")
    started = time.monotonic()
    frames = play(source)
    assert 0.95 <= time.monotonic() - started < 2
    assert len(frames) == 5


def test_real_pace_gives_nothing_before_its_time() -> None:
    source = EcgSyn(name="a", seconds=10, chunk_s=5.0, pace="real")
    source.open()
    started = time.monotonic()
    assert source.read(0.05) is None
    assert time.monotonic() - started < 1
    source.close()


def test_close_wakes_a_waiting_read() -> None:
    source = EcgSyn(name="a", seconds=100, chunk_s=50.0, pace="real")
    source.open()
    threading.Timer(0.1, source.close).start()
    started = time.monotonic()
    assert source.read(20.0) is None
    assert time.monotonic() - started < 5


def test_a_source_that_is_not_open_says_so() -> None:
    source = EcgSyn(name="demo")
    source.close()
    with pytest.raises(SourceLostError, match="demo: is not open"):
        source.read(0)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("rate_hz", 20.0),
        ("seconds", 0.0),
        ("seconds", float("nan")),
        ("seed", -1),
        ("pace", "slow"),
        ("chunk_s", 0.0),
        ("mean_bpm", 500.0),
        ("premature", 0.9),
        ("ventricular", 1.1),
        ("muscle_mv", -0.1),
    ],
)
def test_impossible_options_are_refused_by_name(option: str, value: object) -> None:
    with pytest.raises(BadOptionError) as caught:
        EcgSyn(name="a", **{option: value})
    assert caught.value.key == option
