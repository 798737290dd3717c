"""Read WFDB headers: which signals a record has and where their samples lie.

The format is that of header(5) in the WFDB Applications Guide of PhysioNet. A header comes from
outside: every number has a limit, and a file that it names must lie beside it.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from edge_runtime.errors import ConfigError
from edge_runtime.sources.leads import MV_PER_UNIT, tidy

MAX_HEADER_BYTES = 1 << 20  # the longest header of PhysioNet's databases is far below
MAX_SIGNALS = 1024
MAX_SEGMENTS = 100_000
MAX_SAMPLES_PER_FRAME = 65_536  # over all signals of a record; bounds the memory of one read
MIN_RATE_HZ, MAX_RATE_HZ = 1e-3, 1e6
DEFAULT_RATE_HZ = 250.0  # header(5)
DEFAULT_GAIN = 200.0  # header(5): units per mV where the gain is 0 or left out

_INT = r"[-+]?\d{1,15}"
_NUMBER = r"[-+]?(?:\d{1,20}(?:\.\d{0,20})?|\.\d{1,20})(?:[eE][-+]?\d{1,2})?"
_RECORD = re.compile(
    rf"(?P<name>[^\s/]+)(?:/(?P<segments>\d{{1,15}}))?\s+(?P<signals>\d{{1,15}})"
    rf"(?:\s+(?P<rate>{_NUMBER})(?:/(?P<counter>{_NUMBER})(?:\((?P<base>{_NUMBER})\))?)?"
    r"(?:\s+(?P<frames>\d{1,15})"
    r"(?:\s+(?P<time>\d{1,6}(?::\d{1,2}){0,2}(?:\.\d{1,9})?)"
    r"(?:\s+(?P<date>\d{1,2}/\d{1,2}/\d{1,4}))?)?)?)?\s*",
    re.ASCII,
)
_SIGNAL = re.compile(
    r"(?P<file>\S+)\s+(?P<format>\d{1,5})(?:x(?P<per_frame>\d{1,9}))?(?::(?P<skew>\d{1,9}))?"
    rf"(?:\+(?P<offset>\d{{1,15}}))?(?:\s+(?P<gain>{_NUMBER})(?:\((?P<baseline>{_INT})\))?"
    rf"(?:/(?P<unit>\S+))?(?:\s+(?P<bits>{_INT})(?:\s+(?P<zero>{_INT})(?:\s+(?P<initial>{_INT})"
    rf"(?:\s+(?P<checksum>{_INT})(?:\s+(?P<block>{_INT})(?:\s+(?P<lead>\S.*?))?)?)?)?)?)?)?\s*",
    re.ASCII,
)
_SEGMENT = re.compile(r"(?P<name>\S+)\s+(?P<frames>\d{1,15})\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class SignalSpec:
    """One signal of a record. A sample in mV is (adc - baseline) / gain * mv_per_unit."""

    lead: str
    file: str
    format: int
    samples_per_frame: int
    skew: int  # frames of this signal that come before frame 0
    offset_bytes: int
    gain: float  # adc units per physical unit
    baseline: int
    unit: str
    calibrated: bool  # False: the header gives no gain, 200 units per mV are assumed
    initial: int  # the sample before the first difference of format 8
    checksum: int | None  # 16-bit sum of all samples; None when the header does not say

    @property
    def mv_per_unit(self) -> float | None:
        """Millivolts in one physical unit; None when the signal is no voltage."""
        return MV_PER_UNIT.get(self.unit.lower())


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a multi-segment record; the name "~" stands for a hole."""

    name: str
    frames: int


@dataclass(frozen=True, slots=True)
class RecordHeader:
    """A record: signals that lie in files, or segments that are records of their own."""

    name: str
    rate_hz: float  # frames per second; a signal has samples_per_frame times as many samples
    counter_hz: float
    base_counter: float
    frames: int | None  # None when the header does not say
    start: datetime | None  # UTC is assumed; None when the header gives no date
    signals: tuple[SignalSpec, ...]
    segments: tuple[Segment, ...]
    comments: tuple[str, ...]


def read_header(path: Path) -> RecordHeader:
    """Read a record's header; `path` with or without ".hea". Raises ConfigError."""
    file = path if path.suffix == ".hea" else Path(f"{path}.hea")
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{file}: is not a file")
        if status.st_size > MAX_HEADER_BYTES:
            raise ConfigError(f"{file}: {status.st_size} bytes are too many for a WFDB header")
        raw = file.read_bytes()
    except OSError as exc:
        raise ConfigError(f"{file}: {exc.strerror}") from exc
    except ValueError as exc:
        raise ConfigError(f"{str(file)!r}: {exc}") from exc
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return parse_header(text, str(file))


