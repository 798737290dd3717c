"""Source `dicom-ecg`: play the waveform of a DICOM file as if it were measured now, or at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.errors import BadOptionError, ConfigError, SourceLostError
from edge_runtime.sources.leads import find_lead
from edge_runtime.sources.signal_clock import (
    Pace,
    Playback,
    Stretch,
    Tape,
    check_pacing,
    chunk_samples,
)

from .dicom_waveform import Channel, Waveform, read_waveforms
from .passes import Passes, check_part, part, runs, wall_ns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edge_runtime.frame import Frame

BLOCK_SAMPLES = 4096


class DicomEcg:
    """A recorded source: frames (samples, leads) float32 in mV. Needs the extra `dicom`.

    Wall times are the acquisition's date and time, in the zone that the file names, else in UTC;
    they count from `open()` when it has none. Samples that the file marks as padding are a gap.
    The high-pass corner is that which the file states, none where it is silent about a lead.

    Args:
        name: how results name this source.
        path: the file.
        leads: which leads, by name, in this order; empty means all that are voltages.
        waveform: which waveform of the file, from 0; None means the first that is original, and
            so no median beat.
        pace: "flat" as fast as frames are read, "real" at the speed of the recording.
        chunk_s: length of a frame.
        start_s: where to begin.
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
        waveform: int | None = None,
        pace: Pace = "flat",
        chunk_s: float = 0.25,
        start_s: float = 0.0,
        seconds: float | None = None,
        loop: bool = False,
    ) -> None:
        check_pacing(pace, chunk_s)
        check_part(path, start_s, seconds)
        if waveform is not None and waveform < 0:
            raise BadOptionError("waveform", "must be 0 or above")
        self.name = name
        self._path, self._leads, self._waveform = Path(path), leads, waveform
        self._pace, self._chunk_s = pace, chunk_s
        self._start_s, self._seconds, self._loop = start_s, seconds, loop
        self._playback: Playback | None = None

    def open(self) -> None:
        """Read the file and find the leads. Raises ConfigError, MissingExtraError."""
        waveform = self._choose(read_waveforms(self._path))
        columns = _columns(waveform, self._leads, str(self._path))
        channels = [waveform.channels[column] for column in columns]
        corners = [c.highpass_hz for c in channels if c.highpass_hz is not None]
        first, stop = part(
            str(self._path),
            self._start_s,
            self._seconds,
            waveform.rate_hz,
            len(waveform.stored),
        )
        tape = Tape(
            source=self.name,
            leads=tuple(channel.lead for channel in channels),
            rate_hz=waveform.rate_hz,
            start_ns=wall_ns(waveform.start),
            chunk=chunk_samples(self._chunk_s, waveform.rate_hz),
            pace=self._pace,
            highpass_hz=max(corners) if len(corners) == len(channels) else None,
        )
        passes = Passes(
            lambda: _stretches(waveform, columns, first, stop), stop - first, loop=self._loop
        )
        self._playback = Playback(tape, passes.pull)

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame; None when it is not due yet.

        Raises EndOfStream; SourceLostError when the source is not open.
        """
        if self._playback is None:
            raise SourceLostError(f"{self.name}: is not open")
        return self._playback.read(timeout_s)

    def close(self) -> None:
        """Let go of the file; wakes a `read` that waits."""
        playback, self._playback = self._playback, None
        if playback is not None:
            playback.stop()

    def _choose(self, waveforms: Sequence[Waveform]) -> Waveform:
        if not waveforms:
            raise ConfigError(f"{self._path}: holds no waveform")
        if self._waveform is None:
            return next((w for w in waveforms if w.original), waveforms[0])
        if self._waveform >= len(waveforms):
            labels = ", ".join(f"{i} ({w.label})" for i, w in enumerate(waveforms[:20]))
            raise ConfigError(f"{self._path}: has no waveform {self._waveform}; there are {labels}")
        return waveforms[self._waveform]


def _columns(waveform: Waveform, leads: Sequence[str], file: str) -> list[int]:
    """Which channels to play. Raises ConfigError."""
    channels = waveform.channels
    if leads:
        columns = [_find(channels, lead, file) for lead in leads]
    else:
        columns = [i for i, channel in enumerate(channels) if channel.mv_per_unit is not None]
    if not columns:
        raise ConfigError(f"{file}: has no channel in volts")
    for channel in (channels[column] for column in columns):
        if channel.gain is None or channel.mv_per_unit is None:
            raise ConfigError(f"{file}: {channel.lead} is not calibrated in volts")
        if abs(channel.skew_s) * waveform.rate_hz >= 1:
            raise ConfigError(f"{file}: {channel.lead} was sampled {channel.skew_s:g} s apart")
    return columns


def _find(channels: Sequence[Channel], lead: str, file: str) -> int:
    try:
        return find_lead(lead, [channel.lead for channel in channels])
    except LookupError as exc:
        raise ConfigError(f"{file}: of its channels {exc}") from exc


def _stretches(
    waveform: Waveform, columns: Sequence[int], first: int, stop: int
) -> Iterator[Stretch]:
    """Samples `first` to `stop` of the chosen channels, in mV, without those that are padding."""
    channels = [waveform.channels[column] for column in columns]
    gain = np.array([channel.gain for channel in channels], np.float64)
    baseline = np.array([channel.baseline for channel in channels])
    to_mv = np.array([channel.mv_per_unit for channel in channels], np.float64)
    expected = first
    for at in range(first, stop, BLOCK_SAMPLES):
        stored = waveform.stored[at : min(at + BLOCK_SAMPLES, stop)][:, columns]
        valid = (stored != waveform.padding).all(axis=1)
        data = ((stored * gain + baseline) * to_mv).astype(np.float32)
        if waveform.padding is None:
            valid = np.ones(len(stored), bool)
        for begin, end in runs(valid):
            yield Stretch(data[begin:end], at + begin, gap=at + begin != expected)
            expected = at + end
