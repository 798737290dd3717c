"""Source `udp`: samples that are sent to a port of ours as datagrams."""

from __future__ import annotations

from .byte_stream import ByteStream
from .declared import Wish, declare
from .network import UdpSocket


class Udp(ByteStream):
    """A live source: every datagram holds whole lines, or packets of a front end.

    Args:
        name: how results name this source.
        port: where the datagrams come to.
        bind: our address; 0.0.0.0 lets in what comes from the network.
        peer: the only address that is listened to; empty: any.
        frontend: what is behind it, "cyton" for example, or a .toml file that describes it; empty:
            lines, and the options below say all. They go before what it says.
        rate_hz: samples per second.
        mv_per_count: millivolts at the electrodes in one count; 1 where mV are sent.
        zero_count: the count that means 0 mV; 0 where nothing says it.
        leads: names of the leads, one per column; of a front end, those to take.
        columns: which columns (cells of a line), from 0; see `serial`.
        t_us_column: the cell of a line that holds the sender's clock in microseconds.
        off_marker: the cell of a line that says that an electrode is off; see `serial`.
        range_counts: lowest and highest count there is; a line outside it was garbled.
        chunk_s: length of a frame.
        silence_s: so long without a datagram means that the sender is lost; 0 means never.

    Datagrams are lost, repeated and overtaken: with `t_us_column` or a packet's counter that is
    seen and counted, without them only pauses are. Anyone who can reach the port can send.
    """

    def __init__(
        self,
        *,
        name: str,
        port: int,
        bind: str = "127.0.0.1",
        peer: str = "",
        frontend: str = "",
        rate_hz: float | None = None,
        mv_per_count: float | None = None,
        zero_count: float | None = None,
        leads: tuple[str, ...] = (),
        columns: tuple[int, ...] = (),
        t_us_column: int | None = None,
        off_marker: str | None = None,
        range_counts: tuple[float, float] | None = None,
        chunk_s: float = 0.04,
        silence_s: float = 5.0,
    ) -> None:
        declared = declare(
            Wish(
                frontend=frontend,
                rate_hz=rate_hz,
                mv_per_count=mv_per_count,
                zero_count=zero_count,
                leads=leads,
                columns=columns,
                t_us_column=t_us_column,
                off_marker=off_marker,
                range_counts=range_counts,
            ),
            messages=True,
        )
        super().__init__(name, UdpSocket(bind, port, peer), declared, chunk_s, silence_s)
