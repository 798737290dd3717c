"""Packets of the BITalino, 3 to 8 bytes: four channels of 10 bit, two of 6, a counter, a CRC-4.

Layout and checksum after https://github.com/BITalinoWorld/revolution-python-api. No byte marks a
beginning: packets are found by their checksums and counters.
"""

from __future__ import annotations

CHANNELS = 6
_RUN = 4  # packets in a row that agree before a new beginning is believed


def size(channels: int) -> int:
    """Bytes of a packet."""
    bits = 12 + 10 * channels if channels <= 4 else 52 + 6 * (channels - 4)
    return -(-bits // 8)


def crc4(packet: bytes) -> int:
    """The remainder by x^4 + x + 1 of a packet whose own checksum, its last four bits, is 0."""
    remainder = 0
    for at, byte in enumerate(packet):
        value = byte & 0xF0 if at == len(packet) - 1 else byte
        remainder = _SHIFT_4[remainder] ^ (value >> 4)
        remainder = _SHIFT_4[remainder] ^ (value & 0x0F)
    return remainder


def _shift_4(remainder: int) -> int:
    for _ in range(4):
        remainder <<= 1
        if remainder & 0x10:
            remainder ^= 0x13
    return remainder


_SHIFT_4 = tuple(_shift_4(remainder) for remainder in range(16))


class BitalinoFormat:
    """A packet is believed where it is expected, with the counter that is, or at the head of four.

    A checksum of four bits is right by chance once in sixteen times; with the counter, once in 256.
    """

    modulo = 16

    def __init__(self, channels: int, columns: tuple[int, ...]) -> None:
        self.usual = size(channels)
        self._channels, self._columns = channels, columns

    def judge(self, held: bytes, at: int, follows: bytes | None, distance: int) -> int:
        if len(held) < at + self.usual:
            return 0
        if not self._right(held, at):
            return -1
        ahead, rest = divmod(distance, self.usual)
        if follows is not None and rest == 0:
            expected = (self.counter(follows) + 1 + ahead) % self.modulo
            if self.counter(held[at : at + self.usual]) == expected:
                return self.usual
        return self._run(held, at)

    def _run(self, held: bytes, at: int) -> int:
        first = self.counter(held[at : at + self.usual])
        for ahead in range(1, _RUN):
            begin = at + ahead * self.usual
            if len(held) < begin + self.usual:
                return 0
            packet = held[begin : begin + self.usual]
            if self.counter(packet) != (first + ahead) % self.modulo or not self._right(
                held, begin
            ):
                return -1
        return self.usual

    def _right(self, held: bytes, at: int) -> bool:
        packet = held[at : at + self.usual]
        return crc4(packet) == packet[-1] & 0x0F

    def find(self, held: bytes, at: int) -> int:
        del held
        return at

    def counter(self, packet: bytes) -> int:
        return packet[-1] >> 4

    def samples(self, packet: bytes) -> tuple[tuple[float, ...], ...]:
        """Counts of the channels, 0 to 1023, and 0 to 63 of the fifth and sixth."""
        values = _channels(packet[::-1], self._channels)
        return (tuple(values[column] for column in self._columns),)


def _channels(last_first: bytes, channels: int) -> list[int]:
    """Counts of every channel of a packet whose bytes stand in reverse."""
    tail = [*last_first, *bytes(8)]
    return [
        (tail[1] & 0x0F) << 6 | tail[2] >> 2,
        (tail[2] & 0x03) << 8 | tail[3],
        tail[4] << 2 | tail[5] >> 6,
        (tail[5] & 0x3F) << 4 | tail[6] >> 4,
        (tail[6] & 0x0F) << 2 | tail[7] >> 6,
        tail[7] & 0x3F,
    ][:channels]
