"""A part of a record in memory: whole numbers per lead, and the marks inside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.errors import ConfigError
from edge_runtime.sources.records.wfdb_annotations import Annotations, read_annotations
from edge_runtime.sources.records.wfdb_record import open_record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_runtime.sources.records.wfdb_format import SignalSpec

MAX_COUNT = 32_767  # so that every lead fits 16 bits, and -32768 can say "no sample"


@dataclass(frozen=True, slots=True)
class Lead:
    """One lead: mV = count / per_mv; where the part's `valid` is False the count means nothing."""

    name: str
    counts: NDArray[np.int16]  # (samples,)
    per_mv: float  # above 0


@dataclass(frozen=True, slots=True)
class Part:
    """Samples of some leads, in order, from one moment on."""

    record: str
    rate_hz: float
    start: datetime | None  # of the first sample, UTC; None when the record does not say
    leads: tuple[Lead, ...]
    valid: NDArray[np.bool_]  # (samples,); False where the record misses a sample of any lead
    marks: Annotations | None  # samples count from the part's first


def read_part(
    path: Path, leads: Sequence[str], begin_s: float, end_s: float | None, annotator: str
) -> Part:
    """Read from `begin_s` up to `end_s`, or to the end; no marks when `annotator` is "".

    Raises ConfigError when the record cannot be played, is shorter, or lacks a lead or the marks;
    FrameError, SourceLostError as `Record.blocks`.
    """
    record = open_record(path, leads)
    header = record.header
    first = round(begin_s * header.rate_hz)
    stop = record.frames if end_s is None else min(record.frames, round(end_s * header.rate_hz))
    if first >= stop:
        raise ConfigError(f"{path}: nothing to export: it is {record.frames / header.rate_hz:g} s")
    scale = record.per_frame
    millivolts = np.zeros(((stop - first) * scale, len(record.specs)), np.float32)
    valid = np.zeros(len(millivolts), dtype=bool)
    for block in record.blocks(first, stop):
        at = block.first - first * scale
        millivolts[at : at + len(block.mv)] = block.mv
        valid[at : at + len(block.mv)] = block.valid
    start = header.start and header.start + timedelta(seconds=first / header.rate_hz)
    columns = zip(record.specs, millivolts.T, strict=True)
    return Part(
        record=header.name,
        rate_hz=header.rate_hz * scale,
        start=start,
        leads=tuple(_lead(spec, np.where(valid, column, 0)) for spec, column in columns),
        valid=valid,
        marks=_marks(path, annotator, first, stop, scale) if annotator else None,
    )


def _lead(spec: SignalSpec, millivolts: NDArray[np.float32]) -> Lead:
    """The counts of the recorder less its baseline; scaled down only if they need more bits."""
    per_mv = abs(spec.gain) / (spec.mv_per_unit or 1.0)
    counts = np.rint(millivolts.astype(np.float64) * per_mv)
    top = float(np.abs(counts).max(initial=0))
    if top > MAX_COUNT:
        per_mv *= MAX_COUNT / top
        counts = np.rint(millivolts.astype(np.float64) * per_mv)
    return Lead(spec.lead, counts.astype(np.int16), per_mv)


def _marks(path: Path, annotator: str, first: int, stop: int, scale: int) -> Annotations:
    marks = read_annotations(path.with_name(f"{path.name}.{annotator}"))
    inside = (marks.samples >= first) & (marks.samples < stop)
    rows = np.flatnonzero(inside).tolist()
    return replace(
        marks,
        samples=(marks.samples[inside] - first) * scale,
        symbols=tuple(marks.symbols[row] for row in rows),
        aux=tuple(marks.aux[row] for row in rows),
        subtypes=marks.subtypes[inside],
        channels=marks.channels[inside],
        numbers=marks.numbers[inside],
    )
