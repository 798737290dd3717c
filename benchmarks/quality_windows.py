"""Windows of 10 s with a known truth, for benchmarks/quality.py: clean, noisy and hand-held ECG."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from quality_noise import noise, qrs_power

from edge_runtime.ecg.matching import AAMI, flutter_spans, match_beats
from edge_runtime.ecg.quality import HOPS, QualityMeter
from edge_runtime.ecg.quality_indices import EDGE_S, Indices
from edge_runtime.sources.records.wfdb_annotations import read_annotations
from edge_runtime.sources.records.wfdb_format import read_header
from edge_runtime.sources.records.wfdb_record import open_record

Reals = NDArray[np.float64]

FIT = (  # DS1 of de Chazal, IEEE Trans Biomed Eng 51:1196 (2004)
    *("101", "106", "108", "109", "112", "114", "115", "116", "118", "119", "122"),
    *("124", "201", "203", "205", "207", "208", "209", "215", "220", "223", "230"),
)
PACED = ("102", "104", "107", "217")
LEVELS_DB = (24, 18, 12, 6, 0, -6)
KINDS = ("ma", "bw", "ma+bw", "motion", "shifts")  # the last is for the tests alone
NOISY_S = 60  # of every record, kind and level
SEED = 2017


@dataclass(frozen=True, slots=True)
class Row:
    """One window. `right` is NaN where there is no truth; `score` is None without beats."""

    group: str  # record or strip
    part: str  # "fit", "test" or "paced"
    kind: str  # "clean", a kind of noise, or the label of the strip
    level_db: int
    right: float
    flutter: bool
    indices: Indices | None
    score: float
    state: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ecg:
    """One lead with its truth; `spans` have flutter, where no beat is annotated."""

    samples: Reals
    rate_hz: float
    beats: NDArray[np.int64]
    spans: Sequence[tuple[int, int]]


def mitdb_rows(data: Path, *, fit: bool) -> Iterator[Row]:
    """Every fifth window: the records clean, and one minute of each with each noise and level.

    With `fit`, those of the fit only; else all clean ones, and the noisy ones of the tests.
    """
    recorded = {name: _signal(data / "nstdb" / name, scale=True)[0] for name in ("ma", "bw")}
    for header in sorted((data / "mitdb").glob("*.hea")):
        name = header.stem
        part = "fit" if name in FIT else "paced" if name in PACED else "test"
        if fit and part != "fit":
            continue
        ecg = _record(header.with_suffix(""))
        yield from _rows(ecg, (name, part, "clean", 99), 5)
        if part == "fit" and not fit:
            continue
        power = qrs_power(ecg.samples, ecg.beats, ecg.rate_hz)
        for number, kind in enumerate(KINDS[:-1] if fit else KINDS):
            for level_db in LEVELS_DB:
                random = np.random.default_rng([SEED, int(name), number, level_db + 100])
                piece = _cut(ecg, random)
                added = noise(recorded, kind, len(piece.samples), random, fit=fit)
                added *= math.sqrt(power / 10 ** (level_db / 10))
                noisy = replace(piece, samples=piece.samples + added)
                yield from _rows(noisy, (name, part, kind, level_db), 5)


def cinc_rows(data: Path, *, fit: bool) -> Iterator[Row]:
    """Every window of half of the strips; "~" is wrong by definition, every other label right."""
    with (data / "cinc2017" / "REFERENCE-v3.csv").open(encoding="utf-8") as file:
        labels = dict(csv.reader(file))
    there = sorted(name for name in labels if (data / "cinc2017" / f"{name}.hea").exists())
    random = np.random.default_rng(SEED)
    chosen: set[str] = set()
    for label in "NAO~":
        names = [name for name in there if labels[name] == label]
        random.shuffle(names)
        chosen.update(names[: len(names) // 2] if fit else names[len(names) // 2 :])
    for name in sorted(chosen):
        samples, rate_hz = _signal(data / "cinc2017" / name)
        ecg = Ecg(samples[:, 0], rate_hz, np.empty(0, np.int64), ())
        for row in _rows(ecg, (name, "fit" if fit else "test", labels[name], 99), 1):
            yield replace(row, right=float(labels[name] != "~"))


def _rows(ecg: Ecg, key: tuple[str, str, str, int], every_s: int) -> Iterator[Row]:
    meter, hop = QualityMeter(ecg.rate_hz), round(ecg.rate_hz)
    margin = EDGE_S * ecg.rate_hz
    for end in range(hop, len(ecg.samples) + 1, hop):
        (judgement,) = meter.feed(ecg.samples[end - hop : end])
        window, quality = judgement.window, judgement.quality
        if window is None or (end // hop - HOPS) % every_s:
            continue
        start = end - HOPS * hop
        flutter = any(low < end and high > start for low, high in ecg.spans)
        truth, found = (
            [beat for beat in beats if start + margin <= beat < end - margin]
            for beats in (ecg.beats.tolist(), meter.beats)
        )
        right = _right(truth, found, ecg.rate_hz)
        score = quality.score if quality.score is not None else math.nan
        yield Row(*key, right, flutter, window.indices, score, quality.state, quality.reasons)


def _right(truth: list[int], found: list[int], rate_hz: float) -> float:
    """1 when the mean rate is within 5 bpm and nine tenths of the beats agree within 150 ms."""
    if len(truth) < 2:
        return math.nan
    if len(found) < 2:
        return 0.0
    rates = [60 * rate_hz * (len(b) - 1) / (b[-1] - b[0]) for b in (truth, found)]
    both = len(match_beats(truth, found, round(0.15 * rate_hz)))
    agree = 2 * both / (len(truth) + len(found)) >= 0.9
    return float(agree and abs(rates[0] - rates[1]) <= 5)


def _record(path: Path) -> Ecg:
    leads = [spec.lead for spec in read_header(path).signals]
    samples, rate_hz = _signal(path, ["MLII" if "MLII" in leads else leads[0]])
    marks = read_annotations(path.with_suffix(".atr"))
    pairs = zip(marks.samples.tolist(), marks.symbols, strict=True)
    beats = np.array([at for at, symbol in pairs if symbol in AAMI], np.int64)
    return Ecg(samples[:, 0], rate_hz, beats, flutter_spans(marks.samples.tolist(), marks.symbols))


def _signal(path: Path, leads: Sequence[str] = (), *, scale: bool = False) -> tuple[Reals, float]:
    """(samples, leads), and the rate; `scale` reads a record that is not calibrated."""
    header = read_header(path)
    if scale:  # gain 0 in the header; format 212, 200 counts to a mV
        raw = np.fromfile(path.with_suffix(".dat"), np.uint8).reshape(-1, 3).astype(np.int32)
        low, high = raw[:, 1] & 15, raw[:, 1] >> 4
        counts = np.stack([raw[:, 0] | low << 8, raw[:, 2] | high << 8], axis=1)
        return np.where(counts > 2047, counts - 4096, counts) / 200.0, header.rate_hz
    blocks = open_record(path, leads).blocks(0, header.frames or 0)
    return np.concatenate([block.mv for block in blocks]).astype(np.float64), header.rate_hz


def _cut(ecg: Ecg, random: np.random.Generator) -> Ecg:
    length = round(NOISY_S * ecg.rate_hz)
    start = int(random.integers(0, len(ecg.samples) - length))
    inside = (ecg.beats >= start) & (ecg.beats < start + length)
    spans = [(low - start, high - start) for low, high in ecg.spans]
    piece = ecg.samples[start : start + length]
    return Ecg(piece, ecg.rate_hz, ecg.beats[inside] - start, spans)
