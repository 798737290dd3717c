"""Play a part of a recording once, or again and again."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.errors import BadOptionError, ConfigError, EndOfStream, FrameError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from edge_runtime.sources.signal_clock import Stretch

MAX_S = 1e9  # longer than any recording
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def check_part(path: str, start_s: float, seconds: float | None) -> None:
    """Check the options that every source of recordings has. Raises BadOptionError."""
    if not path or "\0" in path:
        raise BadOptionError("path", "must be the path of a recording")
    if not 0 <= start_s < MAX_S:
        raise BadOptionError("start_s", "must be 0 or more seconds")
    if seconds is not None and not 0 < seconds < MAX_S:
        raise BadOptionError("seconds", "must be more than 0, or left out to play to the end")


def part(
    shown: str, start_s: float, seconds: float | None, rate_hz: float, length: int
) -> tuple[int, int]:
    """The first sample to play and the one after the last. Raises ConfigError."""
    first, stop = int(start_s * rate_hz), length
    if first >= stop:
        raise ConfigError(
            f"{shown}: start_s = {start_s:g}: the recording is only {stop / rate_hz:g} s long"
        )
    if seconds is not None:
        stop = min(stop, first + max(1, round(seconds * rate_hz)))
    return first, stop


def wall_ns(start: datetime | None) -> int:
    """Wall time of a recording's start; now when it does not say."""
    if start is None:
        return time.time_ns()
    return (start - _EPOCH) // timedelta(microseconds=1) * 1000


class Passes:
    """What `Playback` pulls from: every pass goes on in time and begins with a gap.

    Args:
        play: the stretches of one pass; may raise FrameError once, after its last one.
        samples: what one pass moves the sample number on by.
        loop: whether there is another pass after the last stretch.
    """

    def __init__(self, play: Callable[[], Iterator[Stretch]], samples: int, *, loop: bool) -> None:
        self._play, self._samples, self._loop = play, samples, loop
        self._stretches = play()
        self._shift, self._late_ns = 0, 0  # what earlier passes moved number and time on by
        self._last_late_ns = 0
        self._fresh = self._over = False  # a later pass has just begun; this one has ended

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
        return self._moved(stretch)

    def _rewind(self) -> None:
        self._over = True
        if not self._loop:
            raise EndOfStream
        self._shift += self._samples
        self._late_ns += self._last_late_ns
        self._stretches = self._play()
        self._over, self._fresh = False, True

    def _moved(self, stretch: Stretch) -> Stretch:
        fresh, self._fresh = self._fresh, False
        self._last_late_ns = stretch.late_ns
        return replace(
            stretch,
            first=stretch.first + self._shift,
            gap=stretch.gap or fresh,
            late_ns=stretch.late_ns + self._late_ns,
        )


def runs(valid: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Begin and end of every run of True."""
    edges = np.flatnonzero(np.diff(valid, prepend=False, append=False))
    for at in range(0, len(edges), 2):
        yield int(edges[at]), int(edges[at + 1])
