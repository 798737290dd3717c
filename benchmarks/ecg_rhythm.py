"""Run the monitor `rhythm` over the MIT-BIH Arrhythmia Database and compare its events.

    python benchmarks/ecg_rhythm.py path/to/mitdb [--beats reference] [--json FILE] [RECORD ...]

Protocol: 48 records, MLII (else the first lead), frames of 1 s, beats and classes of the shipped
model ecg-beats behind the steps of its run file; with `--beats reference` those of the reference
annotations. The truth is the reference rhythm: (B and bigeminy, (T and trigeminy, (VT and runs of
three or more, (AFIB and af. An episode is found when an event overlaps it, an event is right when
it overlaps an episode. Time is compared sample by sample. Left out are (AFL for af, (IVR and (VFL
for runs; episodes of (AFIB less than 60 s apart are one. The first lead of 102 and 104 is handed
on as MLII, for the model takes no other.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_runtime import build
from edge_runtime.config import ModelConfig, Rung
from edge_runtime.ecg.matching import AAMI
from edge_runtime.frame import BackendInfo, Frame, Latency, ModelInfo, Result
from edge_runtime.interfaces import Step
from edge_runtime.model import Model
from edge_runtime.monitors.rhythm import Rhythm
from edge_runtime.outcome import Beat, Beats, Event, Events, Outcome
from edge_runtime.preprocess.bandpass import Bandpass
from edge_runtime.preprocess.beats import Beats as BeatSteps
from edge_runtime.preprocess.resample import Resample
from edge_runtime.shipped import resolve
from edge_runtime.sources.records.wfdb_annotations import Annotations, read_annotations
from edge_runtime.sources.records.wfdb_format import read_header
from edge_runtime.sources.records.wfdb_record import open_record

RHYTHMS = {"bigeminy": "(B", "trigeminy": "(T", "run": "(VT", "af": "(AFIB"}
_LEFT_OUT = {"af": ("(AFL",), "run": ("(IVR", "(VFL")}  # neither right nor wrong
_MERGED_S = {"af": 60.0}  # fibrillation goes on while ventricular beats have the name
_NO_MODEL = (ModelInfo("reference", "1", ""), BackendInfo("none", "none"), Latency(0, 0, 0, 0))


class Row(NamedTuple):
    """One rhythm in one record; seconds."""

    record: str
    name: str
    episodes: int
    found: int
    events: int
    right: int
    true_s: float
    found_s: float
    false_s: float
    other_s: float  # neither truth nor left out
    onset_beats: tuple[int, ...]  # event less episode, where one overlaps the other


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of the records")
    parser.add_argument("records", nargs="*", help="records; all by default")
    parser.add_argument("--beats", choices=["model", "reference"], default="model")
    parser.add_argument("--json", type=Path, help="write rows and events here as well")
    arguments = parser.parse_args()
    names = arguments.records or (arguments.folder / "RECORDS").read_text().split()
    config = ModelConfig(path=resolve("ecg-beats", Path()), delegates=(Rung("cpu"),), threads=1)
    model = build.model(config) if arguments.beats == "model" else None
    if model:
        model.open()
    rows, told = [], {}
    for name in names:
        marks = read_annotations(arguments.folder / f"{name}.atr")
        started = time.process_time()
        events = list(watched(arguments.folder / name, model, marks))
        told[name] = [[e.name, e.phase, e.onset_ns, e.end_ns, dict(e.values)] for e in events]
        rows += [compared(name, rhythm, events, marks) for rhythm in RHYTHMS]
        print(f"{name}: {len(events)} events, {time.process_time() - started:.1f} s", flush=True)
    table(rows)
    if arguments.json:
        text = {"rows": [row._asdict() for row in rows], "events": told}
        arguments.json.write_text(json.dumps(text) + "\n")


def watched(path: Path, model: Model | None, marks: Annotations) -> Iterator[Event]:
    """Every event of a record."""
    monitor = Rhythm(summary_s=3600)
    steps: tuple[Step, ...] = (Resample(rate_hz=250.0), Bandpass(), BeatSteps())
    waiting = list(reference_beats(marks))
    for frame in frames(path):
        yield from events_of(monitor.frame(frame))
        if model is None:
            until_ns = frame.timestamp_ns + round((len(frame.data) / 360 - 0.5) * 1e9)
            ready = [beat for beat in waiting if beat.timestamp_ns <= until_ns]
            waiting = waiting[len(ready) :]
            results = [_result(frame, beat) for beat in ready]
        else:
            results = [model(made) for made in through((frame,), steps)]
        for result in results:
            yield from events_of(monitor.result(result))
    yield from events_of(monitor.flush())


def events_of(outcomes: list[Outcome]) -> Iterator[Event]:
    for outcome in outcomes:
        if isinstance(outcome, Events):
            yield from outcome.events


def through(made: tuple[Frame, ...], steps: tuple[Step, ...]) -> tuple[Frame, ...]:
    for step in steps:
        made = tuple(after for frame in made for after in step(frame))
    return made


def frames(path: Path) -> Iterator[Frame]:
    leads = [spec.lead for spec in read_header(path).signals]
    lead = "MLII" if "MLII" in leads else leads[0]
    record = open_record(path, [lead])
    signal = np.concatenate([block.mv for block in record.blocks(0, record.frames)])
    for seq, at in enumerate(range(0, len(signal), 360)):
        at_ns = round(at * 1e9 / 360)
        yield Frame(signal[at : at + 360], at_ns, at_ns, seq, path.name, 360.0, ("MLII",))


def reference_beats(marks: Annotations) -> Iterator[Beat]:
    last = None
    for sample, symbol in zip(marks.samples.tolist(), marks.symbols, strict=True):
        if symbol in AAMI:
            rr_s = None if last is None else (sample - last) / 360
            yield Beat(0, AAMI[symbol], 1.0, round(sample * 1e9 / 360), rr_s, None)
            last = sample


def _result(frame: Frame, beat: Beat) -> Result:
    model, backend, latency = _NO_MODEL
    stamps = (frame.timestamp_ns, frame.monotonic_ns)
    return Result("", frame.source, frame.seq, *stamps, model, backend, latency, Beats((beat,)))


def compared(record: str, name: str, events: list[Event], marks: Annotations) -> Row:
    """What the reference and the rules say of one rhythm."""
    stop = int(marks.samples[-1])
    truth = merged(episodes(marks, RHYTHMS[name], stop), _MERGED_S.get(name, 0.0))
    open_, called = None, []
    for event in events:
        if event.name == name and event.phase == "onset":
            open_ = event.onset_ns
        elif event.name == name and event.phase == "end" and open_ is not None:
            called.append((round(open_ * 0.36e-6), round((event.end_ns or 0) * 0.36e-6)))
    beats = np.array([s for s, y in zip(marks.samples, marks.symbols, strict=True) if y in AAMI])
    onsets = [
        int(np.searchsorted(beats, first[0]) - np.searchsorted(beats, a))
        for a, b in truth
        if (first := next((c for c in called if c[0] < b and c[1] > a), None))
    ]
    true, said, other = (np.zeros(stop, bool) for _ in range(3))
    for spans, flags in ((truth, true), (called, said)):
        for a, b in spans:
            flags[a:b] = True
    for rhythm in _LEFT_OUT.get(name, ()):
        for a, b in episodes(marks, rhythm, stop):
            other[a:b] = True
    return Row(
        record,
        name,
        len(truth),
        sum(any(c < b and d > a for c, d in called) for a, b in truth),
        len(called),
        sum(any(c < b and d > a for a, b in truth) for c, d in called),
        _seconds(true),
        _seconds(true & said),
        _seconds(said & ~true & ~other),
        _seconds(~true & ~other),
        tuple(onsets),
    )


def episodes(marks: Annotations, rhythm: str, stop: int) -> list[tuple[int, int]]:
    changes = [
        (int(sample), aux)
        for sample, aux in zip(marks.samples, marks.aux, strict=True)
        if aux.startswith("(")
    ]
    return [(a, b) for (a, aux), (b, _) in pairwise([*changes, (stop, "")]) if aux == rhythm]


def merged(spans: list[tuple[int, int]], within_s: float) -> list[tuple[int, int]]:
    made: list[tuple[int, int]] = []
    for a, b in spans:
        if made and a - made[-1][1] <= within_s * 360:
            made[-1] = (made[-1][0], b)
        else:
            made.append((a, b))
    return made


def _seconds(flags: NDArray[np.bool_]) -> float:
    return float(flags.sum() / 360)


def table(rows: list[Row]) -> None:
    print(
        "rhythm     record  episodes found  events right   Se % of time  +P % of time  onset, beats"
    )
    for name in RHYTHMS:
        mine = [row for row in rows if row.name == name]
        for row in mine:
            if row.episodes or row.events:
                _print(row, row.record)
        gross = [sum(column) for column in zip(*(row[2:10] for row in mine), strict=True)]
        onsets = tuple(beat for row in mine for beat in row.onset_beats)
        if gross:
            total = Row("gross", name, *gross, onsets)
            _print(total, "gross")
            print(f"    Sp {100 * (1 - total.false_s / max(total.other_s, 1)):.2f} % of time")
            if onsets:
                print(f"    onset error, beats: median {np.median(onsets):.0f},", end=" ")
                print(
                    f"median size {np.median(np.abs(onsets)):.0f}, largest {max(onsets, key=abs)}"
                )


def _print(row: Row, record: str) -> None:
    se = 100 * row.found_s / row.true_s if row.true_s else float("nan")
    said = row.found_s + row.false_s
    ppv = 100 * row.found_s / said if said else float("nan")
    middle = np.median(row.onset_beats) if row.onset_beats else float("nan")
    print(
        f"{row.name:10} {record:>6}  {row.episodes:8} {row.found:5}  {row.events:6} {row.right:5} "
        f"{se:14.1f} {ppv:13.1f}  {middle:12.0f}"
    )


if __name__ == "__main__":
    main()
