"""Play chosen leads of an EDF, EDF+ or BDF file in millivolts, a block of records at a time."""

from __future__ import annotations

import os
import re
from decimal import Decimal
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.errors import ConfigError, FrameError, SourceLostError
from edge_runtime.sources.leads import find_lead
from edge_runtime.sources.signal_clock import SampleClock, Stretch

from .edf_header import MAX_RATE_HZ, MIN_RATE_HZ, EdfHeader, EdfSignal, read_edf_header

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_runtime.frame import Signal

BLOCK_BYTES = 1 << 17
# The first annotation of a record has no text: it only says when the record begins.
_ONSET = re.compile(rb"([+-]\d{1,9}(?:\.\d{0,12})?)\x14\x14")


class EdfRecording:
    """The chosen leads of a file; all that are voltages when none is named.

    Raises ConfigError when the file cannot be read, lacks a lead, or the leads differ in rate.
    """

    def __init__(self, path: Path, leads: Sequence[str]) -> None:
        self.path, self.header = path, read_edf_header(path)
        self.signals = _choose(self.header, leads, str(path))
        self._per_record = self.signals[0].samples
        self.samples = self.header.records * self._per_record
        self.rate_hz = _rate_hz(self.signals[0], self.header)
        if not MIN_RATE_HZ <= self.rate_hz <= MAX_RATE_HZ:
            raise ConfigError(f"{path}: {self.rate_hz:g} Hz is no sampling rate")
        self._clock = SampleClock(self.rate_hz)
        self._tolerance_ns = self._clock.offset_ns(1) // 2
        self._notes = next((s for s in self.header.signals if s.annotates), None)
        if self.header.gaps and self._notes is None:
            raise ConfigError(f"{path}: is EDF+D but has no annotations that say when records are")
        self.first_onset_ns = 0
        if self._notes is not None:
            _, raw = next(self._blocks(0, 1))
            self.first_onset_ns = self._onset_ns(raw[0]) or 0

    @property
    def highpass_hz(self) -> float | None:
        """The highest corner that the file states; None when it is silent about a lead."""
        corners = [signal.highpass_hz for signal in self.signals]
        known = [corner for corner in corners if corner is not None]
        return max(known) if len(known) == len(corners) else None

    def stretches(self, first: int, stop: int) -> Iterator[Stretch]:
        """Samples `first` to `stop`, counted without the time between records.

        Raises SourceLostError when the file cannot be read any more; FrameError once, after the
        last one, when records had no time of their own or one before the end of the last.
        """
        per, late_ns, expected, bad = self._per_record, 0, first, 0
        for record, raw in self._blocks(first // per, -(-stop // per)):
            lates = self._late_ns(raw, record, late_ns)
            for begin, end in _alike(lates):
                now_ns = lates[begin]
                if now_ns is None:
                    bad += end - begin
                    continue
                at = (record + begin) * per
                low, high = max(first, at), min(stop, (record + end) * per)
                gap = low != expected or now_ns != late_ns
                late_ns, expected = now_ns, high
                data = self._mv(raw[begin:end])[low - at : high - at]
                yield Stretch(data, low, gap, late_ns=late_ns)
        if bad:
            raise FrameError(f"{self.path}: {bad} records with no time or a wrong one are left out")

    def _blocks(self, first: int, stop: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """The number of a record, and the bytes of it and of some that follow."""
        step = max(1, BLOCK_BYTES // self.header.record_bytes)
        try:
            with self.path.open("rb", buffering=0) as file:
                for record in range(first, stop, step):
                    yield record, self._read(file.fileno(), record, min(step, stop - record))
        except OSError as exc:
            raise SourceLostError(f"{self.path}: {exc.strerror}") from exc

    def _read(self, fd: int, record: int, count: int) -> NDArray[np.uint8]:
        """(records, bytes)."""
        size = self.header.record_bytes
        raw = np.empty(count * size, np.uint8)
        if os.preadv(fd, [raw.data], self.header.bytes + record * size) < len(raw):
            raise SourceLostError(f"{self.path}: ended while it was read")
        return raw.reshape(count, size)

    def _mv(self, raw: NDArray[np.uint8]) -> Signal:
        """(samples, leads) of some records."""
        made = np.empty((len(raw) * self._per_record, len(self.signals)), np.float32)
        for column, signal in enumerate(self.signals):
            size = signal.samples * self.header.sample_bytes
            digital = self._digital(raw[:, signal.first_byte : signal.first_byte + size])
            physical = (digital - float(signal.digital_min)) * signal.gain + signal.physical_min
            made[:, column] = physical * (signal.mv_per_unit or 1.0)
        return made

    def _digital(self, raw: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Little-endian two's complement, (records, bytes) to (samples,)."""
        packed = np.ascontiguousarray(raw)
        if self.header.sample_bytes == 2:
            return packed.view("<i2").reshape(-1).astype(np.int32)
        low, middle, high = packed.reshape(-1, 3).astype(np.int32).T
        values: NDArray[np.int32] = low | middle << 8 | high << 16
        return (values ^ 0x800000) - 0x800000

    def _late_ns(self, raw: NDArray[np.uint8], record: int, before_ns: int) -> list[int | None]:
        """By how much each record begins later than those before it fill; None when unknown."""
        if not self.header.gaps:
            return [0] * len(raw)
        made: list[int | None] = []
        for number, bytes_ in enumerate(raw, record):
            onset_ns = self._onset_ns(bytes_)
            if onset_ns is None:
                made.append(None)
                continue
            filled_ns = self._clock.offset_ns(number * self._per_record)
            late_ns = onset_ns - self.first_onset_ns - filled_ns
            if abs(late_ns - before_ns) <= self._tolerance_ns:
                late_ns = before_ns
            before_ns = max(before_ns, late_ns)
            made.append(None if late_ns < before_ns else late_ns)
        return made

    def _onset_ns(self, record: NDArray[np.uint8]) -> int | None:
        """When a record begins, in nanoseconds after the file's start."""
        notes = self._notes
        if notes is None:
            return None
        size = notes.samples * self.header.sample_bytes
        found = _ONSET.match(record[notes.first_byte : notes.first_byte + size].tobytes())
        return int(Decimal(found[1].decode()) * 10**9) if found else None


def _choose(header: EdfHeader, leads: Sequence[str], file: str) -> tuple[EdfSignal, ...]:
    there = [signal for signal in header.signals if not signal.annotates]
    if leads:
        chosen = [_find(there, lead, file) for lead in leads]
    else:
        chosen = [signal for signal in there if signal.mv_per_unit is not None]
    if not chosen:
        raise ConfigError(f"{file}: has no signal in volts")
    if len({signal.samples for signal in chosen}) > 1:
        listed = ", ".join(f"{s.lead} at {_rate_hz(s, header):g} Hz" for s in chosen[:20])
        raise ConfigError(f"{file}: name leads of one rate: {listed}")
    return tuple(chosen)


def _find(there: Sequence[EdfSignal], lead: str, file: str) -> EdfSignal:
    try:
        signal = there[find_lead(lead, [signal.lead for signal in there])]
    except LookupError as exc:
        raise ConfigError(f"{file}: of its signals {exc}") from exc
    if signal.mv_per_unit is None:
        raise ConfigError(f"{file}: {signal.lead} is in {signal.unit!a}, not in volts")
    return signal


def _rate_hz(signal: EdfSignal, header: EdfHeader) -> float:
    return float(signal.samples / header.record_s) if header.record_s else 0.0


def _alike(values: Sequence[int | None]) -> Iterator[tuple[int, int]]:
    """Begin and end of every run of equal values."""
    begin = 0
    for _, run in groupby(values):
        end = begin + sum(1 for _ in run)
        yield begin, end
        begin = end
