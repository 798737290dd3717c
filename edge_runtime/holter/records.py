"""Which records are scored, which of their leads, and how a record is played to the steps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.ecg.leads import canonical_lead
from edge_runtime.errors import ConfigError
from edge_runtime.frame import Frame

if TYPE_CHECKING:
    from edge_runtime.sources.records.wfdb_format import RecordHeader
    from edge_runtime.sources.records.wfdb_record import Block, Record

# The split by patient of the MIT-BIH Arrhythmia Database (de Chazal 2004, IEEE Trans Biomed Eng
# 51:1196): to train on, and to test on. The four records of paced hearts are in neither.
SPLITS = {
    "ds1": (
        *("101", "106", "108", "109", "112", "114", "115", "116", "118", "119", "122"),
        *("124", "201", "203", "205", "207", "208", "209", "215", "220", "223", "230"),
    ),
    "ds2": (
        *("100", "103", "105", "111", "113", "117", "121", "123", "200", "202", "210"),
        *("212", "213", "214", "219", "221", "222", "228", "231", "232", "233", "234"),
    ),
}
# Records 201 and 202 are of one man; "118e24" of the Noise Stress Test Database is 118 with noise.
_SAME_PATIENT = {"202": "201"}
_WITH_NOISE = re.compile(r"(\d{3})e(?:_6|\d\d)")


def patient_of(record: str) -> str:
    """The patient that a record is of, as the name of one record."""
    noisy = _WITH_NOISE.fullmatch(record)
    name = noisy[1] if noisy else record
    return _SAME_PATIENT.get(name, name)


def find_records(
    given: Iterable[str], annotator: str, split: str = "", without: Sequence[str] = ()
) -> list[Path]:
    """Paths of records, without suffix, in order; a folder stands for its annotated records.

    With `split`, only the records of that set; never those named in `without`. Raises ConfigError
    for a record that is not there or has no annotations, for one in `without` that was not given,
    and when none is left.
    """
    found: list[Path] = []
    for name in given:
        path = Path(name.removesuffix(".hea"))
        if path.is_dir():
            headers = sorted(path.glob("*.hea"))
            annotated = [file for file in headers if file.with_suffix(f".{annotator}").exists()]
            if not annotated:
                raise ConfigError(f"{path}: holds no record with annotations .{annotator}")
            found += [file.with_suffix("") for file in annotated]
            continue
        for suffix in ("hea", annotator):
            if not path.with_name(f"{path.name}.{suffix}").exists():
                raise ConfigError(f"{path}.{suffix}: no such file; give a record or a folder")
        found.append(path)
    names = {path.name for path in found}
    if unknown := [name for name in without if name not in names]:
        raise ConfigError(f"--without {unknown[0]}: is none of these records")
    found = [path for path in found if path.name not in without]
    chosen = [path for path in dict.fromkeys(found) if not split or path.name in SPLITS[split]]
    if not chosen:
        raise ConfigError(f"none of these records is {f'in {split.upper()}' if split else 'left'}")
    return chosen


def choose_lead(header: RecordHeader, wanted: str) -> str:
    """The lead as the record spells it: the one wanted, or MLII, or the first."""
    names = [spec.lead for spec in header.signals]
    if wanted or not names:
        return wanted
    return next((name for name in names if canonical_lead(name) == "MLII"), names[0])


def play(record: Record, source: str, chunk_s: float, first: int = 0) -> Iterator[Frame]:
    """The record's samples as frames of `chunk_s`, the time counting from the record's start.

    Where samples are missing the frames' numbers jump. Raises as `Record.blocks`.
    """
    rate_hz = record.header.rate_hz * record.per_frame
    leads = tuple(spec.lead for spec in record.specs)
    chunk = max(1, round(chunk_s * rate_hz))
    seq, expected = 0, first * record.per_frame
    for block in record.blocks(first, record.frames):
        for begin, end in whole_runs(block):
            at = block.first + begin
            seq += at != expected
            for start in range(begin, end, chunk):
                stop = min(start + chunk, end)
                at_ns = round((block.first + start) * 1e9 / rate_hz)
                yield Frame(block.mv[start:stop], at_ns, at_ns, seq, source, rate_hz, leads)
                seq += 1
            expected = block.first + end


def whole_runs(block: Block) -> Sequence[tuple[int, int]]:
    """Begin and end of every run of samples that are there."""
    edges = np.flatnonzero(np.diff(block.valid, prepend=False, append=False)).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))
