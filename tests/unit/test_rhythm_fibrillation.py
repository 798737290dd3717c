"""The fibrillation score and rule: on made-up rhythms, and on strips that nothing was fitted on."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.ecg.qrs import QrsDetector
from edge_runtime.ecg.rhythm.fibrillation import FibrillationRule, RunningScore, score
from edge_runtime.ecg.rhythm.heartbeat import HeartBeat, Wave
from edge_runtime.ecg.rhythm.irregularity import FEATURES, features, reaches, usual_intervals
from edge_runtime.ecg.rhythm.limits import Limits
from edge_runtime.ecg.rhythm.strip import WAVE_S
from edge_runtime.ecg.rhythm.watch import END
from edge_runtime.outcome import Event
from edge_runtime.sources.records.wfdb_record import open_record

from .rhythm_kit import RATE_HZ, START_NS, s, signal, times

RANDOM = np.random.default_rng(7)
SINUS = (0.8 + 0.02 * RANDOM.standard_normal(400)).tolist()
FIBRILLATION = RANDOM.uniform(0.4, 0.95, 400).tolist()


def made(rr: list[float], labels: str, fibrillating: slice = slice(0, 0)) -> list[HeartBeat]:
    """Beats with their waves; in fibrillation without P waves, on small waves of 6 Hz."""
    at = times(rr)
    samples = signal(at, labels, at[-1] + 2)[:, 0]
    made_beats, last = [], None
    for index, at_s in enumerate(at):
        peak = round(at_s * RATE_HZ)
        before, after = (round(seconds * RATE_HZ) for seconds in WAVE_S)
        wave = samples[peak - before : peak + after].copy()
        if index in range(*fibrillating.indices(len(at))):
            wave[: before - 10] = 0.03 * np.sin(
                2 * np.pi * 6 * (at_s + np.arange(before - 10) / RATE_HZ)
            )
        rr_s = None if last is None else at_s - last
        label = labels[index % len(labels)]
        beat = HeartBeat(START_NS + round(at_s * 1e9), rr_s, label, Wave(wave, before, RATE_HZ))
        made_beats.append(beat)
        last = at_s
    return made_beats


def ruled(beats: list[HeartBeat], **limits: float) -> list[Event]:
    rule = FibrillationRule(Limits(**limits))
    rule.start(beats[0].at_ns)
    found = [decision.event for beat in beats for decision in rule.beat(beat)]
    return found + [decision.event for decision in rule.stop(beats[-1].at_ns, END)]


def test_fibrillation_is_told_with_onset_and_end_and_the_s_beats_inside() -> None:
    rr = SINUS[:100] + FIBRILLATION[:200] + SINUS[100:200]
    beats = made(rr, "N", slice(101, 301))
    labels = ["S" if 100 < index < 300 and index % 3 == 0 else "N" for index in range(len(beats))]
    beats = [beat._replace(label=label) for beat, label in zip(beats, labels, strict=True)]

    onset, end = ruled(beats)

    first, last = (s(beats[index].at_ns) for index in (101, 300))
    assert s(onset.onset_ns) == pytest.approx(first, abs=6)
    assert s(end.end_ns) == pytest.approx(last, abs=6)
    assert 30 <= onset.delay_s < 40
    assert onset.values["score"] >= onset.limits["score"] == 0.7
    assert end.values["sve_muted"] == pytest.approx(labels.count("S"), abs=4)


@pytest.mark.parametrize(
    ("rr", "labels"),
    [
        (SINUS[:200], "N"),
        ([0.5, 1.1] * 100, "VN"),  # bigeminy: every second beat early
        ([0.8, 0.8, 0.5, 1.1] * 50, "NNVN"),
        ([0.8 + 0.15 * np.sin(k / 3) for k in range(200)], "N"),  # breathing
    ],
)
def test_other_rhythms_are_none(rr: list[float], labels: str) -> None:
    assert ruled(made(rr, labels)) == []


def test_a_short_burst_is_none() -> None:
    assert ruled(made(SINUS[:100] + FIBRILLATION[:25] + SINUS[100:200], "N")) == []


def test_the_score_needs_enough_usual_beats_and_their_signal() -> None:
    beats = made(FIBRILLATION[:40], "N", slice(0, 40))
    assert len(features(beats)) == len(FEATURES)
    assert score(beats) > 0.7
    assert score(beats[:10]) is None
    assert score([beat._replace(wave=None) for beat in beats]) is None
    assert score([beat._replace(label="V") for beat in beats]) is None


def test_the_interval_over_an_early_beat_is_halved_and_over_more_there_is_none() -> None:
    rr = [0.8, 0.5, 1.1, 0.8, 0.5, 0.5, 1.4, 0.8]
    beats = [HeartBeat(0, rr_s, "N") for rr_s in (None, *rr)]
    usual = [True, True, False, True, True, False, False, True, True]

    assert usual_intervals(beats, usual).tolist() == pytest.approx([0.8, 0.8, 0.8, 0.8])


def test_strips_that_nothing_was_fitted_on_are_told_apart(data: Path) -> None:
    folder = data / "ecg" / "cinc2017"
    with (folder / "REFERENCE-v3.csv").open() as file:
        labels = {row[0]: row[1] for row in csv.reader(file)}
    names = sorted(path.stem for path in folder.glob("*.hea"))[::3]  # see benchmarks/ecg_af.py
    chosen = [n for n in names if labels[n] == "A"][:16]
    chosen += [n for n in names if labels[n] in "NO"][:32]

    scores = {name: strip_score(folder / name) for name in chosen}

    yes = [scores[name] for name in chosen if labels[name] == "A" and scores[name] is not None]
    no = [scores[name] for name in chosen if labels[name] != "A" and scores[name] is not None]
    assert len(yes) + len(no) >= 45
    auc = np.mean([(a > b) + 0.5 * (a == b) for a in yes for b in no])
    assert auc >= 0.95


def strip_score(path: Path) -> float | None:
    record = open_record(path)
    rate_hz = record.header.rate_hz
    blocks = record.blocks(0, min(record.frames, round(30 * rate_hz)))
    samples = np.concatenate([block.mv for block in blocks])[:, 0]
    detector = QrsDetector(rate_hz)
    peaks = [*detector.feed(samples.astype(np.float64)), *detector.flush()]
    before, after = (round(seconds * rate_hz) for seconds in WAVE_S)
    beats = []
    for last, peak in zip([None, *peaks], peaks, strict=False):
        low, high = round(peak) - before, round(peak) + after
        wave = Wave(samples[low:high], before, rate_hz)
        whole = low >= 0 and high <= len(samples)
        rr_s = None if last is None else (peak - last) / rate_hz
        beats.append(HeartBeat(round(peak * 1e9 / rate_hz), rr_s, "N", wave if whole else None))
    return score(beats)


def test_the_running_score_is_that_of_the_last_half_minute_and_known_at_each_beat() -> None:
    rr = SINUS[:100] + FIBRILLATION[:150]
    beats = made(rr, "N", slice(101, 251))
    running = RunningScore()

    found = [running.beat(beat) for beat in beats]

    assert found[:12] == [0.0] * 12
    assert max(found[:100]) < 0.3
    assert min(found[180:]) > 0.7
    recent = [beat for beat in beats[:200] if beat.at_ns >= beats[199].at_ns - 30_000_000_000]
    assert found[199] == pytest.approx(score(recent))
    assert [RunningScore().beat(beat) for beat in beats[:3]] == found[:3]


def test_the_running_score_stays_as_it_was_while_nothing_can_be_said() -> None:
    beats = made(FIBRILLATION[:100], "N", slice(0, 101))
    running = RunningScore()
    last = [running.beat(beat) for beat in beats][-1]

    blind = [running.beat(beat._replace(wave=None, at_ns=beat.at_ns + 10**12)) for beat in beats]

    assert last > 0.7
    assert blind == [last] * len(blind)


@pytest.mark.parametrize(
    ("before_s", "after_s", "enough"), [(0.26, 0.08, True), (0.2, 0.5, False), (0.4, 0.04, False)]
)
def test_a_wave_reaches_when_it_holds_the_p_wave_and_the_complex(before_s, after_s, enough) -> None:
    before, after = round(before_s * RATE_HZ), round(after_s * RATE_HZ)
    assert reaches(Wave(np.zeros(before + after, np.float32), before, RATE_HZ)) is enough
