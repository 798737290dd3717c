"""Source `serial`: a front end on a serial port."""

from __future__ import annotations

from .byte_stream import ByteStream
from .declared import Wish, check, declare
from .serial_port import SerialPort


class Serial(ByteStream):
    """A live source: frames (samples, leads) float32 in mV, (count - zero_count) * mv_per_count.

    Args:
        name: how results name this source.
        port: such as /dev/ttyUSB0, or better /dev/serial/by-id/...
        frontend: what is connected, "ad8232" for example, or a .toml file that describes it;
            empty: lines, and the options below say all. They go before what it says.
        rate_hz: samples per second that the board is set to.
        mv_per_count: millivolts at the electrodes in one count.
        zero_count: the count that means 0 mV; 0 where nothing says it.
        baud: bits per second; 115200 where nothing says it.
        leads: names of the leads, one per column; of a front end, those to take.
        columns: which columns (cells of a line), from 0; empty means the front end's, or all but
            `t_us_column`, in order.
        t_us_column: the cell of a line that holds the board's clock in microseconds; None means
            that there is none. With it lost samples are seen, without it only pauses are.
        off_marker: the cell of a line that says that an electrode is off; empty means none does,
            None the front end's, or "!".
        range_counts: lowest and highest count there is; a line outside it was garbled.
        chunk_s: length of a frame.
        silence_s: so long without a byte means that the board is lost; 0 means never.

    Lines end in CR, LF or both; cells stand between commas, semicolons or blanks, with or without
    a label ("ecg:512"). A frame's times are those of its first sample: by the board's clock, or
    by counting samples, laid on the host's clock by the earliest arrival. `measured_rate_hz` is
    samples per second by arrival, None in the first ten seconds. While an electrode is off, by
    the front end's rule, no frame comes.
    """

    def __init__(
        self,
        *,
        name: str,
        port: str,
        frontend: str = "",
        rate_hz: float | None = None,
        mv_per_count: float | None = None,
        zero_count: float | None = None,
        baud: int | None = None,
        leads: tuple[str, ...] = (),
        columns: tuple[int, ...] = (),
        t_us_column: int | None = None,
        off_marker: str | None = None,
        range_counts: tuple[float, float] | None = None,
        chunk_s: float = 0.04,
        silence_s: float = 5.0,
    ) -> None:
        check("port", bool(port) and "\0" not in port, "must be a port, such as /dev/ttyUSB0")
        check("baud", baud is None or baud > 0, f"{baud} is no speed; try 115200")
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
        transport = SerialPort(port, baud or declared.baud)
        super().__init__(name, transport, declared, chunk_s, silence_s)
