"""The parser of every framing that is made of packets of bytes."""

from __future__ import annotations

from typing import Protocol

from .events import Bad, Event, Sample, Skipped, add
from .order import Order
from .scanner import Garbage, Packets, Scanner


class PacketFormat(Packets, Protocol):
    """Packets, and what is in them. `modulo` is the number of values of their counter, or 0."""

    modulo: int

    def counter(self, packet: bytes) -> int: ...

    def samples(self, packet: bytes) -> tuple[tuple[float, ...], ...]:
        """Every column of each sample in a packet; none for a packet of another kind."""
        ...


class PacketParser:
    """See `events.Parser`. Time is counted in samples, the lost ones among them.

    Without a counter, what lies between two packets stands for as many samples as fit in it.
    """

    def __init__(self, packet_format: PacketFormat, rate_hz: float) -> None:
        self._format = packet_format
        self._scanner = Scanner(packet_format)
        self._order = Order(packet_format.modulo) if packet_format.modulo else None
        self._counted_ns = 0.0
        self._lost = 0  # samples that garbage stands for, where there is no counter
        self._per_packet = 1
        self.period_ns = 1e9 / rate_hz
        self.sure_s = packet_format.modulo / 2 / rate_hz

    def feed(self, raw: bytes, arrival_ns: int) -> list[Event]:
        found = self._scanner.feed(raw, arrival_ns)
        read = [() if isinstance(item, Garbage) else self._format.samples(item) for item in found]
        steps = iter(self._steps([i for i, s in zip(found, read, strict=True) if s], arrival_ns))
        events: list[Event] = []
        for item, samples in zip(found, read, strict=True):
            if samples:
                self._take(samples, next(steps), events)
            elif isinstance(item, Garbage):
                packets = max(1, round(item.size / self._format.usual))
                self._lost += packets * self._per_packet
                look = f"{item.size} bytes in no packet, {item.first.hex(' ')}"
                add(events, Bad(packets, look))
            else:
                add(events, Skipped("other"))
        return events

    def _steps(self, packets: list[bytes | Garbage], arrival_ns: int) -> list[int]:
        """How far each packet of samples is from the one before."""
        if self._order is None:
            return [1] * len(packets)
        counters = [self._format.counter(item) for item in packets if isinstance(item, bytes)]
        return self._order.steps(counters, arrival_ns, self.period_ns * self._per_packet)

    def _take(self, samples: tuple[tuple[float, ...], ...], step: int, events: list[Event]) -> None:
        if step <= 0:
            add(events, Skipped("out-of-order" if step else "duplicate", len(samples)))
            return
        self._per_packet = len(samples)
        missing = (step - 1) * len(samples) if self._order else self._lost
        self._lost = 0
        self._counted_ns += missing * self.period_ns
        for counts in samples:
            self._counted_ns += self.period_ns
            events.append(Sample(counts, round(self._counted_ns), missing))
            missing = 0
