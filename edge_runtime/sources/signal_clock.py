"""Play recorded samples as frames: cut to chunks, stamped by sample number, paced if asked."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

import numpy as np

from edge_runtime.errors import BadOptionError, EndOfStream, FrameError
from edge_runtime.frame import Frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edge_runtime.frame import Signal

Pace = Literal["flat", "real"]

MAX_CHUNK_S = 60.0  # longer frames would make a live view meaningless and hold memory
MAX_CHUNK_SAMPLES = 1 << 18
_NS = 1_000_000_000


def check_pacing(pace: str, chunk_s: float) -> None:
    """Check the options that every recorded signal source has. Raises BadOptionError."""
    if pace not in ("flat", "real"):
        raise BadOptionError("pace", f"'{pace}' is not one of flat, real")
    if not 0 < chunk_s <= MAX_CHUNK_S:
        raise BadOptionError("chunk_s", f"must be above 0 and at most {MAX_CHUNK_S:g} seconds")


def chunk_samples(chunk_s: float, rate_hz: float) -> int:
    """How many samples a frame of `chunk_s` holds; at least one."""
    return min(max(1, round(chunk_s * rate_hz)), MAX_CHUNK_SAMPLES)


class SampleClock:
    """When sample n was taken, in whole nanoseconds after sample 0; no error adds up.

    `rate_hz` is taken as the decimal number that it was written as, so 0.1 is exactly 1/10.
    """

    def __init__(self, rate_hz: float) -> None:
        self._period_ns = _NS / Fraction(repr(rate_hz))

    def offset_ns(self, sample: int) -> int:
        """Nanoseconds from sample 0 to `sample`, rounded down."""
        return sample * self._period_ns.numerator // self._period_ns.denominator


@dataclass(frozen=True, slots=True)
class Stretch:
    """Samples that follow one another without a hole.

    `first` is the number of the first one since the start of the recording; `times_ns` are the
    recording's own times after its start, when it has any; `late_ns` is what the clock gained in
    gaps that `first` does not count. `gap` says that something between this stretch and the one
    before is missing.
    """

    data: Signal  # (samples, leads) float32 in mV
    first: int
    gap: bool = False
    times_ns: NDArray[np.int64] | None = None  # (samples,)
    late_ns: int = 0

    def take(self, samples: int) -> tuple[Stretch, Stretch]:
        """The first `samples` of it, and the rest."""
        times = self.times_ns
        head = replace(
            self,
            data=self.data[:samples],
            times_ns=None if times is None else times[:samples],
        )
        rest = replace(
            self,
            data=self.data[samples:],
            first=self.first + samples,
            gap=False,
            times_ns=None if times is None else times[samples:],
        )
        return head, rest

    def join(self, after: Stretch) -> Stretch:
        """This stretch and the one that follows it without a gap."""
        times = None
        if self.times_ns is not None and after.times_ns is not None:
            times = np.concatenate((self.times_ns, after.times_ns))
        return replace(self, data=np.concatenate((self.data, after.data)), times_ns=times)


@dataclass(frozen=True, slots=True)
class Tape:
    """What every frame of a recording shares, and how it is played."""

    source: str
    leads: tuple[str, ...]
    rate_hz: float
    start_ns: int  # wall time of sample 0
    chunk: int  # samples per frame
    pace: Pace = "flat"
    highpass_hz: float | None = None  # as in `Frame`


class Playback:
    """Hands a recording out frame by frame.

    Args:
        tape: what the frames share.
        pull: gives the next stretch, or None when there is none within the seconds it was given;
            raises FrameError for samples that cannot be used, EndOfStream after the last one.

    A frame ends where samples are missing; `seq` then jumps by one. With pace "real" a frame
    comes when its last sample would have been taken, and its monotonic time is that of its
    first sample on that schedule; with "flat" it is the time at which the frame was read.
    """

    def __init__(self, tape: Tape, pull: Callable[[float], Stretch | None]) -> None:
        self._tape = tape
        self._pull = pull
        self._clock = SampleClock(tape.rate_hz)
        self._held: Stretch | None = None
        self._next: Stretch | FrameError | EndOfStream | None = None
        self._gap = False
        self._seq = 0
        self._waiting: tuple[Frame, int] | None = None  # a frame and when it is due
        self._begun: tuple[int, int] | None = None  # monotonic time, tape time of the first frame
        self._stop = threading.Event()

    def stop(self) -> None:
        """Wake a `read` that waits; it then returns None."""
        self._stop.set()

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, or None when it is not due in time. Raises what `pull` raises."""
        if self._waiting is None:
            cut = self._cut(timeout_s)
            if cut is None:
                return None
            self._waiting = self._stamp(cut)
        frame, due_ns = self._waiting
        if self._tape.pace == "real" and not self._wait(due_ns, timeout_s):
            return None
        self._waiting = None
        if self._tape.pace == "flat":
            frame = frame._replace(monotonic_ns=time.monotonic_ns())
        return frame

    def _wait(self, due_ns: int, timeout_s: float) -> bool:
        left_s = (due_ns - time.monotonic_ns()) / _NS
        if left_s > 0:
            self._stop.wait(max(0.0, min(left_s, timeout_s)))
        return time.monotonic_ns() >= due_ns

    def _cut(self, timeout_s: float) -> Stretch | None:
        """The samples of the next frame: a whole chunk, or what stands before a gap."""
        while self._held is None or len(self._held.data) < self._tape.chunk:
            if self._next is None:
                self._next = self._fetch(timeout_s)
            if self._next is None:
                return None
            goes_on = isinstance(self._next, Stretch) and not self._next.gap
            if self._held is not None and not goes_on:
                cut, self._held = self._held, None
                return cut
            self._append()
        cut, rest = self._held.take(self._tape.chunk)
        self._held = rest if len(rest.data) else None
        return cut

    def _fetch(self, timeout_s: float) -> Stretch | FrameError | EndOfStream | None:
        """What comes next; errors wait until the samples before them are out."""
        try:
            stretch = self._pull(timeout_s)
        except (FrameError, EndOfStream) as exc:
            return exc
        return stretch

    def _append(self) -> None:
        after, self._next = self._next, None
        if isinstance(after, FrameError):
            self._gap = True
            raise after
        if isinstance(after, EndOfStream):
            raise after
        if after is None:
            return
        self._gap |= after.gap
        if len(after.data):
            self._held = after if self._held is None else self._held.join(after)

    def _stamp(self, cut: Stretch) -> tuple[Frame, int]:
        """The frame of some samples, and when it is due on the monotonic clock."""
        clock, last = self._clock, cut.first + len(cut.data) - 1
        if cut.times_ns is None:
            start_ns = clock.offset_ns(cut.first) + cut.late_ns
            end_ns = clock.offset_ns(last + 1) + cut.late_ns
        else:
            start_ns, end_ns = int(cut.times_ns[0]), int(cut.times_ns[-1]) + clock.offset_ns(1)
        if self._begun is None:
            self._begun = (time.monotonic_ns(), start_ns)
        elif self._gap:
            self._seq += 1
        self._gap = False
        shift_ns = self._begun[0] - self._begun[1]
        frame = Frame(
            data=np.ascontiguousarray(cut.data, dtype=np.float32),
            timestamp_ns=self._tape.start_ns + start_ns,
            monotonic_ns=start_ns + shift_ns,
            seq=self._seq,
            source=self._tape.source,
            rate_hz=self._tape.rate_hz,
            leads=self._tape.leads,
            highpass_hz=self._tape.highpass_hz,
        )
        self._seq += 1
        return frame, end_ns + shift_ns
