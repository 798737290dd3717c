"""Recordings of three databases as cases of 100 Hz, cut by the device's own resampler.

What is not known of a case is NaN, and is neither trained nor scored.
"""

from __future__ import annotations

import ast
import csv
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from network import HEADS, LEADS
from numpy.typing import NDArray

from edge_runtime.ecg.leads import canonical_lead
from edge_runtime.ecg.matching import AAMI
from edge_runtime.frame import Frame
from edge_runtime.preprocess.resample import Resample
from edge_runtime.sources.records.wfdb_annotations import read_annotations
from edge_runtime.sources.records.wfdb_record import open_record

Floats = NDArray[np.float32]
RATE_HZ = 100.0
_MITDB_HZ = 360.0
WINDOW = 1000
SINUS, AF, OTHER = range(3)
# de Chazal 2004; patient 201 of DS1 is 202 of DS2.
DS1 = "101 106 108 109 112 114 115 116 118 119 122 124 201 203 205 207 208 209 215 220 223 230"
DS2 = "100 103 105 111 113 117 121 123 200 202 210 212 213 214 219 221 222 228 231 232 233 234"
_OTHER_RHYTHM = (
    *("STACH", "SBRAD", "SARRH", "SVARR", "SVTAC", "PSVT", "AFLT", "PACE", "BIGU", "TRIGU"),
    *("PVC", "PAC", "PRC(S)"),
)
_REMARKS = ("baseline_drift", "static_noise", "burst_noise", "electrodes_problems")


