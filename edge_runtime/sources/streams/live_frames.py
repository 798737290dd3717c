"""Readings with their times into frames of a live signal, and what is wrong with them."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.errors import EndOfStream, FrameError, LeadOffError
from edge_runtime.frame import Frame
from edge_runtime.framing.electrodes import Reading
from edge_runtime.framing.events import Bad, LeadOff, Skipped
from edge_runtime.sources.signal_clock import chunk_samples

from .declared import Signal, check

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

MAX_CHUNK_S = 10.0
SETTLE_S = 2.0  # what a board prints while it boots is not counted as bad
BAD_EVERY_S = 1.0  # while nothing but bad lines comes, they are told so often
TELL_EVERY_S = 60.0  # gaps, repeats and late samples are told so often
SPREAD_S = 1.0  # amplitude is the range of a lead within so long
SPREADS = 10  # and the median of so many
ODD_MV = (0.01, 100.0)  # an ECG's is 0.2 to 5 mV; noise and movement included, within these

Item = Reading | LeadOff | Bad | Skipped


class LiveFrames:
    """Takes readings, gives frames of `chunk_s`. `where` names the device in messages, `hint` asks
    what may be wrong where nothing can be read.

    `tally` counts what came: samples, missing, bad, and why samples were skipped.
    """

    def __init__(self, where: str, source: str, chunk_s: float, hint: str = "") -> None:
        check("chunk_s", 0 < chunk_s <= MAX_CHUNK_S, f"must be above 0, at most {MAX_CHUNK_S:g}")
        self.where = where
        self._hint = hint or "is it the right front end?"
        self.tally: Counter[str] = Counter()
        self.lead_off = False
        self._source, self._chunk_s = source, chunk_s
        self._items: deque[Item] = deque()
        self._held: list[Reading] = []
        self._chunk = 1  # samples; `begin` says
        self._seq = 0
        self._told_s = float("-inf")
        self._to_tell: Counter[str] = Counter()

    def begin(self, signal: Signal, settle_s: float = 0.0) -> None:
        """A new connection: forget everything of the last but the counts."""
        self._signal, self._electrodes = signal, signal.electrodes()
        self._gain = np.array(signal.mv_per_count)
        self._zero = np.array(signal.zero_count)
        self._chunk = chunk_samples(self._chunk_s, signal.rate_hz)
        self._amplitude = AmplitudeWatch(self.where, signal)
        self._items.clear()
        self._held = []
        self._gap, self.lead_off = True, False
        self._bad_s = float("-inf")
        self._settling_until_s = time.monotonic() + settle_s

    def add(self, item: Item, missing: int = 0) -> None:
        """Take what came; `missing` samples were lost before it."""
        if isinstance(item, Skipped):
            self._count(item.reason, item.count)
            return
        if isinstance(item, Reading):
            self._count("missing", missing)
            self.tally["samples"] += 1
            self._items += self._electrodes.judge(item)
            if self._electrodes.off and not self.lead_off:
                self._items.append(LeadOff(self._electrodes.off))
            return
        self._items.append(item)

    def read(self, timeout_s: float, receive: Callable[[float], bool]) -> Frame | None:
        """What a source reads: a frame of `chunk_s`; a shorter one before a gap, or of what came
        within the time. `receive` waits for more, and says whether anything came.

        Raises what `gather` and `receive` do; EndOfStream when the last frame was given.
        """
        until_s = time.monotonic() + timeout_s
        while True:
            frame = self.gather()
            if frame is not None:
                return frame
            left_s = until_s - time.monotonic()
            try:
                came = receive(max(0.0, left_s))
            except EndOfStream:
                last = self.cut()
                if last is None:
                    raise
                return last
            if not came or left_s <= 0:
                return self.gather() or self.cut()

    def gather(self) -> Frame | None:
        """The next frame that is complete: a whole chunk, or what stands before a gap.

        Raises FrameError for what is no sample, LeadOffError when an electrode falls off.
        """
        while self._items:
            item = self._items[0]
            whole = isinstance(item, Reading) and not item.gap
            if self._held and (not whole or len(self._held) == self._chunk):
                return self.cut()
            self._items.popleft()
            if isinstance(item, Reading):
                self._held.append(item)
                self._gap |= item.gap
                self.lead_off, self._settling_until_s = False, 0.0
                self._bad_s = float("-inf")
            elif not isinstance(item, Skipped):
                self._gap = True
                self._complain(item)
        return self.cut() if len(self._held) == self._chunk else None

    def cut(self) -> Frame | None:
        """The frame of what is held."""
        held, self._held = self._held, []
        if not held:
            return None
        counts = np.array([reading.counts for reading in held])
        signal = ((counts - self._zero) * self._gain).astype(np.float32)
        seq = self._seq + (1 if self._gap and self._seq else 0)
        self._seq, self._gap = seq + 1, False
        self._amplitude.add(signal)
        return Frame(
            data=signal,
            timestamp_ns=held[0].monotonic_ns + time.time_ns() - time.monotonic_ns(),
            monotonic_ns=held[0].monotonic_ns,
            seq=seq,
            source=self._source,
            rate_hz=self._signal.rate_hz,
            leads=self._signal.leads,
            highpass_hz=self._signal.highpass_hz,
        )

    def _complain(self, item: LeadOff | Bad) -> None:
        now_s = time.monotonic()
        if isinstance(item, Bad):
            self.tally["bad"] += item.count
            if now_s >= self._settling_until_s and now_s - self._bad_s >= BAD_EVERY_S:
                self._bad_s = now_s
                lines = "line or packet is" if item.count == 1 else "lines or packets are"
                said = f"{item.count} {lines} no sample: {item.first}; {self._hint}"
                raise FrameError(f"{self.where}: {said}")
        elif not self.lead_off:
            self.lead_off = True
            raise LeadOffError(f"{self.where}: {item.detail}")

    def _count(self, reason: str, count: int) -> None:
        """Count what is worth telling, and tell it once a minute."""
        if not count:
            return
        self.tally[reason] += count
        if reason == "other":  # packets that are not ours to read
            return
        self._to_tell[reason] += count
        now_s = time.monotonic()
        if now_s - self._told_s >= TELL_EVERY_S:
            self._told_s = now_s
            told = ", ".join(f"{number} {name}" for name, number in self._to_tell.items())
            log.warning("%s: samples: %s", self.where, told)
            self._to_tell.clear()


class AmplitudeWatch:
    """Warns, once, when a lead is too large or too small for an ECG: the gain may be wrong."""

    def __init__(self, where: str, signal: Signal) -> None:
        self._where, self._leads = where, signal.leads
        self._length = max(1, round(SPREAD_S * signal.rate_hz))
        self._held: list[NDArray[np.float32]] = []
        self._count = 0
        self._spreads: list[NDArray[np.float32]] = []

    def add(self, signal: NDArray[np.float32]) -> None:
        """Look at (samples, leads) in mV; nothing more after the first `SPREADS` seconds."""
        if len(self._spreads) >= SPREADS:
            return
        self._held.append(signal)
        self._count += len(signal)
        if self._count < self._length:
            return
        whole = np.concatenate(self._held)
        self._spreads.append(np.ptp(whole, axis=0))
        self._held, self._count = [], 0
        if len(self._spreads) == SPREADS:
            self._judge(np.median(self._spreads, axis=0))

    def _judge(self, spreads: NDArray[np.float32]) -> None:
        least, most = ODD_MV
        for lead, spread in zip(self._leads, spreads.tolist(), strict=True):
            if 0 < spread < least or spread > most:
                log.warning(
                    "%s: lead %s moves by %.3g mV within a second, an ECG by 0.2 to 5: is "
                    "mv_per_count right, or the unit?",
                    self._where,
                    lead,
                    spread,
                )
