"""Play chosen leads of a WFDB record, of one segment or of many, in millivolts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

import numpy as np

from edge_runtime.errors import ConfigError, FrameError
from edge_runtime.sources.leads import find_lead, lead_key

from .wfdb_flac import FLAC_BITS, FlacFile
from .wfdb_format import RecordHeader, SignalSpec, read_header
from .wfdb_samples import SignalFile, no_sample_mark

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_runtime.frame import Signal

    from .wfdb_samples import Counts


@dataclass(frozen=True, slots=True)
class Block:
    """Samples of the chosen leads; where `valid` is False the record says that there is none."""

    first: int  # number of the first sample; a jump between blocks is a hole in the record
    mv: Signal  # (samples, leads)
    valid: NDArray[np.bool_]  # (samples,)


class Record(Protocol):
    """What can be played. Frames are those of the header; a frame holds `per_frame` samples."""

    header: RecordHeader
    specs: tuple[SignalSpec, ...]  # of the chosen leads
    frames: int
    per_frame: int

    def blocks(self, first: int, stop: int) -> Iterator[Block]:
        """The samples of frames `first` to `stop`.

        Raises SourceLostError when a file cannot be read any more; FrameError once, after the
        last block of a whole record, when its samples do not match the header's checksums.
        """
        ...


def open_record(path: Path, leads: Sequence[str] = ()) -> Record:
    """Choose leads of a record by name, all that are voltages when none is named.

    Raises ConfigError when the record is not there, is damaged, or lacks a lead.
    """
    header = read_header(path)
    if header.segments:
        return SegmentedRecording(header, path, leads)
    return Recording(header, path.parent, choose(header, leads, str(path)))


def choose(header: RecordHeader, leads: Sequence[str], file: str) -> tuple[int, ...]:
    """Indices into `header.signals`; letter case and a leading "Lead " do not matter.

    Raises ConfigError for a name that is missing, stands twice or is no voltage, and when the
    leads differ in rate.
    """
    specs = header.signals
    if leads:
        columns = tuple(_find(header, lead, file) for lead in leads)
    else:
        columns = tuple(i for i, spec in enumerate(specs) if spec.mv_per_unit is not None)
    if not columns:
        raise ConfigError(f"{file}: has no signal in volts")
    if len({specs[i].samples_per_frame for i in columns}) > 1:
        listed = ", ".join(
            f"{specs[i].lead} at {specs[i].samples_per_frame * header.rate_hz:g} Hz"
            for i in columns[:20]
        )
        raise ConfigError(f"{file}: name leads of one rate: {listed}")
    return columns


def _find(header: RecordHeader, lead: str, file: str) -> int:
    try:
        index = find_lead(lead, [spec.lead for spec in header.signals])
    except LookupError as exc:
        raise ConfigError(f"{file}: of its signals {exc}") from exc
    spec = header.signals[index]
    if spec.mv_per_unit is None:
        raise ConfigError(f"{file}: {spec.lead} is in {spec.unit}, not in volts")
    return index


class Recording:
    """A record whose signals lie in files. `columns` are what `choose` gives.

    Raises ConfigError when the files cannot be played.
    """

    def __init__(self, header: RecordHeader, folder: Path, columns: Sequence[int]) -> None:
        self.header = header
        self.specs = tuple(header.signals[i] for i in columns)
        self._files: list[tuple[SignalFile | FlacFile, tuple[int, ...]]] = []
        for name, first, specs in _files(header.signals, folder):
            picked = tuple(i - first for i in sorted(columns) if 0 <= i - first < len(specs))
            if picked:
                kind = FlacFile if specs[0].format in FLAC_BITS else SignalFile
                self._files.append((kind(folder / name, specs, header.frames), picked))
        self._order = [sorted(columns).index(column) for column in columns]
        self.per_frame = self.specs[0].samples_per_frame
        self.frames = min(file.frames for file, _ in self._files)
        if not self.frames:
            raise ConfigError(f"{folder / header.name}: holds no samples")
        self._gain = np.array([spec.gain for spec in self.specs])
        self._baseline = np.array([spec.baseline for spec in self.specs])
        self._to_mv = np.array([spec.mv_per_unit or 1.0 for spec in self.specs])

    def counts(self, first: int, stop: int) -> Iterator[Counts]:
        """The adc counts of frames `first` to `stop`, (samples, leads); raises as `blocks`."""
        sums = np.zeros(len(self.specs), dtype=np.int64)
        streams = [file.blocks(picked, first, stop) for file, picked in self._files]
        for parts in _in_step(streams):
            counts = np.concatenate(parts, axis=1)[:, self._order]
            sums += counts.sum(axis=0)
            yield counts
        if first == 0 and stop == self.frames and not any(s.skew for s in self.header.signals):
            self._check(sums)

    def blocks(self, first: int, stop: int) -> Iterator[Block]:
        """See `Record`."""
        no_sample = np.array([no_sample_mark(spec.format) for spec in self.specs])
        at = first * self.per_frame
        for counts in self.counts(first, stop):
            mv = (counts - self._baseline) / self._gain * self._to_mv
            yield Block(at, mv.astype(np.float32), (counts != no_sample).all(axis=1))
            at += len(counts)

    def _check(self, sums: Counts) -> None:
        """Compare with the header; a sum of 0 was left out by whoever wrote it."""
        for spec, total in zip(self.specs, sums, strict=True):
            if spec.checksum and (int(total) - spec.checksum) % 65536:
                raise FrameError(
                    f"{spec.file}: lead {spec.lead}: the samples do not match the header's"
                    " checksum: the file is damaged or was changed"
                )


class SegmentedRecording:
    """A record of segments, played one after another; a lead that a segment lacks is a hole.

    Raises ConfigError when a segment cannot be played or has another rate.
    """

    def __init__(self, header: RecordHeader, path: Path, leads: Sequence[str]) -> None:
        self.header = header
        folder, shown = path.parent, str(path)
        parts = [(s, _segment_header(folder, s.name)) for s in header.segments]
        layout = next((part for _, part in parts if part is not None), None)
        if layout is None:
            raise ConfigError(f"{shown}: has no segment that holds samples")
        self.specs = tuple(layout.signals[i] for i in choose(layout, leads, shown))
        self.per_frame = self.specs[0].samples_per_frame
        self._parts: list[tuple[int, int, Recording | None]] = []
        self.frames = 0
        for segment, part in parts:
            recording = None if part is None else self._recording(part, folder, segment.frames)
            if segment.frames:
                self._parts.append((self.frames, segment.frames, recording))
            self.frames += segment.frames
        if not self.frames:
            raise ConfigError(f"{shown}: holds no samples")

    def blocks(self, first: int, stop: int) -> Iterator[Block]:
        """See `Record`."""
        failure: FrameError | None = None
        for start, frames, recording in self._parts:
            low, high = max(first - start, 0), min(stop - start, frames)
            if recording is None or low >= high:
                continue
            try:
                for block in recording.blocks(low, high):
                    yield Block(block.first + start * self.per_frame, block.mv, block.valid)
            except FrameError as exc:
                failure = failure or exc
        if failure is not None:
            raise failure

    def _recording(self, part: RecordHeader, folder: Path, frames: int) -> Recording | None:
        """The chosen leads of a segment; None when it lacks one, or is only a layout."""
        names = [lead_key(spec.lead) for spec in part.signals]
        wanted = [lead_key(spec.lead) for spec in self.specs]
        if not frames or any(name not in names for name in wanted):
            return None
        columns = tuple(names.index(name) for name in wanted)
        per_frame = {part.signals[i].samples_per_frame for i in columns}
        where = folder / part.name
        if part.rate_hz != self.header.rate_hz or per_frame != {self.per_frame}:
            raise ConfigError(f"{where}: has another rate than record {self.header.name}")
        recording = Recording(part, folder, columns)
        if recording.frames < frames:
            raise ConfigError(f"{where}: holds {recording.frames} of {frames} frames")
        return recording


def _segment_header(folder: Path, name: str) -> RecordHeader | None:
    if name == "~":
        return None
    header = read_header(folder / name)
    if header.segments:
        raise ConfigError(f"{folder / name}: segments inside segments are not read")
    return header


def _files(
    signals: Sequence[SignalSpec], folder: Path
) -> Iterator[tuple[str, int, tuple[SignalSpec, ...]]]:
    """Name, index of the first signal and signals of each file of a record."""
    seen: set[str] = set()
    first = 0
    for name, group in groupby(signals, key=lambda spec: spec.file):
        specs = tuple(group)
        if name in seen:
            raise ConfigError(f"{folder / name}: its signals do not stand together in the header")
        seen.add(name)
        yield name, first, specs
        first += len(specs)


def _in_step(streams: Sequence[Iterator[Counts]]) -> Iterator[list[Counts]]:
    """Blocks of equal length from streams that are cut differently."""
    held = [next(stream, None) for stream in streams]
    while True:
        parts = [block for block in held if block is not None]
        if len(parts) < len(held):
            return
        length = min(len(block) for block in parts)
        yield [block[:length] for block in parts]
        left = [block[length:] for block in parts]
        held = [
            block if len(block) else next(stream, None)
            for block, stream in zip(left, streams, strict=True)
        ]
