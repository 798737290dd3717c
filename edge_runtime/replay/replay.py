"""Play a recording as a live source: samples, faults, packets, each at its time."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from . import formats, noise, spoil
from .clock import Pace, TapeClock
from .recording import Block
from .wire_format import Samples

if TYPE_CHECKING:
    from edge_runtime.frontend import FrontEnd

    from .faults import Fault
    from .recording import Recording
    from .transport import Transport
    from .truth import Truth

log = logging.getLogger(__name__)

CHUNK_S = 0.02  # of real time: how often something is sent
MAX_CHUNK_S = 1.0  # of signal time
DRAIN_S = 30.0


@dataclass(slots=True)
class Sent:
    """What a replay did. `lost_bytes` found no reader, or one that was too slow."""

    samples: int = 0
    packets: int = 0
    bytes: int = 0
    lost_bytes: int = 0
    late_s: float = 0.0


class Order(NamedTuple):
    """What is played, how, and what goes wrong."""

    recording: Recording  # open
    front: FrontEnd
    faults: tuple[Fault, ...] = ()
    seed: int = 0
    noise_from: str = ""  # folder of the noise records


class Replay:
    """One replay: `run` once. Faults begin and end at whole samples, by the samples' own time.

    Raises ConfigError when noise is asked for and its record is not there.
    """

    def __init__(self, order: Order, truth: Truth) -> None:
        self._order, self._truth = order, truth
        self._rate_hz = order.recording.rate_hz
        error = {fault.kind: fault.level for fault in order.faults}
        self.clock = TapeClock(self._rate_hz, error.get("rate", 0.0), error.get("drift", 0.0))
        self._encode = formats.encoder(order.front)
        self._noises = self._make_noises()
        self._flat, self._swap = spoil.Flat(), spoil.Swap()
        self._spoilers = {
            at: made
            for at, fault in enumerate(order.faults)
            if (made := spoil.spoiler(fault, at, order.seed)) is not None
        }
        self._active: frozenset[int] = frozenset()
        self._beats = order.recording.beats()
        self._coming = deque(self._beats)  # those of this pass
        self._begun, self._next = 0, 0  # of this pass; the number after the last sample
        self.sent = Sent()

    def run(self, transport: Transport, pace: Pace) -> Sent:
        """Play until the recording ends or the pace is told to stop."""
        held: list[bytes] = []  # of a stall
        pace.begin()
        for block in self._cut(pace.speed):
            if not pace.wait(self.clock.time_s(block.first)):
                break
            self._tell_hole(block)
            kinds = self._turn(block, transport)
            self._tell_beats(block)
            packets = self._packets(block, kinds)
            self.sent.samples += len(block.data)
            if not pace.wait(self.clock.time_s(block.stop)):
                break
            if "stall" in kinds:
                held += packets
                continue
            if "unplug" not in kinds:
                self._send(transport, held + packets, wait=pace.lossless)
            held = []
        self._send(transport, held + self._swap([], active=False), wait=pace.lossless)
        transport.drain(DRAIN_S)
        self.sent.late_s = pace.late_s
        return self.sent

    def _cut(self, speed: float) -> Iterator[Block]:
        """Blocks in which every fault either holds or does not."""
        chunk_s = min(CHUNK_S * speed, MAX_CHUNK_S)
        chunk = max(1, round(chunk_s * self._rate_hz))
        for block in self._order.recording.blocks():
            at = block.first
            while at < block.stop:
                edges = [fault.edge(at, self._rate_hz) for fault in self._order.faults]
                stop = int(min(block.stop, at - at % chunk + chunk, *edges, math.inf))
                piece = block.data[at - block.first : stop - block.first]
                yield Block(at, piece, block.begun)
                at = stop

    def _turn(self, block: Block, transport: Transport) -> frozenset[str]:
        """Begin and end faults; the kinds that hold for a block."""
        faults = self._order.faults
        time_s = (block.first + 1e-6) / self._rate_hz
        active = frozenset(at for at, fault in enumerate(faults) if fault.holds(time_s))
        for at in sorted(active ^ self._active):
            phase = "begin" if at in active else "end"
            self._tell_fault(faults[at].kind, phase, block.first)
            if faults[at].kind == "unplug":
                transport.unplug() if phase == "begin" else transport.plug()
        self._active = active
        return frozenset(faults[at].kind for at in active)

    def _packets(self, block: Block, kinds: frozenset[str]) -> list[bytes]:
        """What arrives of a block."""
        faults = self._order.faults
        for at in sorted(self._active):
            if at in self._noises:
                added = block.data + self._noises[at](block)
                block = replace(block, data=np.asarray(added, np.float32))
        block = self._flat(block, active="flat" in kinds)
        for at in self._active:
            if faults[at].kind == "clip":
                block = spoil.clip(block, faults[at].level)
        times = self.clock.times_us(np.arange(block.first, block.stop))
        packets = self._encode(Samples(block.first, block.data, times, "lead-off" in kinds))
        if "gap" in kinds:
            packets = []
        packets = self._swap(packets, active="out-of-order" in kinds)
        for at in sorted(self._active & self._spoilers.keys()):
            packets = self._spoilers[at](packets)
        return packets

    def _send(self, transport: Transport, packets: Sequence[bytes], *, wait: bool) -> None:
        if not packets:
            return
        lost = transport.send(packets, wait=wait)
        if lost and not self.sent.lost_bytes:
            log.warning("nobody reads, or too slowly: what is sent now is lost, as on a real line")
        self.sent.lost_bytes += lost
        self.sent.packets += len(packets)
        self.sent.bytes += sum(map(len, packets))

    def _make_noises(self) -> dict[int, noise.Noise]:
        wanted = [(at, f) for at, f in enumerate(self._order.faults) if f.kind == "noise"]
        if not wanted:
            return {}
        power = noise.qrs_power(self._order.recording.blocks(), self._rate_hz)
        return {
            at: noise.make(
                fault.noise,
                fault.level,
                power,
                self._rate_hz,
                (self._order.noise_from, self._order.seed + at),
            )
            for at, fault in wanted
        }

    def _tell_beats(self, block: Block) -> None:
        if block.begun != self._begun:
            self._begun, self._coming = block.begun, deque(self._beats)
        while self._coming and self._begun + self._coming[0][0] < block.stop:
            sample, label = self._coming.popleft()
            number = self._begun + round(sample)
            time_s = round(self.clock.time_s(number), 6)
            self._truth.write("beat", sample=number, time_s=time_s, label=label)

    def _tell_hole(self, block: Block) -> None:
        """Samples that the record itself lacks."""
        if block.first > self._next:
            self._tell_fault("hole", "begin", self._next)
            self._tell_fault("hole", "end", block.first)
        self._next = block.stop

    def _tell_fault(self, kind: str, phase: str, sample: int) -> None:
        time_s = round(self.clock.time_s(sample), 6)
        self._truth.write("fault", fault=kind, phase=phase, sample=sample, time_s=time_s)
        self._truth.flush()
        log.info("%s: %s at %.3f s", kind, phase, time_s)