def parse_header(text: str, file: str) -> RecordHeader:
    """Parse the text of a header; `file` is how errors name it. Raises ConfigError."""
    lines, comments = _lines(text, file)
    head = lines[0].match(_RECORD, "a WFDB record line (name, signals, rate, length)")
    segments, signals = int(head["segments"] or 0), int(head["signals"])
    if signals > MAX_SIGNALS or segments > MAX_SEGMENTS:
        what = f"{signals} signals in {segments} segments" if segments else f"{signals} signals"
        raise ConfigError(f"{lines[0].where}: {what} are more than edge-run reads")
    count = segments or signals
    if len(lines) - 1 < count:
        kind = "segments" if segments else "signals"
        raise ConfigError(f"{file}: names {count} {kind} but describes {len(lines) - 1}")
    rate_hz = lines[0].rate(head["rate"])
    body = lines[1 : count + 1]
    specs = () if segments else tuple(_signal(line, i) for i, line in enumerate(body))
    if sum(spec.samples_per_frame for spec in specs) > MAX_SAMPLES_PER_FRAME:
        raise ConfigError(f"{file}: more than {MAX_SAMPLES_PER_FRAME} samples per frame")
    return RecordHeader(
        name=tidy(head["name"]),
        rate_hz=rate_hz,
        counter_hz=float(head["counter"] or rate_hz),
        base_counter=float(head["base"] or 0),
        frames=int(head["frames"] or 0) or None,
        start=lines[0].start(head["time"], head["date"]),
        signals=specs,
        segments=tuple(_segment(line) for line in body) if segments else (),
        comments=tuple(comments),
    )


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of a header that knows where it stands."""

    text: str
    where: str

    def match(self, pattern: re.Pattern[str], wanted: str) -> re.Match[str]:
        found = pattern.fullmatch(self.text)
        if found is None:
            shown = ascii(self.text if len(self.text) <= 60 else f"{self.text[:57]}...")
            raise ConfigError(f"{self.where}: {shown} is not {wanted}")
        return found

    def rate(self, written: str | None) -> float:
        rate_hz = float(written) if written else DEFAULT_RATE_HZ
        if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
            raise ConfigError(f"{self.where}: {written} is no sampling rate (0.001 to 1e6 Hz)")
        return rate_hz

    def start(self, time: str | None, date: str | None) -> datetime | None:
        """Base time and date; a time of day alone does not say when."""
        if not time or not date:
            return None
        fields = [float(part) for part in time.split(":")]
        hours, minutes, seconds = [0.0] * (3 - len(fields)) + fields
        day, month, year = (int(part) for part in date.split("/"))
        micros = round(seconds % 1 * 1e6) % 1_000_000
        clock = (int(hours), int(minutes), int(seconds), micros)
        try:
            return datetime(year, month, day, *clock, tzinfo=timezone.utc)
        except ValueError as exc:
            raise ConfigError(f"{self.where}: {time} {date}: {exc}") from exc

    def beside(self, name: str) -> str:
        """A name of a file in the header's own folder."""
        if not name.isprintable() or "/" in name or "\\" in name or name in (".", ".."):
            raise ConfigError(f"{self.where}: {name!a} must be a file beside the header")
        return name


def _lines(text: str, file: str) -> tuple[list[_Line], list[str]]:
    """The lines that say something, and the comments."""
    lines, comments = [], []
    for number, line in enumerate(text.split("\n"), 1):
        bare = line.strip()
        if bare.startswith("#"):
            comments.append(bare[1:].strip())
        elif bare:
            lines.append(_Line(bare, f"{file}:{number}"))
    if not lines:
        raise ConfigError(f"{file}: is empty: no WFDB header")
    return lines, comments


def _signal(line: _Line, index: int) -> SignalSpec:
    found = line.match(_SIGNAL, "a WFDB signal line (file, format, gain, ...)")
    gain = float(found["gain"] or 0)
    if gain and not 1e-12 < abs(gain) < 1e12:
        raise ConfigError(f"{line.where}: {found['gain']} is no gain")
    zero, per_frame = int(found["zero"] or 0), int(found["per_frame"] or 1)
    if per_frame < 1:
        raise ConfigError(f"{line.where}: a frame needs at least one sample")
    return SignalSpec(
        lead=tidy(found["lead"] or f"signal {index}"),
        file=line.beside(found["file"]),
        format=int(found["format"]),
        samples_per_frame=per_frame,
        skew=int(found["skew"] or 0),
        offset_bytes=int(found["offset"] or 0),
        gain=gain or DEFAULT_GAIN,
        baseline=int(found["baseline"]) if found["baseline"] else zero,
        unit=tidy(found["unit"] or "mV"),
        calibrated=gain != 0,
        initial=int(found["initial"]) if found["initial"] else zero,
        checksum=int(found["checksum"]) if found["checksum"] else None,
    )


def _segment(line: _Line) -> Segment:
    found = line.match(_SEGMENT, "a WFDB segment line (record name, length)")
    return Segment(line.beside(found["name"]), int(found["frames"]))
