"""Packets of an OpenBCI Cyton: 33 bytes, after the documentation of its data format.

A0 | counter | 8 channels of 24 bits, high byte first | 3 accelerations of 16 bits | C0
"""

from __future__ import annotations

import numpy as np

from .wire_format import Converter, Samples, rows

SIZE, CHANNELS = 33, 8
START, END = 0xA0, 0xC0


class Cyton:
    """A packet per sample; the counter is the sample's number, so that a gap is seen in it."""

    def __init__(self, converter: Converter) -> None:
        self._converter = converter

    def __call__(self, samples: Samples) -> list[bytes]:
        """33 bytes for each sample."""
        counts = self._converter.counts(samples, CHANNELS)
        packed = np.zeros((len(counts), SIZE), np.uint8)
        packed[:, 0], packed[:, -1] = START, END
        packed[:, 1] = samples.numbers % 256
        big = counts.astype(">i4").reshape(-1).view(np.uint8).reshape(len(counts), CHANNELS, 4)
        packed[:, 2:26] = big[:, :, 1:].reshape(len(counts), 24)
        return rows(packed)