@dataclass(frozen=True, slots=True)
class Case:
    """A recording: its leads, and what is known of it."""

    source: str  # "cinc2017", "ptbxl" or "mitdb"
    name: str
    patient: str
    part: str  # "train", "choose" or "test"
    signal: Floats  # (samples, leads that are there) mV
    columns: tuple[int, ...]  # where they stand in LEADS
    rhythm: float = np.nan  # SINUS, AF or OTHER
    noise: float = np.nan  # 1: too noisy to say anything
    findings: tuple[float, ...] = (np.nan,) * len(HEADS["findings"])

    def windows(self) -> Floats:
        """(windows, 1000, 12): ten seconds each, one after the other; leads not there are zero."""
        count = max(1, len(self.signal) // WINDOW)
        made = np.zeros((count, WINDOW, len(LEADS)), np.float32)
        for at in range(count):
            part = self.signal[at * WINDOW : (at + 1) * WINDOW]
            made[at, : len(part), self.columns] = part.T
        return made


def cinc2017(folder: Path) -> Iterator[Case]:
    """Hand-held strips, fed as lead I. Patients are not named: a strip counts as one."""
    with (folder / "REFERENCE-v3.csv").open(encoding="utf-8") as file:
        given = {name: label for name, label in csv.reader(file) if label in "NAO~"}
    known = {name: label for name, label in given.items() if (folder / f"{name}.hea").exists()}
    for label in "NAO~":
        names = sorted((n for n in known if known[n] == label), key=_shuffled)
        for at, name in enumerate(names):
            share = at / len(names)
            part = "test" if share < 0.25 else "choose" if share < 0.4 else "train"
            signal, _ = _signal(folder / name)
            rhythm = np.nan if label == "~" else float("NAO".index(label))
            yield Case("cinc2017", name, name, part, signal, (0,), rhythm, float(label == "~"))


def ptbxl(folder: Path) -> Iterator[Case]:
    """Twelve leads, ten seconds. Folds never share a patient."""
    with (folder / "scp_statements.csv").open(encoding="utf-8") as file:
        statements = {row[""]: row for row in csv.DictReader(file)}
    classes = {k: row["diagnostic_class"] for k, row in statements.items() if row["diagnostic"]}
    with (folder / "ptbxl_database.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    whole = any(row["strat_fold"] == "10" for row in rows)
    choose, test = ("9", "10") if whole else ("6", "7")
    for row in rows:
        part = {choose: "choose", test: "test"}.get(row["strat_fold"], "train")
        codes = set(ast.literal_eval(row["scp_codes"]))
        found = {classes[code] for code in codes if code in classes}
        findings = tuple(float(name in found) for name in HEADS["findings"])
        signal, columns = _signal(folder / row["filename_lr"])
        yield Case(
            *("ptbxl", row["ecg_id"], row["patient_id"], part, signal, columns),
            rhythm=_rhythm(codes),
            noise=np.nan if any(row[key].strip() for key in _REMARKS) else 0.0,
            findings=findings if found else (np.nan,) * len(findings),
        )


def _rhythm(codes: set[str]) -> float:
    if "AFIB" in codes:
        return AF
    if codes & set(_OTHER_RHYTHM):
        return OTHER
    return SINUS if "SR" in codes else np.nan


def mitdb(folder: Path) -> Iterator[Case]:
    """Windows of DS1 to train on and of DS2 to test on; MLII is fed as lead II."""
    for part, names in (("train", DS1.split()), ("test", DS2.split())):
        for name in names:
            signal, columns = _signal(folder / name)
            rhythms = list(_mitdb_rhythms(folder / f"{name}.atr", len(signal) // WINDOW))
            for at, rhythm in enumerate(rhythms):
                if not np.isnan(rhythm):
                    cut = signal[at * WINDOW : (at + 1) * WINDOW]
                    yield Case("mitdb", f"{name}/{at}", name, part, cut, columns, rhythm)


def _mitdb_rhythms(path: Path, count: int) -> Iterator[float]:
    """AF: all of the window; sinus: all of it and no ectopic beat; other: what is left, when two
    or more beats are ectopic or another rhythm holds throughout; NaN: mixed."""
    marks = read_annotations(path)
    at_s = np.asarray(marks.samples) / _MITDB_HZ
    starts = [
        (second, text.strip("\0 "))
        for second, symbol, text in zip(at_s, marks.symbols, marks.aux, strict=True)
        if symbol == "+"
    ]
    ectopic_s = at_s[[AAMI.get(symbol, "N") != "N" for symbol in marks.symbols]]
    for first in np.arange(count) * 10.0:
        last = first + 10.0
        before = [name for second, name in starts if second <= first]
        held = {*before[-1:], *(name for second, name in starts if first < second < last)}
        ectopic = int(((ectopic_s >= first) & (ectopic_s < last)).sum())
        if len(held) > 1:
            yield np.nan
        elif held == {"(AFIB"}:
            yield AF
        elif held <= {"(N"}:  # records begin in sinus rhythm unless a mark says otherwise
            yield SINUS if ectopic == 0 else OTHER if ectopic > 1 else np.nan
        else:
            yield OTHER


def noises(folder: Path) -> Floats:
    """(samples, channels) at 100 Hz of the records bw and ma of NSTDB, each of spread 1."""
    made = [_signal(folder / name, uncalibrated=True)[0] for name in ("bw", "ma")]
    shortest = min(map(len, made))
    joined = np.concatenate([one[:shortest] for one in made], axis=1)
    return (joined / joined.std(axis=0)).astype(np.float32)


def _signal(path: Path, *, uncalibrated: bool = False) -> tuple[Floats, tuple[int, ...]]:
    """A record at 100 Hz in mV, and which of LEADS its columns are."""
    record = open_record(path)
    names = tuple(canonical_lead(spec.lead) for spec in record.specs)
    as_lead = {"MLII": "II", "ECG": "I"}
    columns = [LEADS.index(as_lead.get(name, name)) for name in names if not uncalibrated]
    rate_hz = record.header.rate_hz * record.per_frame
    frames = []
    for seq, block in enumerate(record.blocks(0, record.header.frames or 0)):
        at_ns = round(block.first * 1e9 / rate_hz)
        frames.append(Frame(block.mv, at_ns, at_ns, seq, path.name, rate_hz, names))
    signal = np.concatenate([made.data for made in _resampled(frames)])
    return signal.astype(np.float32), tuple(columns)


def _resampled(frames: Iterable[Frame]) -> Sequence[Frame]:
    step = Resample(rate_hz=RATE_HZ)
    return [made for frame in frames for made in step(frame)] + list(step.flush())


def _shuffled(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
