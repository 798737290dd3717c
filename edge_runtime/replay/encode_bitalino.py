"""Packets of a BITalino, 3 to 8 bytes, after its Python API (revolution).

From the last byte backwards: counter of 4 bits and CRC of 4 bits; 4 digital inputs; channels 1
to 4 of 10 bits, 5 and 6 of 6 bits. The CRC has the polynomial x^4 + x + 1, over the whole packet
with the place of the CRC at zero. With fewer channels the first bytes are not there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .wire_format import Converter, Samples, rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

SIZE, CHANNELS = 8, 6
_POLYNOMIAL = 0x13


class Bitalino:
    """A packet per sample; the counter is the sample's number modulo 16."""

    def __init__(self, converter: Converter, channels: int) -> None:
        self._converter = converter
        bits = 12 + 10 * min(channels, 4) + 6 * max(channels - 4, 0)
        self._size = -(-bits // 8)
        self._table = np.array([_remainder(value) for value in range(1 << 12)], np.uint8)

    def __call__(self, samples: Samples) -> list[bytes]:
        """The bytes of each sample; channels 5 and 6 hold 0 to 63."""
        counts = self._converter.counts(samples, CHANNELS)
        one, two, three, four, five, six = counts.T
        packed = np.empty((len(counts), SIZE), np.uint8)
        packed[:, 7] = (samples.numbers % 16) << 4
        packed[:, 6] = one >> 6
        packed[:, 5] = (one & 0x3F) << 2 | two >> 8
        packed[:, 4] = two & 0xFF
        packed[:, 3] = three >> 2
        packed[:, 2] = (three & 0x03) << 6 | four >> 4
        packed[:, 1] = (four & 0x0F) << 4 | five >> 2
        packed[:, 0] = (five & 0x03) << 6 | six
        packed[:, 7] |= self._crc(packed)
        return rows(packed[:, SIZE - self._size :])

    def _crc(self, packed: Bytes) -> Bytes:
        """The remainder of every packet, whose last four bits stand for it and are zero."""
        remainder = np.zeros(len(packed), np.uint8)
        for column in packed.T:
            remainder = self._table[remainder.astype(np.int64) << 8 | column]
        return remainder


def _remainder(value: int) -> int:
    """Of 12 bits: a remainder and the byte that follows it."""
    for bit in range(11, 3, -1):
        if value >> bit & 1:
            value ^= _POLYNOMIAL << bit - 4
    return value
