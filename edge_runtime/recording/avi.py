"""Motion JPEG in an AVI file, from JPEGs as they are: nothing is decoded or encoded again.

Layout: Microsoft, "AVI RIFF File Reference"; one video stream, and the old index `idx1`.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

_HEADER = struct.Struct("<4sI4s 4sI4s 4sI14I 4sI4s 4sI4s4sIHHIIIIIIIIHHHH 4sIIiiHH4sIiiII 4sI4s")
_HAS_INDEX = 0x10
_KEY_PICTURE = 0x10
_RIFF_MAX = 1_000_000_000  # players of the old index read that much


class Avi:
    """Write pictures of one size; the file can be played after `close`."""

    def __init__(self, file: BinaryIO, width: int, height: int) -> None:
        self._file, self._size = file, (width, height)
        self._index: list[tuple[int, int]] = []  # (offset in the list movi, length)
        self._length = 4  # of the list movi: its name
        file.write(self._header(1.0, 0))

    @property
    def full(self) -> bool:
        """The file can take no more."""
        return self._length > _RIFF_MAX

    def add(self, jpeg: bytes) -> None:
        """Append one picture."""
        self._index.append((self._length, len(jpeg)))
        padded = jpeg + b"\0" * (len(jpeg) % 2)
        self._file.write(b"00dc" + struct.pack("<I", len(jpeg)) + padded)
        self._length += 8 + len(padded)

    def close(self, rate_hz: float) -> None:
        """Write the index, and the header with what is known now."""
        rows = [struct.pack("<4sIII", b"00dc", _KEY_PICTURE, *entry) for entry in self._index]
        self._file.write(struct.pack("<4sI", b"idx1", 16 * len(rows)) + b"".join(rows))
        end = self._file.tell()
        self._file.seek(0)
        self._file.write(self._header(rate_hz, end - 8))

    def _header(self, rate_hz: float, riff_length: int) -> bytes:
        width, height = self._size
        count = len(self._index)
        largest = max((length for _, length in self._index), default=0)
        main = (round(1e6 / rate_hz), 0, 0, _HAS_INDEX, count, 0, 1, largest, width, height)
        stream = (0, 0, 0, 0, 1000, round(rate_hz * 1000), 0, count, largest, 0xFFFFFFFF, 0)
        bitmap = (40, width, height, 1, 24, b"MJPG", 3 * width * height, 0, 0, 0, 0)
        return _HEADER.pack(
            *(b"RIFF", riff_length, b"AVI "),
            *(b"LIST", 192, b"hdrl"),
            *(b"avih", 56, *main, 0, 0, 0, 0),
            *(b"LIST", 116, b"strl"),
            *(b"strh", 56, b"vids", b"MJPG", *stream, 0, 0, width, height),
            *(b"strf", 40, *bitmap),
            *(b"LIST", self._length, b"movi"),
        )
