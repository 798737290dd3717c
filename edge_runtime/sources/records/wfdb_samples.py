"""Read the adc counts of one WFDB signal file, a block at a time.

The formats are those of signal(5) in the WFDB Applications Guide of PhysioNet. Files are read
forwards, a block at a time, so that a day of ECG needs no more memory than a second.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.errors import ConfigError, SourceLostError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from .wfdb_format import SignalSpec

    Counts = NDArray[np.int64]

BLOCK_SAMPLES = 32_768  # adc samples read at once from a file

MAX_SKEW_SAMPLES = 1 << 20  # what is read besides a block, to line signals up

# format: samples and bytes of the smallest whole group, the count that marks "no sample here"
_GROUPS: dict[int, tuple[int, int, int | None]] = {
    8: (1, 1, None),
    16: (1, 2, -(1 << 15)),
    24: (1, 3, -(1 << 23)),
    32: (1, 4, -(1 << 31)),
    61: (1, 2, -(1 << 15)),
    80: (1, 1, -(1 << 7)),
    160: (1, 2, -(1 << 15)),
    212: (2, 3, -(1 << 11)),
    310: (3, 4, -(1 << 9)),
    311: (3, 4, -(1 << 9)),
}
# formats of whole numbers: numpy's type and the count that stands for zero
_WHOLE = {
    8: ("i1", 0),
    16: ("<i2", 0),
    32: ("<i4", 0),
    61: (">i2", 0),
    80: ("u1", 128),
    160: ("<u2", 32768),
}
_FLAC_MARKS = {508: -(1 << 7), 516: -(1 << 15), 524: -(1 << 23)}
# bytes that the first 1, 2, ... samples of a group need, where that is not in proportion
_NEED = {212: (0, 2), 310: (0, 2, 4), 311: (0, 2, 3)}


class SignalFile:
    """One signal file, read forwards frame by frame.

    Raises ConfigError when the file is missing, shorter than `frames`, or in a format that is
    not read here.
    """

    def __init__(self, path: Path, signals: Sequence[SignalSpec], frames: int | None) -> None:
        self.path, self.signals = path, tuple(signals)
        spec = self.signals[0]
        if spec.format not in _GROUPS:
            raise ConfigError(
                f"{path}: format {spec.format} is not known; convert the record to format 16"
            )
        if any((s.format, s.offset_bytes) != (spec.format, spec.offset_bytes) for s in signals):
            raise ConfigError(f"{path}: its signals differ in format or byte offset")
        self._format, self._offset = spec.format, spec.offset_bytes
        self._group, self._group_bytes, _ = _GROUPS[spec.format]
        self._width = sum(s.samples_per_frame for s in self.signals)
        self._skew = max(s.skew for s in self.signals)
        if self._skew * self._width > MAX_SKEW_SAMPLES:
            raise ConfigError(f"{path}: a skew of {self._skew} frames is more than edge-run reads")
        self._frame = 0
        self._sums = np.array([s.initial for s in self.signals], dtype=np.int64)  # format 8
        held = self._samples_in(self._size() - self._offset) // self._width
        self.frames = max(0, held - self._skew) if frames is None else frames
        if held < self.frames + self._skew:
            raise ConfigError(
                f"{path}: holds {held} of the {self.frames + self._skew} frames that the header"
                " promises; the file is cut short or belongs to another header"
            )

    def blocks(self, picked: Sequence[int], first: int, stop: int) -> Iterator[Counts]:
        """The counts of frames `first` to `stop`, (samples, picked signals), in blocks.

        The picked signals share one number of samples per frame.

        Raises SourceLostError when the file cannot be read any more.
        """
        step = max(1, BLOCK_SAMPLES // self._width)
        try:
            with self.path.open("rb", buffering=0) as file:
                self._frame = 0 if self._format == 8 else first
                self._sums[:] = [s.initial for s in self.signals]
                while self._frame < first:  # format 8 holds differences: add them all up
                    self._columns(file.fileno(), min(step, first - self._frame))
                for frame in range(first, stop, step):
                    columns = self._columns(file.fileno(), min(step, stop - frame))
                    yield np.stack([columns[i].reshape(-1) for i in picked], axis=1)
        except OSError as exc:
            raise SourceLostError(f"{self.path}: {exc.strerror}") from exc

    def _columns(self, fd: int, frames: int) -> list[Counts]:
        rows = self._read(fd, self._frame, frames + self._skew)
        columns, at = [], 0
        for index, spec in enumerate(self.signals):
            column = rows[:, at : at + spec.samples_per_frame]
            at += spec.samples_per_frame
            if self._format == 8:
                column = np.cumsum(column).reshape(column.shape) + self._sums[index]
                self._sums[index] = column[frames - 1, -1]
            columns.append(column[spec.skew : spec.skew + frames])
        self._frame += frames
        return columns

    def _read(self, fd: int, frame: int, frames: int) -> Counts:
        first = frame * self._width
        skip = first % self._group
        count = skip + frames * self._width
        size = -(-count // self._group) * self._group_bytes
        start = self._offset + first // self._group * self._group_bytes
        raw = np.zeros(size, dtype=np.uint8)
        got = os.preadv(fd, [raw.data], start)
        if self._samples_in(got) < count:
            raise SourceLostError(f"{self.path}: ended while it was read")
        return _unpack(self._format, raw)[skip:count].reshape(frames, self._width)

    def _samples_in(self, size: int) -> int:
        groups, rest = divmod(max(0, size), self._group_bytes)
        need = _NEED.get(self._format, (0,))
        return groups * self._group + max(n for n, least in enumerate(need) if rest >= least)

    def _size(self) -> int:
        try:
            status = self.path.stat()
        except OSError as exc:
            raise ConfigError(f"{self.path}: {exc.strerror}") from exc
        except ValueError as exc:
            raise ConfigError(f"{str(self.path)!r}: {exc}") from exc
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{self.path}: is not a file")
        return status.st_size


def _unpack(kind: int, raw: NDArray[np.uint8]) -> Counts:
    """Whole groups of bytes to counts, as signal(5) lays them out."""
    if kind in _WHOLE:
        dtype, zero = _WHOLE[kind]
        return raw.view(dtype).astype(np.int64) - zero
    low = raw.astype(np.int64)
    if kind == 24:
        return _signed(low[0::3] | low[1::3] << 8 | low[2::3] << 16, 24)
    if kind == 212:
        high = low[1::3]
        return _signed(_weave(low[0::3] | (high & 0x0F) << 8, low[2::3] | (high & 0xF0) << 4), 12)
    one, two = low[0::4] | low[1::4] << 8, low[2::4] | low[3::4] << 8
    if kind == 310:
        third = (one >> 11) | (two >> 11) << 5
        return _signed(_weave(one >> 1 & 0x3FF, two >> 1 & 0x3FF, third), 10)
    word = one | two << 16
    return _signed(_weave(word & 0x3FF, word >> 10 & 0x3FF, word >> 20 & 0x3FF), 10)


def _weave(*parts: Counts) -> Counts:
    return np.stack(parts, axis=1).reshape(-1)


def _signed(values: Counts, bits: int) -> Counts:
    """Two's complement of `bits` bits."""
    sign = 1 << (bits - 1)
    return (values ^ sign) - sign


def no_sample_mark(kind: int) -> int:
    """The count that says "no sample here" in a format; one that never occurs where none does."""
    mark = _FLAC_MARKS[kind] if kind in _FLAC_MARKS else _GROUPS[kind][2]
    return 1 << 62 if mark is None else mark
