"""The QRS detector on what is no ECG, hardly one, or begins badly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_runtime.ecg.matching import match_beats
from edge_runtime.ecg.synthetic import Player, SyntheticEcg

from .test_ecg_qrs import detect, record

RATE_HZ = 250.0
TIME_S = np.arange(60 * 250) / RATE_HZ
RANDOM = np.random.default_rng(1)
NO_ECG = {
    "zeros": np.zeros(len(TIME_S)),
    "a rail": np.full(len(TIME_S), -5.0),
    "50 Hz": 2.0 * np.sin(2 * np.pi * 50 * TIME_S),
    "a square wave": np.sign(np.sin(2 * np.pi * TIME_S)),
    "a noisy square wave": np.sign(np.sin(2 * np.pi * 0.7 * TIME_S))
    + 0.01 * RANDOM.normal(size=len(TIME_S)),
    "a sawtooth": TIME_S % 1.0,
    "little white noise": 0.01 * RANDOM.normal(size=len(TIME_S)),
    "baseline wander": 2.0 * np.sin(2 * np.pi * 0.3 * TIME_S),
}


def complexes(at_s: np.ndarray, height_mv: float, width_s: float) -> np.ndarray:
    """Triangles on a silent line, as IEC 60601-2-27 tests with."""
    away = np.abs(TIME_S[:, None] - at_s[None, :]).min(axis=1)
    return height_mv * np.clip(1 - away / (width_s / 2), 0, None)


def t_waves(at_s: np.ndarray, height_mv: float) -> np.ndarray:
    """Half sines of 180 ms that end 350 ms after the start of a QRS complex of 100 ms."""
    away = np.abs(TIME_S[:, None] - at_s[None, :] - 0.21).min(axis=1)
    return np.where(away < 0.09, height_mv * np.cos(np.pi * away / 0.18), 0.0)


def places(bpm: float) -> np.ndarray:
    return np.arange(1.03, 59.0, 60 / bpm)


@pytest.mark.parametrize("name", NO_ECG)
def test_what_is_no_ecg_has_no_beats(name: str) -> None:
    assert detect(NO_ECG[name], RATE_HZ, 10) == []


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size_mv", [0.2, 2.0])
def test_white_noise_has_hardly_a_beat(seed: int, size_mv: float) -> None:
    noise = size_mv * np.random.default_rng(seed).normal(size=300 * 250)
    assert len(detect(noise, RATE_HZ, 1000)) <= 6  # in 5 minutes; peaks that happen to be regular


@pytest.mark.parametrize("bpm", [30, 80, 200])
@pytest.mark.parametrize("height_mv", [0.5, 1.0, 5.0, -0.5, -5.0])
@pytest.mark.parametrize("width_s", [0.07, 0.12])
def test_complexes_of_the_standard_are_seen(bpm: int, height_mv: float, width_s: float) -> None:
    at_s = places(bpm)
    found = detect(complexes(at_s, height_mv, width_s), RATE_HZ, 10)
    assert len(match_beats(np.round(at_s * RATE_HZ).tolist(), found, within=3)) == len(at_s)
    assert len(found) == len(at_s)


@pytest.mark.parametrize("width_s", [0.07, 0.10, 0.12])
@pytest.mark.parametrize("height_mv", [0.15, -0.15])
def test_complexes_of_150_microvolts_are_ignored(height_mv: float, width_s: float) -> None:
    assert detect(complexes(places(80), height_mv, width_s), RATE_HZ, 10) == []


@pytest.mark.parametrize("t_mv", [0.6, 1.2])
def test_t_waves_higher_than_the_complex_are_rejected(t_mv: float) -> None:
    at_s = places(80)
    noise = 0.005 * np.random.default_rng(0).normal(size=len(TIME_S))
    found = detect(complexes(at_s, 1.0, 0.1) + t_waves(at_s, t_mv) + noise, RATE_HZ, 10)
    assert len(match_beats(np.round(at_s * RATE_HZ).tolist(), found, within=3)) == len(at_s)
    assert len(found) == len(at_s)


@pytest.mark.parametrize("name", ["107", "217"])  # 102 and 104 have no MLII
def test_pacemaker_spikes_are_not_counted_twice(data: Path, name: str) -> None:
    signal, beats = record(data, name, 300)
    found = detect(signal, 360.0, 14)
    assert len(match_beats(beats, found, within=54)) >= 0.99 * len(beats)
    assert len(found) <= 1.01 * len(beats)


def test_asystole_gives_no_beats_from_p_waves() -> None:
    signal = Player(SyntheticEcg(250.0, 60, seed=1, premature=0.0)).next(10**9)
    rest_s = np.arange(len(signal) // 2) / 250
    p_waves = 0.13 * np.exp(-0.5 * (((rest_s + 0.3) % 0.8 - 0.4) / 0.022) ** 2)
    signal[-len(rest_s) :] = p_waves + 0.01 * np.random.default_rng(0).normal(size=len(rest_s))
    assert max(detect(signal, 250.0, 50)) < 31 * 250


def test_beats_return_after_a_flat_line_of_two_minutes(data: Path) -> None:
    signal, beats = record(data, "100", 240)
    signal[60 * 360 : 180 * 360] = signal[60 * 360]
    found = detect(signal, 360.0, 14)
    late = [beat for beat in beats if beat > 181 * 360]
    assert len(match_beats(late, [f for f in found if f > 180.5 * 360], within=54)) == len(late)
    assert not [f for f in found if 60.3 * 360 < f < 179.9 * 360]


@pytest.mark.parametrize(("before", "after"), [(1.0, 0.35), (4.0, 0.4)])
def test_beats_return_after_a_loss_of_amplitude(data: Path, before: float, after: float) -> None:
    signal, beats = record(data, "100", 240)
    signal[: 120 * 360] *= before
    signal[120 * 360 :] *= after
    found = detect(signal, 360.0, 90)
    late = [beat for beat in beats if beat > 130 * 360]
    matched = match_beats(late, [f for f in found if f > 129 * 360], within=54)
    assert len(matched) >= 0.98 * len(late)


@pytest.mark.parametrize("at_s", [0.8, 60.0])
@pytest.mark.parametrize("height_mv", [6.0, 60.0])
def test_beats_return_after_an_artefact(data: Path, at_s: float, height_mv: float) -> None:
    signal, beats = record(data, "100", 120)
    at = round(at_s * 360)
    signal[at : at + 60] += height_mv  # an electrode that is touched
    found = detect(signal, 360.0, 90)
    late = [beat for beat in beats if beat > at + 6 * 360]
    assert len(match_beats(late, [f for f in found if f > at + 5 * 360], within=54)) == len(late)


def test_beats_are_found_after_a_start_in_noise(data: Path) -> None:
    signal, beats = record(data, "100", 120)
    signal[: 20 * 360] += 1.5 * np.random.default_rng(2).normal(size=20 * 360)
    found = detect(signal, 360.0, 90)
    late = [beat for beat in beats if beat > 30 * 360]
    matched = match_beats(late, [f for f in found if f > 29.5 * 360], within=54)
    assert len(matched) == len(late)
