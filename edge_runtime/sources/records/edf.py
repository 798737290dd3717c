"""Source `edf`: play an EDF, EDF+ or BDF file as if it were measured now, or at once."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.errors import SourceLostError
from edge_runtime.sources.signal_clock import Pace, Playback, Tape, check_pacing, chunk_samples

from .edf_record import EdfRecording
from .passes import Passes, check_part, part, wall_ns

if TYPE_CHECKING:
    from edge_runtime.frame import Frame

log = logging.getLogger(__name__)


class Edf:
    """A recorded source: frames (samples, leads) float32 in mV.

    EDF, EDF+C, EDF+D and BDF are read; the time between two records of EDF+D is a gap. Wall times
    are the file's start, taken as UTC, or count from `open()` when it has none (01.01.85 stands
    for none). The high-pass corner is that of the file's prefiltering.

    Args:
        name: how results name this source.
        path: the file.
        leads: which leads, by name, in this order; empty means all that are voltages.
        pace: "flat" as fast as frames are read, "real" at the speed of the recording.
        chunk_s: length of a frame.
        start_s: where to begin; seconds of signal, gaps not counted.
        seconds: how much to play; None means to the end.
        loop: begin again at the end, for ever; sample time goes on and `seq` jumps.
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
        self._path, self._leads = Path(path), leads
        self._pace, self._chunk_s = pace, chunk_s
        self._start_s, self._seconds, self._loop = start_s, seconds, loop
        self._playback: Playback | None = None

    def open(self) -> None:
        """Read the header and find the leads. Raises ConfigError, SourceLostError."""
        record = EdfRecording(self._path, self._leads)
        if not self._leads:
            left = [s for s in record.header.signals if s not in record.signals]
            listed = [f"{s.lead} ({s.unit})" for s in left if not s.annotates]
            if listed:
                log.info("%s: not in volts and left out: %s", self._path, ", ".join(listed))
        first, stop = part(
            str(self._path), self._start_s, self._seconds, record.rate_hz, record.samples
        )
        tape = Tape(
            source=self.name,
            leads=tuple(signal.lead for signal in record.signals),
            rate_hz=record.rate_hz,
            start_ns=wall_ns(record.header.start) + record.first_onset_ns,
            chunk=chunk_samples(self._chunk_s, record.rate_hz),
            pace=self._pace,
            highpass_hz=record.highpass_hz,
        )
        passes = Passes(lambda: record.stretches(first, stop), stop - first, loop=self._loop)
        self._playback = Playback(tape, passes.pull)

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame; None when it is not due yet.

        Raises EndOfStream; SourceLostError when the file cannot be read any more or the source is
        not open; FrameError at the end of a file with records that could not be placed in time.
        """
        if self._playback is None:
            raise SourceLostError(f"{self.name}: is not open")
        return self._playback.read(timeout_s)

    def close(self) -> None:
        """Let go of the file; wakes a `read` that waits."""
        playback, self._playback = self._playback, None
        if playback is not None:
            playback.stop()
