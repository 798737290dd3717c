"""The quality of a lead: its indices, its states, and what must not be called noise."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.ecg.matching import AAMI
from edge_runtime.ecg.qrs import QrsDetector
from edge_runtime.ecg.quality import Judgement, QualityMeter, worse
from edge_runtime.ecg.quality_model import QualityModel, QualitySettings, terms
from edge_runtime.ecg.synthetic import Noise, Player, SyntheticEcg
from edge_runtime.frame import Quality
from edge_runtime.sources.records.wfdb_annotations import read_annotations
from edge_runtime.sources.records.wfdb_format import read_header
from edge_runtime.sources.records.wfdb_record import open_record

COUNT_MV = 0.005
RATES_HZ = (125.0, 130.0, 250.0, 360.0, 500.0, 1000.0)


def synthetic(seconds: float, rate_hz: float = 250.0, **kinds) -> np.ndarray:
    return Player(SyntheticEcg(rate_hz, seconds, seed=3, **kinds)).next(10**9)


def record(data: Path, name: str, start_s: float, seconds: float) -> np.ndarray:
    path = data / "ecg" / "mitdb" / name
    leads = [spec.lead for spec in read_header(path).signals]
    opened = open_record(path, ["MLII" if "MLII" in leads else leads[0]])
    first = round(start_s * 360)
    blocks = opened.blocks(first, first + round(seconds * 360))
    return np.concatenate([block.mv for block in blocks])[:, 0].astype(np.float64)


def muscle_noise(data: Path, seconds: float, rms_mv: float) -> np.ndarray:
    """From the second half of `ma` (format 212), which no coefficient has seen."""
    raw = np.fromfile(data / "ecg" / "nstdb" / "ma.dat", np.uint8).reshape(-1, 3).astype(np.int64)
    count = round(seconds * 360)
    counts = (raw[:, 0] | (raw[:, 1] & 15) << 8)[400_000 : 400_000 + count]
    noise = np.where(counts > 2047, counts - 4096, counts).astype(np.float64)
    noise -= noise.mean()
    return noise * rms_mv / noise.std()


def judged(signal: np.ndarray, rate_hz: float = 250.0) -> list[Judgement]:
    return QualityMeter(rate_hz).feed(signal)


def states(found: list[Judgement], after_s: int = 0, until_s: int = 10**9) -> list[str]:
    return [j.quality.state for j in found[after_s:until_s]]


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_a_clean_signal_is_good_at_every_rate(rate_hz: float) -> None:
    found = judged(synthetic(30.0, rate_hz), rate_hz)
    assert len(found) == 30
    assert {j.quality for j in found[:9]} == {Quality("limited", None, ("settling",))}
    assert set(states(found, 9)) == {"good"}
    assert min(j.quality.score for j in found[9:]) > 0.9
    assert [j.position for j in found] == [round(rate_hz) * (n + 1) for n in range(30)]


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_noise_alone_is_bad_at_every_rate(rate_hz: float) -> None:
    noise = np.random.default_rng(4).standard_normal(round(30 * rate_hz))
    found = judged(noise, rate_hz)
    assert set(states(found, 9)) == {"bad"}
    assert all(j.quality.reasons == ("noise",) for j in found[9:])
    assert max(j.quality.score for j in found[9:]) < 0.3


def test_s08_muscle_noise_makes_a_record_bad_until_it_has_passed(data: Path) -> None:
    signal = record(data, "100", 0.0, 90.0)
    signal[30 * 360 : 60 * 360] += muscle_noise(data, 30.0, 1.0)
    found = judged(signal, 360.0)
    assert set(states(found, 9, 30)) == {"good"}
    assert set(states(found, 34, 60)) == {"bad"}
    assert set(states(found, 71)) == {"good"}


def swings(seconds: float, rms_mv: float) -> np.ndarray:
    """Noise below about 8 Hz at 250 Hz: it hides the shape of beats, not the R peaks."""
    white = np.random.default_rng(8).standard_normal(round(seconds * 250) + 60)
    smooth = np.convolve(white, np.hanning(61), mode="valid")
    return smooth * rms_mv / smooth.std()


def test_s08_noise_as_large_as_the_beats_is_bad_though_the_rate_is_right() -> None:
    clean = synthetic(60.0, premature=0.0)
    found = judged(clean + swings(60.0, 0.3))[9:]
    masked = [j for j in found if j.quality.reasons == ("masked",)]
    assert "good" not in states(found)
    assert len(masked) > 0.9 * len(found)
    assert {j.quality.state for j in masked} == {"bad"}
    assert min(j.quality.score for j in masked) > 0.8
    assert set(states(judged(clean + swings(60.0, 0.1)), 9)) == {"good"}


def test_a_masked_signal_gets_better_only_with_a_margin() -> None:
    clean, noise = synthetic(60.0, premature=0.0), swings(60.0, 0.2)
    ratios = [j.window.indices.snr_db for j in judged(clean + noise)[9:]]
    limit = float(np.median(ratios))
    seen = [
        QualityMeter(250.0, QualitySettings(masked_db=limit, margin_db=margin)).feed(clean + noise)
        for margin in (0.0, 20.0)
    ]
    changes = [sum(a != b for a, b in itertools.pairwise(states(one, 9))) for one in seen]
    assert changes[0] > changes[1]
    assert changes[1] <= 1


@pytest.mark.parametrize("name", ["205", "215", "223"])
def test_runs_of_ventricular_beats_are_not_masked(data: Path, name: str) -> None:
    marks = read_annotations(data / "ecg" / "mitdb" / f"{name}.atr")
    pairs = zip(marks.samples.tolist(), marks.symbols, strict=True)
    beats = [(at, symbol) for at, symbol in pairs if symbol in AAMI]
    runs = [n for n in range(len(beats) - 2) if [s for _, s in beats[n : n + 3]] == ["V"] * 3]
    start_s = beats[runs[0]][0] / 360 - 15
    found = judged(record(data, name, start_s, 30.0), 360.0)
    assert "bad" not in states(found, 16, 24)


@pytest.mark.parametrize("name", ["102", "106", "107", "119", "200", "208", "217", "219", "233"])
def test_ectopy_pacing_and_fibrillation_are_not_noise(data: Path, name: str) -> None:
    found = judged(record(data, name, 600.0, 120.0), 360.0)
    marks = read_annotations(data / "ecg" / "mitdb" / f"{name}.atr")
    pairs = zip(marks.samples.tolist(), marks.symbols, strict=True)
    truth = [at / 360 - 600 for at, symbol in pairs if symbol in AAMI]
    detector = QrsDetector(360.0)
    beats = [beat / 360 for beat in detector.feed(record(data, name, 600.0, 120.0))]
    bad = [n + 1 for n, j in enumerate(found) if j.quality.state == "bad"]

    false = [end for end in bad if abs(rate(truth, end) - rate(beats, end)) <= 2]

    assert len(bad) <= 10
    assert len(false) <= 2


def rate(beats: list[float], end_s: float) -> float:
    """Mean beats a minute of the 10 s before."""
    inside = [beat for beat in beats if end_s - 9.5 <= beat < end_s - 0.5]
    return 60 * (len(inside) - 1) / (inside[-1] - inside[0])


def test_ventricular_flutter_is_not_called_noise(data: Path) -> None:
    found = judged(record(data, "207", 1540.0, 90.0), 360.0)  # flutter from 1548 s to 1635 s
    flutter = [j.quality for j in found[20:]]
    assert sum(quality.state == "bad" for quality in flutter) <= len(flutter) / 5
    assert sum("fibrillation-like" in quality.reasons for quality in flutter) > len(flutter) / 2


@pytest.mark.parametrize("bpm", [30.0, 60.0, 150.0, 190.0])
def test_slow_and_fast_hearts_are_good(bpm: float) -> None:
    found = judged(synthetic(40.0, mean_bpm=bpm, premature=0.0))
    assert set(states(found, 9)) == {"good"}


def test_a_low_voltage_is_good_when_its_noise_is_low() -> None:
    signal = 0.25 * synthetic(40.0, noise=Noise(baseline_mv=0.05, muscle_mv=0.01))
    assert set(states(judged(signal), 9)) == {"good"}


def test_a_heart_that_stops_is_never_bad() -> None:
    random = np.random.default_rng(5)
    asystole = COUNT_MV * random.integers(-1, 2, 40 * 250)
    found = judged(np.concatenate([synthetic(30.0), asystole, synthetic(30.0)]))
    assert "bad" not in states(found)
    assert all("no-beats" in j.quality.reasons for j in found[41:69])
    assert {j.quality.score for j in found[41:69]} == {0.0}
    assert set(states(found, 82)) == {"good"}


def test_s08_digital_silence_is_flat_and_then_settles() -> None:
    found = judged(np.concatenate([synthetic(20.0), np.full(10 * 250, 0.3), synthetic(30.0)]))
    assert {j.quality for j in found[21:30]} == {Quality("bad", 0.0, ("flat",))}
    assert {j.quality.reasons for j in found[31:39]} == {("settling",)}
    assert set(states(found, 41)) == {"good"}


@pytest.mark.parametrize("hz", [50, 60])
def test_s08_hum_limits_the_signal_to_its_rate(hz: int) -> None:
    signal = synthetic(30.0, noise=Noise(mains_mv=0.6, mains_hz=hz))
    found = judged(signal)
    assert {j.quality.state for j in found[9:]} == {"limited"}
    assert {j.quality.reasons for j in found[9:]} == {("mains",)}
    elsewhere = QualityMeter(250.0, QualitySettings(mains_hz=110 - hz)).feed(signal)
    assert not any("mains" in j.quality.reasons for j in elsewhere)


def test_s08_baseline_wander_limits_the_signal_to_its_rate() -> None:
    found = judged(synthetic(40.0, noise=Noise(baseline_mv=6.0)))
    assert {j.quality.state for j in found[9:]} == {"limited"}
    assert all("baseline" in j.quality.reasons for j in found[9:])


def test_cut_tops_limit_the_signal_to_its_rate() -> None:
    found = judged(np.clip(synthetic(40.0), -0.4, 0.4))
    assert {j.quality.reasons for j in found[9:]} == {("clipped",)}
    assert {j.quality.state for j in found[9:]} == {"limited"}


def test_a_state_gets_better_only_with_a_margin() -> None:
    meter = QualityMeter(250.0, QualitySettings(good=0.7, bad=0.5, margin=0.1))
    given = (0.75, 0.85, 0.71, 0.69, 0.75, 0.51, 0.49, 0.55, 0.65, 0.95, 0.1, 0.95)
    seen = []
    for score in given:
        meter._level = meter._by_score(score)
        seen.append(meter._level)
    assert seen == [
        *("limited", "good", "good", "limited", "limited", "limited"),
        *("bad", "bad", "limited", "good", "bad", "good"),
    ]


@pytest.mark.parametrize("chunk", [1, 7, 250, 333])
def test_judgements_do_not_depend_on_the_chunk_size(data: Path, chunk: int) -> None:
    signal = record(data, "203", 100.0, 30.0)
    meter = QualityMeter(360.0)
    cut = [j for at in range(0, len(signal), chunk) for j in meter.feed(signal[at : at + chunk])]
    assert cut == judged(signal, 360.0)


def test_the_score_is_a_probability_and_rises_with_every_index() -> None:
    window = judged(synthetic(10.0))[9].window
    model = QualityModel()
    lower = window.indices._replace(agreement=0.6, likeness=0.5, steadiness=0.1)
    assert 0 < model.score(lower) < model.score(window.indices) < 1
    assert len(terms(window.indices)) == len(window.indices)


def test_the_worse_of_two_qualities_stands() -> None:
    good, less = Quality("good", 0.9), Quality("good", 0.8)
    settling, bad = Quality("limited", None, ("settling",)), Quality("bad", 0.1, ("noise",))
    assert worse(good, less) == less
    assert worse(good, settling) == settling
    assert worse(settling, bad) == bad
