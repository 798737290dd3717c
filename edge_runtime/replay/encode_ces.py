"""Packets of ProtoCentral's boards, as their firmware and their viewer OpenView have them.

    0A FA | length, 2 bytes, low first | type | payload | 00, left out by some | 0B

The length is that of the payload; there is no checksum and no counter.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from .wire_format import Converter, Samples

if TYPE_CHECKING:
    from edge_runtime.frontend import Ces as Layout

START, END = b"\x0a\xfa", b"\x0b"


class Ces:
    """A packet for each `layout.samples` samples.

    Packets begin at the numbers that `layout.samples` divides: after a gap, what is left of the
    packet that was begun is lost with it.
    """

    def __init__(self, converter: Converter, layout: Layout) -> None:
        self._converter, self._layout = converter, layout
        self._struct = struct.Struct(layout.layout)
        self._width = len(self._struct.unpack(bytes(self._struct.size)))
        size = layout.lengths[0]
        self._head = START + size.to_bytes(2, "little") + bytes([layout.type])
        # Where the firmware counts a last zero in the length, none follows.
        pad = size - self._struct.size
        self._tail = bytes(pad) + END if pad else b"\0" + END
        self._held: list[list[int]] = []
        self._next = -1  # the number that goes on from what is held

    def __call__(self, samples: Samples) -> list[bytes]:
        """The packets that these samples complete."""
        batch = self._layout.samples
        counts = self._converter.counts(samples, self._width).tolist()
        if samples.first != self._next:
            self._held, counts = [], counts[-samples.first % batch :]
        self._next = samples.first + len(samples.mv)
        self._held += counts
        whole = len(self._held) // batch * batch
        packets = [self._packet(self._held[at : at + batch]) for at in range(0, whole, batch)]
        del self._held[:whole]
        return packets

    def _packet(self, batch: list[list[int]]) -> bytes:
        values = [0] * self._width
        for column in self._converter.columns:
            for at, row in enumerate(batch):
                values[column + at] = row[column]
        return self._head + self._struct.pack(*values) + self._tail
