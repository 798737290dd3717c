"""An edge node: which messages say what a pipeline says, in the order that Sparkplug wants.

The edge node is one pipeline, for it is what has a connection and so a will; each of its sources
is a Sparkplug device, born when it is live and dead when nothing can be made of what it gives
(Sparkplug 3.0, section 5).
No metric of the node changes within a session: what does change them is told by a new birth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from edge_runtime.frame import FLOWING

from . import metrics
from .metrics import Reading
from .payload import REBIRTH, Metric, Type, encode

if TYPE_CHECKING:
    from edge_runtime.frame import Info, Result

NAMESPACE = "spBv1.0"
BDSEQ = "bdSeq"


class Outgoing(NamedTuple):
    """A message for the broker; all but the will have QoS 0, none is retained."""

    topic: str
    payload: bytes


@dataclass(slots=True)
class _Device:
    """A source: its metrics, their aliases and last values, and whether it was born."""

    types: dict[str, Type] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)
    last: dict[str, Reading] = field(default_factory=dict)
    alive: bool = False
    lost: bool = False


class Node:
    """See the module. `now_ms` gives the wall time; the methods give what is to be sent now."""

    def __init__(self, group: str, name: str, now_ms: Callable[[], int]) -> None:
        self.command_topic = f"{NAMESPACE}/{group}/NCMD/{name}"
        self.death_topic = f"{NAMESPACE}/{group}/NDEATH/{name}"
        self._group, self._name = group, name
        self._now_ms = now_ms
        self._info: Info | None = None
        self._devices: dict[str, _Device] = {}
        self._seq = self._aliases = 0

    def death(self, bdseq: int) -> bytes:
        """The will of a connection, or its payload when it is ended on purpose (6.4.25)."""
        now = self._now_ms()
        return encode((Metric(BDSEQ, Type.INT64, bdseq, now),), now, None)

    def births(self, info: Info, bdseq: int) -> Iterator[Outgoing]:
        """NBIRTH, and DBIRTH of every source that is live (6.4.19, 6.4.20)."""
        self._info, self._seq, self._aliases = info, -1, 0
        now = self._now_ms()
        said = [
            # An alias for everything but the command (5.17, rebirth-name-aliases).
            Metric(BDSEQ, Type.INT64, bdseq, now, alias=0),
            Metric(REBIRTH, Type.BOOLEAN, False, now),
        ]
        said += [
            Metric(name, Type.STRING, value, now, alias=self._alias())
            for name, value in metrics.of_node(info).items()
        ]
        yield self._send("NBIRTH", "", said)
        before, self._devices = self._devices, {}
        for state in info.sources:
            self._devices[state.name] = self._renewed(before.get(state.name, _Device()), info)
        yield from self._change(info)

    def update(self, info: Info, bdseq: int) -> Iterator[Outgoing]:
        """A birth or a death of devices, or of everything when the metrics are others now."""
        if self._info is None or _composition(info) != _composition(self._info):
            yield from self.births(info, bdseq)
        else:
            yield from self._change(info)

    def data(self, result: Result, *, historical: bool) -> Iterator[Outgoing]:
        """DDATA of what has changed; of everything when it is historical (5.16, 6.4.22).

        What was still on the way when its source was lost is said between a birth and a death.
        """
        if self._info is None:
            raise RuntimeError("data before birth")
        device = self._devices.get(result.source)
        if device is None:
            device = self._devices[result.source] = self._renewed(_Device(), self._info)
        if not device.alive:
            yield self._bear(result.source, device)
        said = []
        for reading in metrics.read(result, self._info):
            known = device.last.get(reading.name)
            if reading.name in device.types and (
                historical or known is None or known.value != reading.value
            ):
                said.append(_metric(device, reading, historical=historical))
                if not historical:
                    device.last[reading.name] = reading
        said.sort(key=lambda metric: metric.timestamp_ms)
        if said:
            yield self._send("DDATA", result.source, said)
        if device.lost:
            yield self._bury(result.source, device)

    def _change(self, info: Info) -> Iterator[Outgoing]:
        self._info = info
        for state in info.sources:
            device = self._devices[state.name]
            device.lost = state.state not in (*FLOWING, "opening", "ended")
            if state.state in FLOWING and not device.alive:
                yield self._bear(state.name, device)
            elif device.lost and device.alive:
                yield self._bury(state.name, device)

    def _renewed(self, device: _Device, info: Info) -> _Device:
        """The same source for a new session: its last values are those of its birth."""
        types = metrics.of_results(info)
        return _Device(
            types=types,
            aliases={name: self._alias() for name in types},
            last={name: kept for name, kept in device.last.items() if name in types},
        )

    def _bear(self, source: str, device: _Device) -> Outgoing:
        device.alive = True
        now = self._now_ms()
        said = [
            _metric(device, device.last.get(name, Reading(name, None, now)), named=True)
            for name in device.types
        ]
        said.sort(key=lambda metric: metric.timestamp_ms)
        return self._send("DBIRTH", source, said)

    def _bury(self, source: str, device: _Device) -> Outgoing:
        device.alive = False
        return self._send("DDEATH", source, ())

    def _send(self, kind: str, source: str, said: Iterable[Metric]) -> Outgoing:
        """Every message but NDEATH is numbered, 0 after 255 (6.4.5)."""
        self._seq = (self._seq + 1) % 256
        topic = f"{NAMESPACE}/{self._group}/{kind}/{self._name}"
        payload = encode(said, self._now_ms(), self._seq)
        return Outgoing(f"{topic}/{source}" if source else topic, payload)

    def _alias(self) -> int:
        """Unique across the whole node (6.4.6, alias-uniqueness)."""
        self._aliases += 1
        return self._aliases


def _metric(
    device: _Device, reading: Reading, *, named: bool = False, historical: bool = False
) -> Metric:
    """A birth has name and alias, data the alias alone (6.4.6)."""
    return Metric(
        reading.name if named else "",
        device.types[reading.name],
        reading.value,
        reading.timestamp_ms,
        device.aliases[reading.name],
        historical,
    )


def _composition(info: Info) -> object:
    """What a birth says, but for the states of the sources."""
    return info._replace(
        sources=tuple(state._replace(state="", detail="") for state in info.sources)
    )
