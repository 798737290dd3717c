"""A recording as an endless or ending run of samples at the rate of the wire, with its beats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime import registry
from edge_runtime.ecg.leads import canonical_lead
from edge_runtime.errors import ConfigError, EndOfStream
from edge_runtime.preprocess.resample import Resample
from edge_runtime.tables import Table

if TYPE_CHECKING:
    from edge_runtime.frame import Frame, Signal
    from edge_runtime.interfaces import Source

SYNTHETIC = "ecgsyn"
KINDS = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".edf": "edf", ".bdf": "edf", ".dcm": "dicom"}
CHUNK_S = 1.0
READ_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Block:
    """Samples that follow one another.

    `first` counts from the start of the replay, `begun` is the number of the first sample of the
    pass through the record that they belong to.
    """

    first: int
    data: Signal  # (samples, leads) float32 in mV
    begun: int = 0

    @property
    def stop(self) -> int:
        """The number after the last one."""
        return self.first + len(self.data)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a record is played.

    Args:
        record: a WFDB record, an EDF, CSV or DICOM file, or "ecgsyn", "ecgsyn:3600" for so many
            seconds of an artificial ECG.
        leads: which leads, in this order; empty means `prefer`.
        prefer: taken when the record has them all, in any spelling; all that there are if not.
        rate_hz: samples per second to give; 0 means those of the record.
        file_rate_hz: of a table of samples that does not say it.
        loop: begin again at the end, for ever; the samples before and after stand side by side.
        seed: of an artificial ECG.
    """

    record: str
    leads: tuple[str, ...] = ()
    prefer: tuple[str, ...] = ()
    rate_hz: float = 0.0
    file_rate_hz: float = 0.0
    loop: bool = False
    seed: int = 0


class Recording:
    """Reads a record through the source that a pipeline would use; it is read piece by piece.

    `rate_hz` and `leads` are known after `open()`. A hole in the record is a jump in `first`.
    Raises ConfigError for a record that cannot be played.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self.name = wanted.record
        self.rate_hz = 0.0
        self.leads: tuple[str, ...] = ()
        self._file_rate_hz = 0.0
        self._columns: list[int] = []

    def open(self) -> None:
        """Look at the first samples."""
        first = next(frames_of(source_of(self._wanted)), None)
        if first is None:
            raise ConfigError(f"{self._wanted.record}: holds no samples")
        if first.data.ndim != 2 or not first.rate_hz:
            raise ConfigError(f"{self._wanted.record}: is no signal")
        self._columns = _columns(self._wanted, first.leads)
        self.leads = tuple(first.leads[column] for column in self._columns)
        self._file_rate_hz = first.rate_hz
        self.rate_hz = self._wanted.rate_hz or first.rate_hz

    def blocks(self) -> Iterator[Block]:
        """The samples, in order; without end when it is looped."""
        shift = 0
        while True:
            stop = shift
            for block in self._pass(shift):
                stop = block.stop
                yield block
            if not self._wanted.loop or stop == shift:
                return
            shift = stop

    def beats(self) -> list[tuple[float, str]]:
        """Sample of the wire's rate and label of every beat of one pass; none when not known."""
        scale = self.rate_hz / self._file_rate_hz
        return [(sample * scale, label) for sample, label in _truth(self._wanted)]

    def _pass(self, shift: int) -> Iterator[Block]:
        start_ns = -1
        for frame in _resampled(frames_of(source_of(self._wanted)), self.rate_hz):
            if start_ns < 0:
                start_ns = frame.timestamp_ns
            at_s = (frame.timestamp_ns - start_ns) / 1e9
            first = shift + round(at_s * self.rate_hz)
            yield Block(first, frame.data[:, self._columns], shift)


def _resampled(frames: Iterator[Frame], rate_hz: float) -> Iterator[Frame]:
    step = Resample(rate_hz=rate_hz)
    for frame in frames:
        yield from step(frame)
    yield from step.flush()


def frames_of(source: Source) -> Iterator[Frame]:
    """Every frame of a recorded source."""
    try:
        source.open()
        while True:
            frame = source.read(READ_TIMEOUT_S)
            if frame is not None:
                yield frame
    except EndOfStream:
        return
    finally:
        source.close()


def kind_of(record: str) -> str:
    """The kind of source that reads a record."""
    if record.partition(":")[0] == SYNTHETIC:
        return SYNTHETIC
    return KINDS.get(Path(record).suffix.lower(), "wfdb")


def source_of(wanted: Wanted) -> Source:
    kind = kind_of(wanted.record)
    options: dict[str, object] = {"path": wanted.record, "pace": "flat", "chunk_s": CHUNK_S}
    if kind == SYNTHETIC:
        options = {"seed": wanted.seed, "pace": "flat", "chunk_s": CHUNK_S, **_length(wanted)}
    if kind == "csv" and wanted.file_rate_hz:
        options["rate_hz"] = wanted.file_rate_hz
    made: Source = Table(options, wanted.record).make(registry.find("source", kind), name="replay")
    return made


def _length(wanted: Wanted) -> dict[str, object]:
    text = wanted.record.partition(":")[2]
    try:
        return {"seconds": float(text)} if text else {}
    except ValueError as exc:
        raise ConfigError(f"{wanted.record}: write ecgsyn, or ecgsyn:3600 for an hour") from exc


def _columns(wanted: Wanted, leads: Sequence[str]) -> list[int]:
    """Where the wanted leads stand. Raises ConfigError for one that the record lacks."""
    there = [canonical_lead(lead) for lead in leads]
    asked = [canonical_lead(lead) for lead in wanted.leads]
    for lead in asked:
        if lead not in there:
            has = ", ".join(leads) or "no named lead"
            raise ConfigError(f"{wanted.record}: has no lead {lead}; it has {has}")
    liked = [canonical_lead(lead) for lead in wanted.prefer]
    if not asked and liked and all(lead in there for lead in liked):
        asked = liked
    return [there.index(lead) for lead in asked] or list(range(len(leads) or 1))


def _truth(wanted: Wanted) -> Sequence[tuple[int, str]]:
    """Beats as annotated (100.atr beside 100.hea), or as made."""
    kind = kind_of(wanted.record)
    if kind == SYNTHETIC:
        made: tuple[tuple[int, str], ...] = getattr(source_of(wanted), "truth", ())
        return made
    marks = Path(wanted.record.removesuffix(".hea") + ".atr")
    if kind != "wfdb" or not marks.is_file():
        return ()
    from edge_runtime.sources.records.wfdb_annotations import read_annotations

    read = read_annotations(marks)
    return [
        (int(sample), symbol)
        for sample, symbol, beat in zip(read.samples, read.symbols, read.beats(), strict=True)
        if beat
    ]
