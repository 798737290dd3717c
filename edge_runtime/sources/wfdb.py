"""Source `wfdb`: play a record of PhysioNet's format as if it were measured now, or at once."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.errors import (
    BadOptionError,
    ConfigError,
    EndOfStream,
    FrameError,
    SourceLostError,
)

from .signal_clock import Pace, Playback, Stretch, Tape, check_pacing, chunk_samples
from .wfdb_record import Record, open_record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from edge_runtime.frame import Frame

log = logging.getLogger(__name__)

MAX_S = 1e9  # longer than any record
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


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
        if not path or "\0" in path:
            raise BadOptionError("path", "must be the path of a record, such as data/100")
        if not 0 <= start_s < MAX_S:
            raise BadOptionError("start_s", "must be 0 or more seconds")
        if seconds is not None and not 0 < seconds < MAX_S:
            raise BadOptionError("seconds", "must be more than 0, or left out to play to the end")
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
            start_ns=_wall_ns(record.header.start),
            chunk=chunk_samples(self._chunk_s, rate_hz),
            pace=self._pace,
        )
        first, stop = self._range(record)
        self._playback = Playback(tape, _Feed(record, first, stop, loop=self._loop).pull)

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

    def _range(self, record: Record) -> tuple[int, int]:
        """First frame of the header's and the one after the last."""
        rate_hz = record.header.rate_hz
        first, stop = int(self._start_s * rate_hz), record.frames
        if first >= stop:
            raise ConfigError(
                f"{self._path}: start_s = {self._start_s:g}: the record is only"
                f" {stop / rate_hz:g} s long"
            )
        if self._seconds is not None:
            stop = min(stop, first + max(1, round(self._seconds * rate_hz)))
        return first, stop

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


class _Feed:
    """The record's samples as stretches without holes, once or again and again."""

    def __init__(self, record: Record, first: int, stop: int, *, loop: bool) -> None:
        self._record, self._first, self._stop, self._loop = record, first, stop, loop
        self._shift = 0
        self._stretches = self._play(0)
        self._over = False

    def pull(self, timeout_s: float) -> Stretch | None:  # noqa: ARG002 - a file never waits
        """The next stretch. Raises FrameError, SourceLostError, EndOfStream."""
        if self._over:
            self._rewind()
        try:
            stretch = next(self._stretches, None)
        except FrameError:
            self._over = True
            raise
        if stretch is None:
            self._rewind()
            stretch = next(self._stretches, None)
            if stretch is None:  # a whole pass without a sample: do not turn for ever
                self._over, self._loop = True, False
                raise EndOfStream
        return stretch

    def _rewind(self) -> None:
        self._over = True
        if not self._loop:
            raise EndOfStream
        self._shift += (self._stop - self._first) * self._record.per_frame
        self._stretches = self._play(self._shift)
        self._over = False

    def _play(self, shift: int) -> Iterator[Stretch]:
        expected = self._first * self._record.per_frame if shift == 0 else -1
        for block in self._record.blocks(self._first, self._stop):
            for begin, end in _runs(block.valid):
                first = block.first + begin
                yield Stretch(block.mv[begin:end], shift + first, gap=first != expected)
                expected = block.first + end


def _runs(valid: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Begin and end of every run of True."""
    edges = np.flatnonzero(np.diff(valid, prepend=False, append=False))
    for at in range(0, len(edges), 2):
        yield int(edges[at]), int(edges[at + 1])


def _wall_ns(start: datetime | None) -> int:
    if start is None:
        return time.time_ns()
    return (start - _EPOCH) // timedelta(microseconds=1) * 1000
