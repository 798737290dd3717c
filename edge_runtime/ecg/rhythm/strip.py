"""The last seconds of a signal, by time: waves around beats, strips as evidence."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_runtime.outcome import Strip

from .heartbeat import Wave

if TYPE_CHECKING:
    from edge_runtime.frame import Frame, Signal

WAVE_S = (0.30, 0.15)  # before and after the R peak; no beat is told sooner
_COARSE_HZ = 60.0  # below, samples are too few for the shape of a P wave


class _Piece(NamedTuple):
    first: int  # position of its first sample; a missing one is a hole in the positions
    timestamp_ns: int
    data: Signal


class StripRing:
    """Holds whole frames, at least the newest one and `keep_s` seconds before it.

    All frames have one rate and the same leads.
    """

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._pieces: deque[_Piece] = deque()
        self._next = 0
        self._rate_hz = 0.0
        self._leads: tuple[str, ...] = ()

    def add(self, frame: Frame, *, follows: bool) -> None:
        """Take the next frame; `follows` says that nothing is missing before it."""
        self._rate_hz = frame.rate_hz or 0.0
        self._leads = frame.leads or tuple(f"{n + 1}" for n in range(frame.data.shape[1]))
        first = self._next if follows else self._next + 1
        self._pieces.append(_Piece(first, frame.timestamp_ns, frame.data))
        self._next = first + len(frame.data)
        keep = round(self._keep_s * self._rate_hz)
        while len(self._pieces) > 1 and self._pieces[1].first < first - keep:
            self._pieces.popleft()

    def wave(self, at_ns: int, column: int) -> Wave | None:
        """The signal around an R peak; None where it is not held whole, or too coarse."""
        if self._rate_hz < _COARSE_HZ:
            return None
        before, after = (round(seconds * self._rate_hz) for seconds in WAVE_S)
        peak = self._position(at_ns)
        cut = None if peak is None else self._cut(peak - before, peak + after)
        if cut is None or len(cut[1]) < before + after:
            return None
        return Wave(cut[1][:, column], before, self._rate_hz)

    def strip(self, end_ns: int, seconds: float, leads: tuple[str, ...]) -> Strip | None:
        """What is held of the `seconds` before `end_ns`, since the last hole; all leads: ()."""
        cut = self._last(end_ns, seconds)
        if cut is None:
            return None
        columns = [index for index, name in enumerate(self._leads) if not leads or name in leads]
        names = tuple(self._leads[index] for index in columns)
        return Strip(cut[0], self._rate_hz, names, cut[1][:, columns])

    def span_mv(self, end_ns: int, seconds: float, column: int) -> float | None:
        """Largest less smallest value of a lead in a stretch; None where nothing is held."""
        cut = self._last(end_ns, seconds)
        return None if cut is None else float(np.ptp(cut[1][:, column]))

    def _last(self, end_ns: int, seconds: float) -> tuple[int, Signal] | None:
        end = self._position(end_ns)
        return None if end is None else self._cut(end - round(seconds * self._rate_hz), end)

    def _position(self, at_ns: int) -> int | None:
        """Of a moment; in a hole, that of the hole."""
        for piece in reversed(self._pieces):
            if piece.timestamp_ns <= at_ns:
                after = (at_ns - piece.timestamp_ns) * self._rate_hz / 1e9
                # Half a sample rounds up, whichever frame it is counted from.
                return piece.first + min(math.floor(after + 0.5001), len(piece.data))
        return None

    def _cut(self, start: int, stop: int) -> tuple[int, Signal] | None:
        """Time of the first sample and (samples, leads): the last part without a hole."""
        parts: list[Signal] = []
        first_ns, following = 0, None
        for piece in reversed(self._pieces):
            end = piece.first + len(piece.data)
            if end <= start or following not in (None, end):
                break
            if piece.first >= stop:
                continue
            skipped = max(start - piece.first, 0)
            parts.append(piece.data[skipped : stop - piece.first])
            first_ns = piece.timestamp_ns + round(skipped * 1e9 / self._rate_hz)
            following = piece.first
        return (first_ns, np.concatenate(parts[::-1])) if parts else None
