"""The QRS detector: on the MIT-BIH records, at other rates, and independent of the chunk size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_runtime.ecg.matching import AAMI, flutter_spans, match_beats
from edge_runtime.ecg.qrs import NEONATE, QrsDetector, QrsSettings, RPeak
from edge_runtime.ecg.synthetic import Noise, Player, SyntheticEcg
from edge_runtime.sources.records.wfdb_annotations import read_annotations
from edge_runtime.sources.records.wfdb_record import open_record


def record(folder: Path, name: str, seconds: float) -> tuple[np.ndarray, list[int]]:
    stop = round(seconds * 360)
    opened = open_record(folder / "ecg" / "mitdb" / name, ["MLII"])
    signal = np.concatenate([block.mv for block in opened.blocks(0, stop)])[:, 0]
    marks = read_annotations(folder / "ecg" / "mitdb" / f"{name}.atr")
    beats = [
        int(at)
        for at, symbol in zip(marks.samples, marks.symbols, strict=True)
        if symbol in AAMI and at < stop
    ]
    return signal.astype(np.float64), beats


def find(
    signal: np.ndarray, rate_hz: float, chunk: int, settings: QrsSettings | None = None
) -> list[RPeak]:
    detector = QrsDetector(rate_hz, settings) if settings else QrsDetector(rate_hz)
    found = []
    for at in range(0, len(signal), chunk):
        found += detector.find(signal[at : at + chunk])
    return found + detector.finish()


def detect(signal: np.ndarray, rate_hz: float, chunk: int) -> list[int]:
    return sorted(peak.sample for peak in find(signal, rate_hz, chunk))


def synthetic(rate_hz: float, seconds: float, **options: object) -> tuple[np.ndarray, np.ndarray]:
    ecg = SyntheticEcg(rate_hz, seconds, **options)
    return Player(ecg).next(10**9), np.array([beat.r_s for beat in ecg.beats()])


@pytest.mark.parametrize(
    ("name", "least"),
    [("100", 0.999), ("103", 0.999), ("119", 0.999), ("200", 0.995), ("232", 0.99), ("105", 0.97)],
)
def test_beats_of_a_record_are_found(data: Path, name: str, least: float) -> None:
    signal, beats = record(data, name, 600)

    found = detect(signal, 360.0, 90)

    matched = match_beats(beats, found, within=54)
    assert len(matched) / len(beats) >= least
    assert len(matched) / len(found) >= least
    errors = [found[j] - beats[i] for i, j in matched]
    assert abs(np.median(errors)) <= 1
    assert np.std(errors) <= 3


@settings(max_examples=5, deadline=None)
@example(chunk=1)
@example(chunk=7)
@example(chunk=14)  # 40 ms
@example(chunk=250)
@given(chunk=st.integers(2, 4000))
def test_beats_do_not_depend_on_the_chunk_size(data: Path, chunk: int) -> None:
    signal, _ = record(data, "203", 40)  # noisy: near every threshold
    assert find(signal, 360.0, chunk) == find(signal, 360.0, len(signal))


@settings(max_examples=12, deadline=None)
@example(seed=0, rate_hz=250.0, chunk=7, muscle_mv=1.0)  # near what passes for noise alone
@given(
    seed=st.integers(0, 1000),
    rate_hz=st.sampled_from([125.0, 250.0, 512.0]),
    chunk=st.integers(1, 600),
    muscle_mv=st.floats(0, 1.0),
)
def test_beats_in_noise_do_not_depend_on_the_chunk_size(
    seed: int, rate_hz: float, chunk: int, muscle_mv: float
) -> None:
    signal, _ = synthetic(rate_hz, 12, seed=seed, noise=Noise(0.3, muscle_mv))
    assert find(signal, rate_hz, chunk) == find(signal, rate_hz, len(signal))


def test_beats_keep_the_refractory_time(data: Path) -> None:
    signal, _ = record(data, "207", 300)  # flutter
    assert np.diff(detect(signal, 360.0, 40)).min() > 0.1 * 360


def test_a_beat_says_when_it_was_decided(data: Path) -> None:
    signal, _ = record(data, "100", 60)
    detector = QrsDetector(360.0)
    for at in range(len(signal)):
        assert all(peak.decided == at for peak in detector.find(signal[at : at + 1]))


def test_beats_are_decided_within_the_stated_delays(data: Path) -> None:
    signal, _ = record(data, "200", 300)
    detector = QrsDetector(360.0)

    prompt = [peak for peak in detector.find(signal) if not peak.late]

    delays_s = np.array([peak.decided - peak.position for peak in prompt]) / 360
    moved_s = 0.061  # from the middle of the complex to its R peak
    assert detector.clear_delay_s < 0.18
    assert detector.delay_s < 0.32
    assert delays_s.max() <= detector.delay_s + moved_s
    assert np.percentile(delays_s, 95) <= 0.25
    assert np.median(delays_s) <= detector.clear_delay_s + 0.02


def test_a_tall_p_wave_is_not_the_beat() -> None:
    signal, truth = synthetic(250.0, 120, seed=3, premature=0.0)
    time_s = np.arange(len(signal)) / 250
    for at in truth:
        signal += 0.75 * np.exp(-0.5 * ((time_s - at + 0.17) / 0.012) ** 2)
    found = find(signal, 250.0, 10)
    late = np.array([peak.position for peak in found]) / 250
    matched = match_beats(
        [round(1e6 * at) for at in truth if at > 10],
        [round(1e6 * at) for at in late if at > 10],
        within=20_000,
    )
    assert len(matched) >= 0.97 * sum(truth > 10)
    assert len(found) <= len(truth) + 2


@pytest.mark.parametrize("rate_hz", [125.0, 130.0, 190.0, 250.0, 500.0, 1000.0])
def test_the_r_time_stands_between_the_samples(rate_hz: float) -> None:
    signal, truth = synthetic(rate_hz, 60, seed=9)

    found = np.array([peak.position for peak in find(signal, rate_hz, 64)]) / rate_hz

    assert len(found) == len(truth)
    errors = found - truth
    narrow = np.abs(errors - np.median(errors)) < 0.001
    assert narrow.mean() > 0.8  # the rest are ventricular
    assert errors[narrow].std() < 0.0004
    assert np.abs(errors).max() < 0.02


@pytest.mark.parametrize("bpm", [30.0, 60.0, 120.0, 190.0])
def test_beats_are_found_at_slow_and_fast_rates(bpm: float) -> None:
    signal, truth = synthetic(250.0, 90, seed=4, mean_bpm=bpm, premature=0.0)
    found = detect(signal, 250.0, 64)
    assert abs(len(found) - len(truth)) <= 1
    assert len(match_beats(np.round(truth * 250).tolist(), found, within=8)) >= len(truth) - 1


@pytest.mark.parametrize("width_s", [0.04, 0.08])
@pytest.mark.parametrize("rate_hz", [125.0, 250.0])
def test_300_beats_a_minute_are_found_with_the_settings_for_neonates(
    rate_hz: float, width_s: float
) -> None:
    time_s = np.arange(round(60 * rate_hz)) / rate_hz
    away = (time_s + 0.1) % 0.2 - 0.1
    signal = 0.8 * np.clip(1 - np.abs(away) / (width_s / 2), 0, None)
    signal += 0.005 * np.random.default_rng(0).normal(size=len(signal))
    assert abs(len(find(signal, rate_hz, 10, NEONATE)) - 300) <= 2


def test_beats_are_found_in_an_inverted_signal(data: Path) -> None:
    signal, beats = record(data, "100", 300)
    found = detect(-signal, 360.0, 90)
    assert len(match_beats(beats, found, within=54)) >= len(beats) - 1


def test_a_stream_shorter_than_the_learning_time_gives_its_beats_at_the_end() -> None:
    signal, truth = synthetic(250.0, 1.9, seed=1, mean_bpm=100, noise=Noise(0, 0.005))
    assert len(detect(signal, 250.0, 50)) == len(truth) > 0


def test_a_wait_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="wait_s"):
        QrsDetector(360.0, QrsSettings(wait_s=0.05))


def test_matching_gives_each_beat_once_and_to_the_nearer_reference() -> None:
    assert match_beats([100, 200, 300], [90, 101, 205, 400], within=20) == [(0, 1), (1, 2)]
    assert match_beats([100, 130], [125], within=50) == [(1, 0)]
    assert match_beats([], [5], within=50) == []


def test_flutter_spans_are_pairs_of_brackets() -> None:
    assert flutter_spans([5, 9, 20, 30], ["N", "[", "!", "]"]) == [(9, 30)]
