"""Write WFDB annotation files, and records in format 16.

The formats are those of annot(5), header(5) and signal(5) in the WFDB Applications Guide of
PhysioNet; the annotations are read back to the same values by `sources.wfdb_annotations`.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.errors import ConfigError
from edge_runtime.sources.records.wfdb_annotations import SYMBOLS, Annotations

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .part import Part

_SKIP, _NUM, _SUB, _CHN, _AUX = 59, 60, 61, 62, 63
_MAX_INTERVAL = 1023  # ten bits
_MAX_AUX = 255
_NO_SAMPLE = -32_768
_CODE = re.compile(r"\[(\d{1,2})\]")  # how the reader names a code without a symbol


def plain_marks(samples: Sequence[int], symbols: Sequence[str]) -> Annotations:
    """Plain marks: a symbol at a sample and nothing else."""
    none = np.zeros(len(samples), dtype=np.int16)
    return Annotations(
        samples=np.array(samples, dtype=np.int64),
        symbols=tuple(symbols),
        aux=("",) * len(samples),
        subtypes=none,
        channels=none,
        numbers=none,
    )


def encode_annotations(marks: Annotations) -> bytes:
    """The bytes of an annotation file in MIT format.

    Times are in samples of the record. Raises ValueError for a symbol that the format lacks.
    """
    out = bytearray()
    before = channel = number = 0
    for row, symbol in enumerate(marks.symbols):
        sample = int(marks.samples[row])
        interval = sample - before
        if not 0 <= interval <= _MAX_INTERVAL:
            high, low = divmod(interval, 1 << 16)
            out += struct.pack("<HhH", _SKIP << 10, high, low)
            interval = 0
        out += _word(_code(symbol), interval)
        before = sample
        if marks.subtypes[row]:
            out += _word(_SUB, int(marks.subtypes[row]) & 0xFF)
        if marks.channels[row] != channel:
            channel = int(marks.channels[row])
            out += _word(_CHN, channel & 0xFF)
        if marks.numbers[row] != number:
            number = int(marks.numbers[row])
            out += _word(_NUM, number & 0xFF)
        text = marks.aux[row].encode("latin-1", "replace")[:_MAX_AUX]
        if text:
            out += _word(_AUX, len(text)) + text + b"\0" * (len(text) % 2)
    return bytes(out) + b"\0\0"


def write_annotations(path: Path, marks: Annotations) -> None:
    """Write an annotation file such as 100.test. Raises ConfigError when it cannot be written."""
    write(path, encode_annotations(marks))


def write(path: Path, content: bytes) -> None:
    """Write a file whole. Raises ConfigError when that cannot be."""
    try:
        path.write_bytes(content)
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc


def _word(code: int, value: int) -> bytes:
    return struct.pack("<H", code << 10 | value)


def _code(symbol: str) -> int:
    if symbol and symbol in SYMBOLS:
        return SYMBOLS.index(symbol)
    numbered = _CODE.fullmatch(symbol)
    if numbered is None or not 0 < int(numbered[1]) < _SKIP:
        raise ValueError(f"{symbol!r} is no symbol of an annotation file")
    return int(numbered[1])


def encode_record(name: str, part: Part) -> tuple[bytes, bytes]:
    """Header and signal file of a part in format 16; a missing sample is -32768, as it says."""
    counts = np.stack([lead.counts for lead in part.leads], axis=1).astype("<i2")
    counts[~part.valid] = _NO_SAMPLE
    sums = counts.sum(axis=0, dtype=np.int64) + (1 << 15)
    checks = (sums % (1 << 16) - (1 << 15)).tolist()
    start = ""
    if part.start:
        thousandths = part.start.microsecond // 1000
        start = f" {part.start:%H:%M:%S}.{thousandths:03} {part.start:%d/%m/%Y}"
    lines = [f"{name} {len(part.leads)} {part.rate_hz:.12g} {len(counts)}{start}"]
    for column, lead in enumerate(part.leads):
        lines.append(
            f"{name}.dat 16 {lead.per_mv:.12g}(0)/mV 16 0 {counts[0, column]} {checks[column]} 0 "
            f"{lead.name}"
        )
    return ("\n".join(lines) + "\n").encode(), counts.tobytes()
