"""The indices of a window, each against a signal whose value is known."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.ecg.quality_indices import (
    GRID_HZ,
    Spectrum,
    clipped_share,
    second_opinion,
    snr_db,
    spacing,
)
from edge_runtime.ecg.synthetic import Noise, Player, SyntheticEcg


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ([100] * 4 + [60, 40] + [100] * 4, 0.5),  # one too many, between two
        ([100] * 4 + [60, 140] + [100] * 4, 1.0),  # premature, with its pause
        ([100] * 4 + [50, 50, 50, 150] + [100] * 3, 1.0),  # a run of three
        ([100] * 9, 1.0),
        ([100], 1.0),
    ],
)
def test_a_beat_between_two_is_told_from_premature_ones_and_runs(
    intervals: list[int], expected: float
) -> None:
    assert spacing(np.cumsum([70, *intervals])) == expected


@pytest.mark.parametrize("given_db", [24.0, 12.0, 0.0])
def test_the_ratio_of_qrs_to_noise_is_measured_and_p_and_t_waves_are_no_noise(
    given_db: float,
) -> None:
    ecg = SyntheticEcg(GRID_HZ, 10.0, seed=3, premature=0.0, noise=Noise(0.0, 0.0))
    beats = np.array([round(beat.r_s * GRID_HZ) for beat in ecg.beats()])
    inner = beats[(beats > 63) & (beats < 1250 - 63)]
    clean = Player(ecg).next(10**9)
    white = np.random.default_rng(2).standard_normal(1250)
    height = np.median([np.ptp(clean[at - 6 : at + 7]) for at in inner])
    noise = white * height / np.sqrt(8) / 10 ** (given_db / 20)
    assert snr_db(clean, inner, inner) > given_db + 10
    assert snr_db(clean + noise, inner, inner) == pytest.approx(
        given_db, abs=3 + (24 - given_db) / 6
    )


def test_the_second_detector_finds_the_beats_of_a_window() -> None:
    ecg = SyntheticEcg(250.0, 10.0, seed=3)
    truth = [beat.r_s for beat in ecg.beats()]
    qrs = Spectrum(Player(ecg).next(10**9), 250.0).band(5, 30)
    found = second_opinion(qrs) / GRID_HZ
    assert len(found) == len(truth)
    np.testing.assert_allclose(found, truth, atol=0.06)


def test_a_band_keeps_what_is_inside_it_without_delay() -> None:
    at_s = np.arange(3600) / 360
    inside, outside = np.sin(2 * np.pi * 12 * at_s), np.sin(2 * np.pi * 45 * at_s)
    drift = 3 * at_s
    kept = Spectrum(inside + outside + drift, 360.0).band(5, 30)
    expected = np.sin(2 * np.pi * 12 * np.arange(1250) / GRID_HZ)
    assert np.abs(kept - expected)[50:-50].max() < 0.02


@pytest.mark.parametrize(("hz", "least", "most"), [(4.0, 0.95, 1.0), (15.0, 0.0, 0.1)])
def test_a_tone_is_the_share_of_one_frequency(hz: float, least: float, most: float) -> None:
    spectrum = Spectrum(np.sin(2 * np.pi * hz * np.arange(2500) / 250), 250.0)
    assert least <= spectrum.tone() <= most


def test_plateaus_are_counted_and_single_peaks_are_not() -> None:
    signal = np.sin(2 * np.pi * np.arange(2500) / 250)
    assert clipped_share(signal, 250.0) == 0.0
    cut = np.clip(signal, -0.8, 2.0)
    assert clipped_share(cut, 250.0) == pytest.approx(np.mean(cut == -0.8))
