"""Source `stdin`: samples that another program writes into a pipe."""

from __future__ import annotations

import os
import select
import sys

from edge_runtime.errors import EndOfStream, SourceLostError

from .byte_stream import ByteStream
from .declared import Wish, declare

READ_BYTES = 65536  # what a pipe holds


class Stdin(ByteStream):
    """A live source: standard input; `mydriver | edge-run start run.toml`.

    Args:
        name: how results name this source.
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
        silence_s: so long without a byte means that the writer is lost; 0 means never.

    Its end is the end of the run. It is live: a writer that is faster than real time loses frames,
    so replay files with the sources for them.
    """

    def __init__(
        self,
        *,
        name: str,
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
        super().__init__(name, _Pipe(), declared, chunk_s, silence_s)


class _Pipe:
    """Standard input, which is never closed by us. See `byte_stream.Transport`."""

    where = "stdin"
    hint = ""

    def __init__(self) -> None:
        self._open = False

    def open(self) -> None:
        self._open = True

    def receive(self, timeout_s: float) -> list[bytes]:
        if not self._open:
            raise SourceLostError("stdin: is not open")
        if not select.select([sys.stdin.fileno()], [], [], timeout_s)[0]:
            return []
        raw = os.read(sys.stdin.fileno(), READ_BYTES)
        if not raw:
            raise EndOfStream
        return [raw]

    def send(self, raw: bytes) -> None:
        """A pipe has one direction."""

    def close(self) -> None:
        self._open = False
