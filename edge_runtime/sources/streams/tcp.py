"""Source `tcp`: samples from a server on the network."""

from __future__ import annotations

from .byte_stream import ByteStream
from .declared import Wish, declare
from .network import TcpClient


class Tcp(ByteStream):
    """A live source: connects to a server, which sends samples without being asked.

    Args:
        name: how results name this source.
        port: of the server.
        host: name or address of the server.
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
        silence_s: so long without a byte means that the server is lost; 0 means never.

    The server sends what a serial port would give: lines, or the front end's packets. The first
    line is dropped, as it may have begun before. A lost connection is made anew by the capture.
    Nothing is encrypted: across a network, use a tunnel, or MQTT with TLS.
    """

    def __init__(
        self,
        *,
        name: str,
        port: int,
        host: str = "127.0.0.1",
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
            )
        )
        super().__init__(name, TcpClient(host, port), declared, chunk_s, silence_s)
