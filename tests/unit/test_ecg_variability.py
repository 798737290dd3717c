"""Heart rate variability: the Task Force's figures, ectopic beats, and the error of sampling."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.ecg.qrs import QrsDetector
from edge_runtime.ecg.synthetic import Noise, Player, SyntheticEcg
from edge_runtime.ecg.variability import (
    RrBeat,
    VariabilityWindow,
    normal_intervals,
    r_time_error_s,
    variability,
)


def beats(intervals_s: list[float]) -> list[RrBeat]:
    return [RrBeat(float(at)) for at in np.cumsum([10.0, *intervals_s])]


def test_the_figures_are_those_of_the_task_force() -> None:
    figures = variability(beats([0.80, 0.86, 0.79, 0.80, 0.85]), 0.0)
    assert figures is not None
    assert (figures.intervals, figures.excluded) == (5, 0)
    assert figures.mean_rr_s == pytest.approx(0.82)
    assert figures.sdnn_s == pytest.approx(np.std([0.80, 0.86, 0.79, 0.80, 0.85], ddof=1))
    assert figures.rmssd_s == pytest.approx(np.sqrt(np.mean(np.square([0.06, 0.07, 0.01, 0.05]))))
    assert figures.pnn50 == pytest.approx(0.5, abs=0.26)  # 50 ms to the bit is on either side
    assert figures.rmssd_error_s == 0


def test_intervals_at_an_ectopic_beat_are_left_out() -> None:
    given = beats([0.8] * 12)
    given[6] = given[6]._replace(time_s=given[6].time_s - 0.1, normal=False)
    figures = variability(given, 0.0)
    assert figures is not None
    assert (figures.intervals, figures.excluded) == (10, 2)
    assert figures.sdnn_s == pytest.approx(0, abs=1e-9)
    assert figures.rmssd_s == pytest.approx(0, abs=1e-9)


def test_a_missed_beat_and_a_gap_are_left_out() -> None:
    given = beats([0.8] * 5 + [1.6] + [0.8] * 5)
    assert [interval is None for interval in normal_intervals(given)].index(True) == 5
    given[3] = given[3]._replace(follows=False)
    assert normal_intervals(given)[2] is None
    figures = variability(given, 0.0)
    assert figures is not None
    assert figures.excluded == 2
    assert figures.mean_rr_s == pytest.approx(0.8)


def test_changes_are_taken_only_from_one_normal_interval_to_the_next() -> None:
    given = beats([0.8, 0.81, 0.5, 0.9, 0.91, 0.92])
    figures = variability(given, 0.0)
    assert figures is not None
    assert figures.excluded == 1
    assert figures.rmssd_s == pytest.approx(0.01, abs=1e-9)  # not 0.09 across the gap


def test_too_few_normal_intervals_give_nothing() -> None:
    assert variability([], 0.0) is None
    assert variability(beats([0.8, 0.8]), 0.0) is None


@pytest.mark.parametrize("seed", range(3))
def test_the_stated_error_is_what_rounding_to_the_sample_adds(seed: int) -> None:
    random = np.random.default_rng(seed)
    true = beats((0.8 + 0.010 * random.standard_normal(3000)).tolist())
    rounded = [beat._replace(time_s=round(beat.time_s * 100) / 100) for beat in true]

    exact = variability(true, 0.0)
    measured = variability(rounded, r_time_error_s(100.0, interpolated=False))

    assert exact is not None
    assert measured is not None
    assert measured.rmssd_s > 1.06 * exact.rmssd_s
    assert measured.sdnn_s - measured.sdnn_error_s == pytest.approx(exact.sdnn_s, rel=0.04)
    assert measured.rmssd_s - measured.rmssd_error_s == pytest.approx(exact.rmssd_s, rel=0.04)
    assert abs(measured.mean_rr_s - exact.mean_rr_s) <= 3 * measured.mean_rr_error_s


@pytest.mark.parametrize("rate_hz", [125.0, 250.0])
def test_the_r_times_of_the_detector_are_as_good_as_stated(rate_hz: float) -> None:
    ecg = SyntheticEcg(rate_hz, 100, seed=5, premature=0.0, noise=Noise(0.1, 0.005))
    detector = QrsDetector(rate_hz)
    peaks = [*detector.find(Player(ecg).next(10**9)), *detector.finish()]
    found = np.array([peak.position for peak in peaks]) / rate_hz
    truth = np.array([beat.r_s for beat in ecg.beats() if beat.r_s < 99.5])
    assert len(found) == len(truth)
    assert (found - truth).std() <= r_time_error_s(rate_hz) < 0.1 / rate_hz


def test_a_window_forgets_and_takes_a_beat_that_comes_late() -> None:
    window = VariabilityWindow(seconds=10.0)
    times = [0.8 * k for k in range(40)]
    for time_s in (*times[:30], *times[31:], times[30]):
        window.add(RrBeat(time_s))
    figures = window.measure(250.0)
    assert figures is not None
    assert (figures.intervals, figures.excluded) == (12, 0)
    assert figures.mean_rr_s == pytest.approx(0.8)
