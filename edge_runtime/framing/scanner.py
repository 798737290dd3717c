"""Packets among bytes: where one begins, and where to look on when it was none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from .events import TIMEOUT_NS

REPORT_PACKETS = 8  # so many packets' worth of garbage is told although no packet has come


class Packets(Protocol):
    """What is known of the packets of one framing. `usual` is the length of one of samples."""

    usual: int

    def judge(self, held: bytes, at: int, follows: bytes | None, distance: int) -> int:
        """The length of the packet that begins at `at`; 0: more bytes are needed; -1: none does.

        `follows` is the last packet, None before the first; `distance` the bytes since its end.
        """
        ...

    def find(self, held: bytes, at: int) -> int:
        """Where from `at` on a packet may begin; the end when nowhere."""
        ...


class Garbage(NamedTuple):
    """Bytes that are in no packet, and the first of them."""

    size: int
    first: bytes


class Scanner:
    """Bytes in, packets and garbage out. A rejected packet costs its first byte, not its length."""

    def __init__(self, packets: Packets) -> None:
        self._packets = packets
        self._held = b""
        self._heard_ns = 0
        self._last: bytes | None = None
        self._distance = 0  # bytes since the end of the last packet
        self._garbage = 0  # those of them that were not told yet
        self._first = b""

    def feed(self, raw: bytes, arrival_ns: int) -> list[bytes | Garbage]:
        """What these bytes complete."""
        found: list[bytes | Garbage] = []
        if self._held and arrival_ns - self._heard_ns > TIMEOUT_NS:
            found += self._scan(self._held, final=True)
        self._heard_ns = arrival_ns
        found += self._scan(self._held + raw, final=False)
        return found

    def _scan(self, held: bytes, *, final: bool) -> Iterator[bytes | Garbage]:
        at = 0
        while at < len(held):
            length = self._packets.judge(held, at, self._last, self._distance)
            if length == 0 and not final:
                break
            if length > 0:
                yield from self._told(0)
                self._last = held[at : at + length]
                self._distance = 0
                yield self._last
                at += length
                continue
            after = self._packets.find(held, at + 1)
            self._first = self._first or held[at : at + 8]
            self._distance += after - at
            self._garbage += after - at
            yield from self._told(REPORT_PACKETS * self._packets.usual)
            at = after
        self._held = held[at:]

    def _told(self, most: int) -> Iterator[Garbage]:
        """What was dropped and not told, when it is more than `most`."""
        if self._garbage > most:
            yield Garbage(self._garbage, self._first)
            self._garbage, self._first = 0, b""
