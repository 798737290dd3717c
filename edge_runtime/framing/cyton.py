"""Packets of the OpenBCI Cyton, 33 bytes.

    A0 | counter 0-255 | 8 x 24 bit, big-endian, two's complement | 6 bytes of others | C0-CF

After https://docs.openbci.com/Cyton/CytonDataFormat/. There is no checksum.
"""

from __future__ import annotations

_START, _STOP, _STOP_MASK = 0xA0, 0xC0, 0xF0
BYTES = 33
CHANNELS = 8


class CytonFormat:
    """Where packets were is trusted; elsewhere two must follow each other, by their counters."""

    modulo = 256
    usual = BYTES

    def __init__(self, columns: tuple[int, ...]) -> None:
        self._offsets = tuple(2 + 3 * column for column in columns)

    def judge(self, held: bytes, at: int, follows: bytes | None, distance: int) -> int:
        if held[at] != _START:
            return -1
        if len(held) < at + BYTES:
            return 0
        if held[at + BYTES - 1] & _STOP_MASK != _STOP:
            return -1
        if follows is not None and distance % BYTES == 0:
            return BYTES
        after = held[at + BYTES : at + BYTES + 2]
        if len(after) < 2:
            return 0 if after in (b"", b"\xa0") else -1
        goes_on = after[0] == _START and after[1] == (held[at + 1] + 1) % self.modulo
        return BYTES if goes_on else -1

    def find(self, held: bytes, at: int) -> int:
        found = held.find(_START, at)
        return len(held) if found < 0 else found

    def counter(self, packet: bytes) -> int:
        return packet[1]

    def samples(self, packet: bytes) -> tuple[tuple[float, ...], ...]:
        convert = int.from_bytes
        return (tuple(convert(packet[at : at + 3], "big", signed=True) for at in self._offsets),)
