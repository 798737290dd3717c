"""Read EDF, EDF+ and BDF headers: which signals a file has and where its records lie.

The formats are those of Kemp et al. 1992 (EDF), Kemp and Olivan 2003 (EDF+) and BioSemi (BDF, 24
bits). A header comes from outside: every number has a limit.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from datetime import datetime, timezone
from fractions import Fraction
from typing import TYPE_CHECKING

from edge_runtime.errors import ConfigError
from edge_runtime.sources.leads import MV_PER_UNIT, tidy

if TYPE_CHECKING:
    from pathlib import Path

MAX_SIGNALS = 1024
MAX_RECORD_BYTES = 16 << 20  # EDF+ asks for 61,440 at most; bounds the memory of one read
MIN_RATE_HZ, MAX_RATE_HZ = 1e-3, 1e6
_FIXED, _PER_SIGNAL = 256, 256
_WIDTHS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)  # of a signal's fields
_NUMBER = re.compile(r"[-+]?(?:\d{1,20}(?:\.\d{0,20})?|\.\d{1,20})(?:[eE][-+]?\d{1,2})?", re.ASCII)
_CLOCK = re.compile(r"(\d\d)\.(\d\d)\.(\d\d)", re.ASCII)
_LONG_DATE = re.compile(r"Startdate (\d\d)-([A-Z]{3})-(\d{4})(?: |$)", re.ASCII)
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_HIGH_PASS = re.compile(r"HP[: ]\s*(DC|\d{1,6}(?:\.\d{0,6})?)\s*(m?Hz)?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class EdfSignal:
    """One signal. Its physical value is (digital - digital_min) * gain + physical_min."""

    lead: str
    unit: str
    physical_min: float
    gain: float  # physical units per digital one
    digital_min: int
    prefilter: str
    samples: int  # in one record
    first_byte: int  # in a record

    @property
    def mv_per_unit(self) -> float | None:
        """Millivolts in one physical unit; None when the signal is no voltage."""
        return MV_PER_UNIT.get(self.unit.lower())

    @property
    def annotates(self) -> bool:
        """Whether it holds annotations and times in place of samples."""
        return self.lead in ("EDF Annotations", "BDF Annotations")

    @property
    def highpass_hz(self) -> float | None:
        """The high-pass corner that the file states; None when it does not."""
        found = _HIGH_PASS.search(self.prefilter)
        if found is None:
            return None
        if found[1].upper() == "DC":
            return 0.0
        return float(found[1]) * (1e-3 if (found[2] or "").startswith("m") else 1.0)


@dataclass(frozen=True, slots=True)
class EdfHeader:
    """A file of records, each of which holds some samples of every signal."""

    bytes: int  # of the header
    sample_bytes: int  # 2 (EDF) or 3 (BDF)
    records: int
    record_s: Fraction
    record_bytes: int
    gaps: bool  # EDF+D: a record says when it begins, and there may be time between two
    start: datetime | None  # UTC is assumed; None when the file gives no date
    signals: tuple[EdfSignal, ...]


def read_edf_header(path: Path) -> EdfHeader:
    """Read the header of a file. Raises ConfigError."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{path}: is not a file")
        with path.open("rb") as file:
            raw = file.read(_FIXED + MAX_SIGNALS * _PER_SIGNAL)
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    return parse_edf_header(raw, status.st_size, str(path))


