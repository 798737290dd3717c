"""Source `ecgsyn`: an artificial ECG with known beats, for demonstrations and tests."""

from __future__ import annotations

import time

import numpy as np

from edge_runtime.ecg.synthetic import Noise, Player, SyntheticEcg
from edge_runtime.errors import BadOptionError, EndOfStream, SourceLostError
from edge_runtime.frame import Frame
from edge_runtime.sources.signal_clock import (
    Pace,
    Playback,
    SampleClock,
    Stretch,
    Tape,
    check_pacing,
    chunk_samples,
)

_MAX_S = 7 * 86400.0
_MAX_BPM = 200.0
_LEAST_RATE_HZ = 100.0


class EcgSyn:
    """A recorded source: frames (samples, 1) float32 in mV of the lead MLII, then its end.

    Normal beats (N) with supraventricular (S) and ventricular (V) premature ones among them; see
    `edge_runtime.ecg.synthetic`. The same seed gives the same signal.

    Args:
        name: how results name this source.
        rate_hz: samples per second.
        seconds: length.
        seed: of rhythm, premature beats and noise.
        pace: "flat" as fast as frames are read, "real" at the speed of the heart.
        chunk_s: length of a frame.
        mean_bpm: heart rate of the normal beats.
        premature: share of premature beats, 0 to 0.3.
        ventricular: share of these that are V; the others are S.
        baseline_mv: amplitude of the baseline wander.
        muscle_mv: standard deviation of white noise.
        mains_mv: amplitude of mains hum.
        mains_hz: its frequency.
    """

    live = False

    def __init__(
        self,
        *,
        name: str,
        rate_hz: float = 360.0,
        seconds: float = 60.0,
        seed: int = 0,
        pace: Pace = "real",
        chunk_s: float = 0.25,
        mean_bpm: float = 70.0,
        premature: float = 0.12,
        ventricular: float = 0.5,
        baseline_mv: float = 0.1,
        muscle_mv: float = 0.015,
        mains_mv: float = 0.0,
        mains_hz: float = 50.0,
    ) -> None:
        check_pacing(pace, chunk_s)
        _check("rate_hz", rate_hz, _LEAST_RATE_HZ, 10_000.0)
        _check("seconds", seconds, 1.0, _MAX_S)
        _check("mean_bpm", mean_bpm, 30.0, _MAX_BPM)
        _check("premature", premature, 0.0, 0.3)
        _check("ventricular", ventricular, 0.0, 1.0)
        for key, value in (
            ("baseline_mv", baseline_mv),
            ("muscle_mv", muscle_mv),
            ("mains_mv", mains_mv),
        ):
            _check(key, value, 0.0, 10.0)
        if seed < 0:
            raise BadOptionError("seed", "must be 0 or above")
        self.name = name
        self._pace, self._chunk_s = pace, chunk_s
        noise = Noise(baseline_mv, muscle_mv, mains_mv, mains_hz)
        self._ecg = SyntheticEcg(rate_hz, seconds, seed, mean_bpm, premature, ventricular, noise)
        self._playback: Playback | None = None
        self._player = Player(self._ecg)
        self._first = 0

    @property
    def truth(self) -> tuple[tuple[int, str], ...]:
        """Sample number of the R peak and class of every beat."""
        rate_hz = self._ecg.rate_hz
        return tuple((round(beat.r_s * rate_hz), beat.label) for beat in self._player.beats)

    def truth_ns(self, start_ns: int) -> tuple[tuple[int, str], ...]:
        """The same in wall time; `start_ns` is the timestamp of the first frame."""
        clock = SampleClock(self._ecg.rate_hz)
        return tuple((start_ns + clock.offset_ns(at), label) for at, label in self.truth)

    def open(self) -> None:
        """Start from the beginning; wall time is now."""
        self._player, self._first = Player(self._ecg), 0
        tape = Tape(
            source=self.name,
            leads=("MLII",),
            rate_hz=self._ecg.rate_hz,
            start_ns=time.time_ns(),
            chunk=chunk_samples(self._chunk_s, self._ecg.rate_hz),
            pace=self._pace,
            highpass_hz=0.0,
        )
        self._playback = Playback(tape, self._pull)

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame; None when it is not due yet.

        Raises EndOfStream; SourceLostError when the source is not open.
        """
        if self._playback is None:
            raise SourceLostError(f"{self.name}: is not open")
        return self._playback.read(timeout_s)

    def close(self) -> None:
        """Stop; wakes a `read` that waits."""
        playback, self._playback = self._playback, None
        if playback is not None:
            playback.stop()

    def _pull(self, timeout_s: float) -> Stretch:  # noqa: ARG002 - nothing to wait for
        samples = self._player.next(chunk_samples(self._chunk_s, self._ecg.rate_hz))
        if not len(samples):
            raise EndOfStream
        stretch = Stretch(samples[:, None].astype(np.float32), self._first)
        self._first += len(samples)
        return stretch


def _check(key: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise BadOptionError(key, f"must be {low:g} to {high:g}")
