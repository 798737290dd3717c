"""Beats of MIT-BIH records, as the device's own steps find and cut them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime.ecg.matching import AAMI, flutter_spans, match_beats
from edge_runtime.frame import Frame
from edge_runtime.interfaces import Step
from edge_runtime.preprocess.bandpass import Bandpass
from edge_runtime.preprocess.beats import Beats
from edge_runtime.preprocess.resample import Resample
from edge_runtime.sources.records.wfdb_annotations import read_annotations
from edge_runtime.sources.records.wfdb_record import open_record

# de Chazal 2004: patients to train on, and patients to test on. Paced records are in neither.
DS1 = (
    *("101", "106", "108", "109", "112", "114", "115", "116", "118", "119", "122"),
    *("124", "201", "203", "205", "207", "208", "209", "215", "220", "223", "230"),
)
DS2 = (
    *("100", "103", "105", "111", "113", "117", "121", "123", "200", "202", "210"),
    *("212", "213", "214", "219", "221", "222", "228", "231", "232", "233", "234"),
)
# DS1 in three parts, each with its share of fibrillation, bundle branch block and S patients.
FOLDS = (
    ("203", "109", "118", "106", "220", "101", "122", "115"),
    ("201", "124", "209", "223", "119", "112", "230"),
    ("207", "208", "114", "108", "116", "205", "215"),
)
LABELS = ("N", "S", "V")
RATE_HZ = 250.0
_MATCH_S = 0.150


@dataclass(frozen=True, slots=True)
class RecordBeats:
    """One record: what the steps gave, and what it should have been.

    `classes` holds the AAMI letter of the reference beat, "-" for a false detection. `missed`
    holds the letters of reference beats without a window. Beats in flutter count as nothing.
    """

    name: str
    beat: NDArray[np.float32]  # (beats, 225, 3)
    rr: NDArray[np.float32]  # (beats, 15): intervals and shape, the feature `context`
    fibrillation: NDArray[np.float32]  # (beats, 1): the feature of that name
    classes: NDArray[np.str_]  # (beats,)
    missed: tuple[str, ...]

    def inputs(self) -> dict[str, NDArray[np.float32]]:
        """What the deployed network takes, by name."""
        return {"beat": self.beat, "rr": self.rr, "fibrillation": self.fibrillation}


def steps() -> tuple[Step, ...]:
    """The chain that the model is made for; the run file must name the same."""
    return Resample(rate_hz=RATE_HZ), Bandpass(low_hz=0.5, high_hz=40.0), Beats()


def through(chain: Sequence[Step], frames: Iterable[Frame]) -> list[Frame]:
    """Everything that a chain makes of a whole stream."""
    for step in chain:
        frames = [made for frame in frames for made in step(frame)] + list(step.flush())
    return list(frames)


def read_record(folder: Path, name: str) -> RecordBeats:
    """Read a record's MLII and run the steps over it. Raises ConfigError."""
    record = open_record(folder / name, ["MLII"])
    rate_hz = record.header.rate_hz
    frames = []
    for seq, block in enumerate(record.blocks(0, record.header.frames or 0)):
        at_ns = round(block.first * 1e9 / rate_hz)
        frames.append(Frame(block.mv, at_ns, at_ns, seq, name, rate_hz, ("MLII",)))
    beats = through(steps(), frames)
    marks = read_annotations(folder / f"{name}.atr")
    found = [round((b.beat.timestamp_ns if b.beat else 0) * rate_hz / 1e9) for b in beats]
    within = round(_MATCH_S * rate_hz)
    spans = flutter_spans(marks.samples.tolist(), marks.symbols)
    pairs = zip(marks.samples.tolist(), marks.symbols, strict=True)
    reference = [(at, AAMI[s]) for at, s in pairs if s in AAMI and not _inside(at, spans, within)]
    kept = [index for index, at in enumerate(found) if not _inside(at, spans, within)]
    matched = match_beats([at for at, _ in reference], [found[index] for index in kept], within)
    classes = np.full(len(kept), "-")
    for ours, theirs in ((found_at, reference[at][1]) for at, found_at in matched):
        classes[ours] = theirs
    seen = {at for at, _ in matched}
    return RecordBeats(
        name,
        np.stack([beats[index].data for index in kept]).astype(np.float32),
        np.stack([beats[index].features["context"] for index in kept]).astype(np.float32),
        np.stack([beats[index].features["fibrillation"] for index in kept]).astype(np.float32),
        classes,
        tuple(letter for at, (_, letter) in enumerate(reference) if at not in seen),
    )


def _inside(at: int, spans: Sequence[tuple[int, int]], margin: int) -> bool:
    return any(start - margin <= at <= end + margin for start, end in spans)