def parse_edf_header(raw: bytes, size: int, file: str) -> EdfHeader:
    """Parse the first bytes of a file of `size` bytes; `file` names it. Raises ConfigError."""
    kind = raw[:8]
    if len(raw) < _FIXED or kind not in (b"0       ", b"\xffBIOSEMI"):
        raise ConfigError(f"{file}: is no EDF or BDF file")
    text, sample_bytes = raw.decode("latin-1"), 3 if kind[0] == 0xFF else 2
    count = _whole(text[252:256], "number of signals", file)
    if not 1 <= count <= MAX_SIGNALS:
        raise ConfigError(f"{file}: {count} signals; edge-run reads 1 to {MAX_SIGNALS}")
    length = _FIXED + count * _PER_SIGNAL
    if _whole(text[184:192], "length of the header", file) != length or len(raw) < length:
        raise ConfigError(f"{file}: its header is not the {length} bytes of {count} signals")
    signals = _signals(text[_FIXED:length], count, sample_bytes, file)
    record_s = Fraction(_number(text[244:252], "duration of a record", file))
    record_bytes = sum(signal.samples for signal in signals) * sample_bytes
    if record_bytes > MAX_RECORD_BYTES:
        raise ConfigError(f"{file}: a record of {record_bytes} bytes is more than edge-run reads")
    if not 0 <= record_s <= 10**9:
        raise ConfigError(f"{file}: a record cannot last {text[244:252].strip()} s")
    reserved = text[192:236].strip()
    return EdfHeader(
        bytes=length,
        sample_bytes=sample_bytes,
        records=_records(text[236:244], (size - length) // record_bytes, file),
        record_s=record_s,
        record_bytes=record_bytes,
        gaps=reserved.startswith(("EDF+D", "BDF+D")),
        start=_start(text),
        signals=signals,
    )


def _signals(text: str, count: int, sample_bytes: int, file: str) -> tuple[EdfSignal, ...]:
    columns, at = [], 0
    for width in _WIDTHS:  # all labels, then all transducers, ...
        columns.append([text[at + i * width : at + (i + 1) * width].strip() for i in range(count)])
        at += width * count
    signals: list[EdfSignal] = []
    first_byte = 0
    for label, _, unit, low, high, bottom, top, prefilter, samples, _ in zip(*columns, strict=True):
        where = f"{file}: signal {tidy(label)!a}"
        signal = EdfSignal(
            lead=tidy(label) or f"signal {len(signals)}",
            unit=tidy(unit),
            physical_min=float(_number(low, "physical minimum", where)),
            gain=_gain((low, high), (bottom, top), where),
            digital_min=_whole(bottom, "digital minimum", where),
            prefilter=tidy(prefilter),
            samples=_whole(samples, "number of samples", where),
            first_byte=first_byte,
        )
        if not 1 <= signal.samples <= MAX_RECORD_BYTES:
            raise ConfigError(f"{where}: {signal.samples} samples in a record cannot be")
        first_byte += signal.samples * sample_bytes
        signals.append(signal)
    return tuple(signals)


def _gain(physical: tuple[str, str], digital: tuple[str, str], where: str) -> float:
    low, high = (float(_number(text, "physical range", where)) for text in physical)
    bottom, top = (_whole(text, "digital range", where) for text in digital)
    if bottom >= top:
        raise ConfigError(f"{where}: the digital minimum {bottom} is not below the maximum {top}")
    gain = (high - low) / (top - bottom)
    if not 1e-15 < abs(gain) < 1e15 or not abs(low) < 1e15:
        raise ConfigError(f"{where}: the physical range {low:g} to {high:g} gives no gain")
    return gain


def _records(written: str, held: int, file: str) -> int:
    """How many records there are; -1 stands in a file that was never closed."""
    promised = _whole(written, "number of records", file)
    if promised == -1:
        promised = held
    if promised < 1:
        raise ConfigError(f"{file}: holds no records")
    if held < promised:
        raise ConfigError(
            f"{file}: holds {held} of the {promised} records that its header promises; the file"
            " is cut short"
        )
    return promised


def _start(text: str) -> datetime | None:
    """Start of the recording; 01.01.85 stands for no date, as EDF+ has it for anonymous files."""
    date, clock = _CLOCK.fullmatch(text[168:176]), _CLOCK.fullmatch(text[176:184])
    if date is None or clock is None:
        return None
    day, month, year = (int(field) for field in date.groups())
    year += 1900 if year >= 85 else 2000
    long = _LONG_DATE.match(text[88:168])
    if long is not None and long[2] in _MONTHS:
        day, month, year = int(long[1]), _MONTHS.index(long[2]) + 1, int(long[3])
    if (day, month, year) == (1, 1, 1985):
        return None
    hour, minute, second = (int(field) for field in clock.groups())
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
    except ValueError:
        return None


def _number(text: str, what: str, where: str) -> str:
    bare = text.strip(" \0")
    if not _NUMBER.fullmatch(bare):
        raise ConfigError(f"{where}: {bare!a} is no {what}")
    return bare


def _whole(text: str, what: str, where: str) -> int:
    bare = _number(text, what, where)
    value = Fraction(bare)
    if value.denominator != 1:
        raise ConfigError(f"{where}: {bare!a} is no {what}")
    return int(value)
