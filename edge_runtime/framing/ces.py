"""Packets of ProtoCentral boards (OpenView): ADS1292R, ADS1293, MAX30003, HealthyPi.

    0A FA | length, 16 bit LE | type | payload of `length` bytes | 00, left out by some | 0B

There is no checksum and no counter: a wrong bit in the payload is a wrong sample. Layout after
https://github.com/Protocentral/protocentral_openview and the boards' firmware.
"""

from __future__ import annotations

import struct

_START = b"\x0a\xfa"
_HEAD_BYTES = 5


class CesFormat:
    """Packets of one board.

    Args:
        kind: the packet type that holds samples.
        lengths: lengths of its payload that occur; anything else is rejected at once.
        layout: its payload as `struct` writes it, beginning with "<"; more bytes may follow.
        samples: how many samples of each column are in a packet, one after the other.
        columns: the first value of each column in the layout.
        others: (type, length) of packets that are skipped.
    """

    modulo = 0

    def __init__(
        self,
        *,
        kind: int,
        lengths: tuple[int, ...],
        layout: str,
        columns: tuple[int, ...],
        samples: int = 1,
        others: tuple[tuple[int, int], ...] = (),
    ) -> None:
        self._kind, self._columns, self._samples = kind, columns, samples
        self._lengths = {(kind, length) for length in lengths} | set(others)
        self._layout = struct.Struct(layout)
        self.usual = min(lengths) + _HEAD_BYTES + 2

    def judge(self, held: bytes, at: int, follows: bytes | None, distance: int) -> int:
        del follows, distance  # a header and a footer are all that there is
        head = held[at : at + _HEAD_BYTES]
        if not _START.startswith(head[:2]):
            return -1
        if len(head) < _HEAD_BYTES:
            return 0
        length = head[2] | head[3] << 8
        if (head[4], length) not in self._lengths:
            return -1
        end = at + _HEAD_BYTES + length
        tail = held[end : end + 2]
        if tail[:1] == b"\x0b":
            return _HEAD_BYTES + length + 1
        if tail == b"\x00\x0b":
            return _HEAD_BYTES + length + 2
        return 0 if tail in (b"", b"\x00") else -1

    def find(self, held: bytes, at: int) -> int:
        found = held.find(_START[0], at)
        return len(held) if found < 0 else found

    def counter(self, packet: bytes) -> int:
        del packet
        return 0

    def samples(self, packet: bytes) -> tuple[tuple[float, ...], ...]:
        if packet[4] != self._kind:
            return ()
        values = self._layout.unpack_from(packet, _HEAD_BYTES)
        return tuple(
            tuple(values[column + at] for column in self._columns) for at in range(self._samples)
        )
