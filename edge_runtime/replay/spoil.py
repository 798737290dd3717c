"""The faults of samples and of packets. Which of them hold is the caller's business."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .faults import Fault
    from .recording import Block

Packets = list[bytes]


class Flat:
    """Holds the last sample before the fault for as long as it lasts; 0 mV when there is none."""

    def __init__(self) -> None:
        self._last: np.ndarray[tuple[int], np.dtype[np.float32]] | None = None

    def __call__(self, block: Block, *, active: bool) -> Block:
        """The block, or one that stands still."""
        if not active:
            self._last = block.data[-1]
            return block
        still = 0.0 if self._last is None else self._last
        return replace(block, data=np.zeros_like(block.data) + np.float32(still))


def clip(block: Block, limit_mv: float) -> Block:
    """An amplifier at its rails."""
    return replace(block, data=np.clip(block.data, -limit_mv, limit_mv))


class Swap:
    """Sends packets two by two in the wrong order; an odd one waits for the next."""

    def __init__(self) -> None:
        self._held: Packets = []

    def __call__(self, packets: Packets, *, active: bool) -> Packets:
        """The packets in the order of sending."""
        packets, self._held = self._held + packets, []
        if not active:
            return packets
        if len(packets) % 2:
            self._held = [packets.pop()]
        return [packet for at in range(0, len(packets), 2) for packet in packets[at : at + 2][::-1]]


class BitErrors:
    """Turns over each bit with a probability, a generator of its own deciding."""

    def __init__(self, share: float, seed: Sequence[int]) -> None:
        self._share, self._random = share, np.random.default_rng(seed)

    def __call__(self, packets: Packets) -> Packets:
        """The packets as they arrive, of the same lengths."""
        raw = np.frombuffer(b"".join(packets), np.uint8)
        bits = np.unpackbits(raw)
        bits ^= self._random.random(len(bits)) < self._share
        spoilt, at, out = np.packbits(bits).tobytes(), 0, []
        for packet in packets:
            out.append(spoilt[at : at + len(packet)])
            at += len(packet)
        return out


class Truncate:
    """Loses the end of some packets, wherever in them."""

    def __init__(self, share: float, seed: Sequence[int]) -> None:
        self._share, self._random = share, np.random.default_rng(seed)

    def __call__(self, packets: Packets) -> Packets:
        """The packets as they arrive."""
        draws = self._random.random((len(packets), 2))
        return [
            packet[: int(place * len(packet))] if luck < self._share else packet
            for packet, (luck, place) in zip(packets, draws, strict=True)
        ]


def duplicate(packets: Packets) -> Packets:
    """Each packet twice."""
    return [packet for packet in packets for _ in range(2)]


def spoiler(fault: Fault, number: int, seed: int) -> Callable[[Packets], Packets] | None:
    """What a fault of single packets does to them; None for a fault of another sort."""
    if fault.kind == "bit-errors":
        return BitErrors(fault.level, (seed, 7, number))
    if fault.kind == "truncate":
        return Truncate(fault.level, (seed, 7, number))
    return duplicate if fault.kind == "duplicate" else None
