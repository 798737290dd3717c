"""WFDB records, played through the steps: beats with their reference class, or windows."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edge_runtime.ecg.leads import canonical_lead
from edge_runtime.ecg.matching import AAMI, flutter_spans, match_beats
from edge_runtime.errors import ConfigError, FrameError, SourceLostError
from edge_runtime.frame import Frame
from edge_runtime.holter.detect import through
from edge_runtime.holter.records import patient_of, play
from edge_runtime.manifest import Manifest
from edge_runtime.sources.records.wfdb_annotations import read_annotations
from edge_runtime.sources.records.wfdb_format import read_header
from edge_runtime.sources.records.wfdb_record import open_record

from .cases import Prepared, Sample
from .classes import Classes
from .intake import Intake
from .steps import Chain

LIST = "RECORDS"  # PhysioNet's list of a folder's records, one name a line
REFERENCE = "REFERENCE.csv"  # record,class: as the PhysioNet challenges give it
_CHUNK_S = 1.0  # steps give the same however a stream is cut
_MATCH_S = 0.150  # ANSI/AAMI EC57: beats farther apart are not the same
_MARKS = ".atr"


@dataclass(frozen=True, slots=True)
class Records:
    """The frames that the steps make of records, as samples.

    For a model of beats each is compared with the annotations `.atr` of its record: it has the
    class of the reference beat within 150 ms, by AAMI (de Chazal 2004) or by its own symbol. Left
    out, and counted: beats that the steps did not find, what they found where there is no beat,
    beats in flutter, and classes that the model does not have. For any other model a sample has
    the class that REFERENCE.csv beside the records gives its record, if there is one.
    """

    path: Path
    manifest: Manifest
    intake: Intake
    classes: Classes
    chain: Chain
    left_out: Counter[str] = field(default_factory=Counter)

    def samples(self) -> Iterator[Sample]:
        """Raises ConfigError when a record is not there, is damaged, or does not fit."""
        classes = {} if self.manifest.task == "beats" else self._reference()
        for record in find(self.path):
            leads = self._leads(record)
            if leads is None:
                self.left_out[f"records without lead {', '.join(self._wanted())}"] += 1
            elif self.manifest.task == "beats":
                yield from self._beats(record, leads)
            else:
                label = classes.get(record.name) if classes else None
                if classes and label is None:
                    self.left_out["records without a class in REFERENCE.csv"] += 1
                    continue
                for frame, ready in self._frames(record, leads):
                    yield _sample(record, frame, ready, label)

    def _wanted(self) -> tuple[str, ...]:
        """The leads that the model names: of a beat's channels only the first is a lead."""
        leads = next((entry.leads for entry in self.manifest.input if entry.leads), ())
        return leads[:1] if self.manifest.task == "beats" else leads

    def _leads(self, record: Path) -> list[str] | None:
        """The record's spelling of those leads; all voltages when none is named; None: it lacks
        them.
        """
        there = {canonical_lead(spec.lead): spec.lead for spec in read_header(record).signals}
        wanted = [canonical_lead(name) for name in self._wanted()]
        if any(name not in there for name in wanted):
            return None
        return [there[name] for name in wanted]

    def _frames(self, record: Path, leads: list[str]) -> Iterator[tuple[Frame, Prepared]]:
        opened = open_record(record, leads)
        try:
            for frame in through(play(opened, record.name, _CHUNK_S), self.chain.fresh()):
                yield frame, self.intake.frame(frame, f"{record}@{frame.timestamp_ns / 1e9:.3f}s")
        except (FrameError, SourceLostError) as exc:
            raise ConfigError(f"{record}: {exc}") from exc

    def _beats(self, record: Path, leads: list[str]) -> Iterator[Sample]:
        if not record.with_name(record.name + _MARKS).exists():
            raise ConfigError(f"{record}{_MARKS}: no such file: which beats are which?")
        frames = list(self._frames(record, leads))
        rate_hz = read_header(record).rate_hz
        marks = [frame.beat for frame, _ in frames if frame.beat]
        if len(marks) < len(frames):
            raise ConfigError(
                f"{record}: the steps mark no beats: name a run file with the step 'beats'"
            )
        found = [
            round(frame.beat.timestamp_ns * rate_hz / 1e9) for frame, _ in frames if frame.beat
        ]
        labels = self._matched(record, found, round(_MATCH_S * rate_hz))
        for (frame, ready), symbol in zip(frames, labels, strict=True):
            if symbol in self.classes.names:
                yield _sample(record, frame, ready, self.classes.names.index(symbol))
            else:
                self.left_out[_why(symbol)] += 1

    def _matched(self, record: Path, found: list[int], within: int) -> list[str]:
        """For each beat found its class, or "" for none and "!" in flutter."""
        marks = read_annotations(record.with_name(record.name + _MARKS))
        samples, symbols = marks.samples.tolist(), marks.symbols
        spans = flutter_spans(samples, symbols)

        def flutters(at: int) -> bool:
            return any(start - within <= at <= end + within for start, end in spans)

        reference = [
            (at, self._class(symbol))
            for at, symbol, beat in zip(samples, symbols, marks.beats(), strict=True)
            if beat and not flutters(at)
        ]
        kept = [row for row, at in enumerate(found) if not flutters(at)]
        pairs = match_beats([at for at, _ in reference], [found[row] for row in kept], within)
        self.left_out["reference beats that the steps did not find"] += len(reference) - len(pairs)
        labels = ["!" if flutters(at) else "" for at in found]
        for theirs, ours in pairs:
            labels[kept[ours]] = reference[theirs][1]
        return labels

    def _class(self, symbol: str) -> str:
        aami = AAMI.get(symbol, "")
        return aami if aami in self.classes.names or symbol not in self.classes.names else symbol

    def _reference(self) -> dict[str, int]:
        folder = self.path if self.path.is_dir() else self.path.parent
        file = folder / REFERENCE
        if not file.exists():
            return {}
        try:
            rows = [row for row in csv.reader(file.read_text(encoding="utf-8").splitlines()) if row]
        except (OSError, UnicodeDecodeError, csv.Error) as exc:
            raise ConfigError(f"{file}: cannot be read: {exc}") from exc
        if short := [number for number, row in enumerate(rows, start=1) if len(row) < 2]:
            raise ConfigError(f"{file}:{short[0]}: is not record,class")
        return {
            row[0]: self.classes.index(row[1].strip(), f"{file}:{number}")
            for number, row in enumerate(rows, start=1)
        }


def find(path: Path) -> list[Path]:
    """Records, without suffix: those of a folder, of a list, or one. Raises ConfigError."""
    if path.is_dir():
        listed = path / LIST
        if not listed.exists():
            return sorted(file.with_suffix("") for file in path.rglob("*.hea"))
        path = listed
    elif path.with_name(f"{path.name}.hea").exists():
        return [path]
    elif path.suffix == ".hea":
        return [path.with_suffix("")]
    names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    found = [path.parent / name for name in names if name and not name.startswith("#")]
    for record in found:
        if not record.with_name(f"{record.name}.hea").exists():
            raise ConfigError(f"{path}: names {record.name}, and there is no {record}.hea")
    return found


def _sample(record: Path, frame: Frame, ready: Prepared, label: int | None) -> Sample:
    at_ns = frame.beat.timestamp_ns if frame.beat else frame.timestamp_ns
    name = f"{record.name}@{at_ns / 1e9:.3f}s"
    return Sample(name, lambda: ready, label, group=patient_of(record.name))


def _why(symbol: str) -> str:
    if symbol == "!":
        return "found in ventricular flutter"
    return f"beats of class {symbol}, which the model lacks" if symbol else "found where no beat is"
