"""Source `wfdb`: play a record of PhysioNet's format as if it were measured now, or at once."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.errors import SourceLostError
from edge_runtime.sources.signal_clock import (
    Pace,
    Playback,
    Stretch,
    Tape,
    check_pacing,
    chunk_samples,
)

from .passes import Passes, check_part, part, runs, wall_ns
from .wfdb_record import Record, open_record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_runtime.frame import Frame

log = logging.getLogger(__name__)


class Wfdb:
    """A recorded source: frames (samples, leads) float32 in mV.

    Args:
        name: how results name this source.
        path: the record, without suffix or with ".hea".
        leads: which leads, by name, in this order; empty means all that are voltages.
        pace: "flat" as fast as frames are read, "real" at the speed of the recording.
        chunk_s: length of a frame.
        start_s: where to begin.
        seconds: how much to play; None means to the end.
        loop: begin again at the end, for ever; sample time goes on and `seq` jumps.

    Wall times are the header's base date and time, taken as UTC, or count from `open()` when it
    has no date. Samples that the record marks as missing are a gap, never a value.
    """

    live = False

    def __init__(
        self,
        *,
        name: str,
        path: str,
        leads: tuple[str, ...] = (),
        pace: Pace = "flat",
        chunk_s: float = 0.25,
        start_s: float = 0.0,
        seconds: float | None = None,
        loop: bool = False,
    ) -> None:
        check_pacing(pace, chunk_s)
        check_part(path, start_s, seconds)
        self.name = name
        self._path = Path(path.removesuffix(".hea"))
        self._leads, self._pace, self._chunk_s = leads, pace, chunk_s
        self._start_s, self._seconds, self._loop = start_s, seconds, loop
        self._playback: Playback | None = None

    def open(self) -> None:
        """Read the header and find the samples. Raises ConfigError."""
        record = open_record(self._path, self._leads)
        rate_hz = record.header.rate_hz * record.per_frame
        self._tell(record)
        tape = Tape(
            source=self.name,
            leads=tuple(spec.lead for spec in record.specs),
            rate_hz=rate_hz,
            start_ns=wall_ns(record.header.start),
            chunk=chunk_samples(self._chunk_s, rate_hz),
            pace=self._pace,
        )
        first, stop = part(
            str(self._path), self._start_s, self._seconds, record.header.rate_hz, record.frames
        )
        passes = Passes(
            lambda: _stretches(record, first, stop),
            (stop - first) * record.per_frame,
            loop=self._loop,
        )
        self._playback = Playback(tape, passes.pull)

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame; None when it is not due yet.

        Raises EndOfStream; SourceLostError when a file cannot be read any more or the source is
        not open; FrameError at the end of a record that does not match its checksums.
        """
        if self._playback is None:
            raise SourceLostError(f"{self.name}: is not open")
        return self._playback.read(timeout_s)

    def close(self) -> None:
        """Let go of the record; wakes a `read` that waits."""
        playback, self._playback = self._playback, None
        if playback is not None:
            playback.stop()

    def _tell(self, record: Record) -> None:
        """Say once what a user would not expect."""
        for spec in record.specs:
            if not spec.calibrated:
                log.warning(
                    "%s: lead %s is not calibrated; 200 units per mV are assumed",
                    self._path,
                    spec.lead,
                )
        if not self._leads:
            left = [f"{s.lead} ({s.unit})" for s in record.header.signals if s.mv_per_unit is None]
            if left:
                log.info("%s: not in volts and left out: %s", self._path, ", ".join(left))


def _stretches(record: Record, first: int, stop: int) -> Iterator[Stretch]:
    """The record's samples as stretches without holes."""
    expected = first * record.per_frame
    for block in record.blocks(first, stop):
        for begin, end in runs(block.valid):
            at = block.first + begin
            yield Stretch(block.mv[begin:end], at, gap=at != expected)
            expected = block.first + end
