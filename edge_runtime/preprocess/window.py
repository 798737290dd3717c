"""The step `window`: cut a signal into windows of one length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.ecg.stream import SignalStream
from edge_runtime.errors import BadOptionError
from edge_runtime.frame import Frame

if TYPE_CHECKING:
    from edge_runtime.frame import Signal


class Window:
    """Windows of `length_s` seconds, one every `hop_s` seconds; a rest that is shorter is dropped.

    Args:
        length_s: length of a window, rounded to whole samples.
        hop_s: from the start of a window to the start of the next; 0 for `length_s`.
    """

    delay_s = 0.0
    highpass_hz = 0.0

    def __init__(self, *, length_s: float, hop_s: float = 0.0) -> None:
        if not 0 < length_s < float("inf"):
            raise BadOptionError("length_s", "must be above 0")
        if not 0 <= hop_s < float("inf"):
            raise BadOptionError("hop_s", "must be 0 (no overlap) or above")
        self._length_s, self._hop_s = length_s, hop_s or length_s
        self._stream = SignalStream()
        self._held: list[Signal] = []  # (samples, leads) each, from `_start` on
        self._held_samples = 0
        self._start = 0  # position of the next window

    def __call__(self, frame: Frame) -> list[Frame]:
        """Raises FrameError when the signal is not finite or its rate changed."""
        if self._stream.starts_segment(frame):
            self._stream.restart()
            self._held, self._held_samples, self._start = [], 0, 0
        skipped = self._start - self._stream.count  # a hop may be longer than a window
        self._stream.add(frame)
        data = frame.data[max(0, skipped) :].astype(np.float32, copy=False)
        self._held.append(data)
        self._held_samples += len(data)
        return self._cut(frame.rate_hz or 0.0)

    def flush(self) -> list[Frame]:
        """Nothing: a window is given as soon as it is whole."""
        return []

    def _cut(self, rate_hz: float) -> list[Frame]:
        length = max(1, round(self._length_s * rate_hz))
        hop = max(1, round(self._hop_s * rate_hz))
        if self._held_samples < length:
            return []
        held, made = np.concatenate(self._held), []
        while len(held) >= length:
            made.append(self._stream.make(held[:length].copy(), self._start))
            held = held[hop:]
            self._start += hop
        self._held, self._held_samples = [held], len(held)
        self._stream.forget(self._start)
        return made
