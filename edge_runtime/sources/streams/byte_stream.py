"""A live signal that comes as bytes: transport -> parser -> times -> frames."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Protocol

from edge_runtime.errors import SourceLostError
from edge_runtime.framing.electrodes import Reading
from edge_runtime.framing.events import Bad, Event, LeadOff, Sample, add

from .arrival import ArrivalClock, RateWatch
from .declared import check
from .live_frames import SETTLE_S, LiveFrames

if TYPE_CHECKING:
    from edge_runtime.frame import Frame

    from .declared import Declared

QUIET_S = 0.5  # a pause this long is a gap where no clock or counter says what was missed


class Transport(Protocol):
    """Where bytes come from. `where` names it in messages, `hint` asks what may be set wrong."""

    where: str
    hint: str

    def open(self) -> None: ...

    def receive(self, timeout_s: float) -> list[bytes]:
        """The pieces that arrive within the time, as soon as one does.

        Raises SourceLostError when the transport is gone or not open, EndOfStream.
        """
        ...

    def send(self, raw: bytes) -> None: ...

    def close(self) -> None: ...


class ByteStream:
    """What the sources of bytes have in common; see the class of each.

    A frame's times are those of its first sample: by the device's clock or counter, or by counting
    samples, laid on the host's clock by the earliest arrival (see `ArrivalClock`).
    """

    live = True

    def __init__(
        self, name: str, transport: Transport, declared: Declared, chunk_s: float, silence_s: float
    ) -> None:
        check("silence_s", 0 <= silence_s < 1e9, "must be seconds, or 0 for never")
        self.name = name
        self._transport, self._declared, self._silence_s = transport, declared, silence_s
        where, rate_hz = transport.where, declared.signal.rate_hz
        self._watch = RateWatch(where, rate_hz, least_hz=declared.least_rate_hz)
        self._frames = LiveFrames(where, name, chunk_s, transport.hint)
        self._begin()

    @property
    def measured_rate_hz(self) -> float | None:
        """Samples per second by arrival; None until ten seconds are measured."""
        return self._watch.meter.rate_hz

    @property
    def lead_off(self) -> bool:
        """Whether an electrode is off; no frame comes then."""
        return self._frames.lead_off

    @property
    def tally(self) -> dict[str, int]:
        """How many samples came, are missing, bad, duplicate, out of order."""
        return dict(self._frames.tally)

    def open(self) -> None:
        """Raises MissingExtraError, ConfigError, SourceLostError."""
        self._transport.open()
        self._begin(SETTLE_S)
        if self._declared.start:
            self._transport.send(self._declared.start)

    def read(self, timeout_s: float) -> Frame | None:
        """A frame of `chunk_s`; a shorter one before a gap, or with what came within the time.

        Raises FrameError for what is no sample, LeadOffError when an electrode falls off,
        SourceLostError when the device is gone, silent for `silence_s`, or not open, EndOfStream.
        """
        return self._frames.read(timeout_s, self._receive)

    def close(self) -> None:
        """Tell the device to stop, and let it go; may be called twice."""
        if self._declared.stop:
            with contextlib.suppress(SourceLostError):
                self._transport.send(self._declared.stop)
        self._transport.close()

    def _begin(self, settle_s: float = 0.0) -> None:
        self._parser, self._clock = self._declared.parser(), ArrivalClock()
        self._watch.meter.restart()
        self._frames.begin(self._declared.signal, settle_s)
        self._heard_s, self._paused = time.monotonic(), False

    def _receive(self, timeout_s: float) -> bool:
        """Take what arrives within the time; False when nothing did."""
        pieces = self._transport.receive(timeout_s)
        now_ns = time.monotonic_ns()
        quiet_s = now_ns / 1e9 - self._heard_s
        if not pieces:
            if 0 < self._silence_s <= quiet_s:
                self._heard_s = now_ns / 1e9
                raise SourceLostError(f"{self._transport.where}: silent for {quiet_s:.1f} s")
            return False
        if quiet_s > max(QUIET_S, 10 / self._declared.signal.rate_hz, self._parser.sure_s):
            self._paused = True
            self._watch.meter.restart()
        self._heard_s = now_ns / 1e9
        events: list[Event] = []
        for piece in pieces:
            for event in self._parser.feed(piece, now_ns):
                add(events, event)
        self._take(events, now_ns)
        return True

    def _take(self, events: list[Event], arrival_ns: int) -> None:
        """Give every sample of a batch its time, and hand all on."""
        samples = [event for event in events if isinstance(event, Sample)]
        taken = sum(1 + sample.missing for sample in samples)
        taken += sum(event.count for event in events if isinstance(event, Bad))
        if any(isinstance(event, LeadOff) for event in events):
            self._watch.meter.restart()  # a board says so at a pace of its own
            self._paused = True
        else:
            self._parser.period_ns = 1e9 / self._watch.add(taken, arrival_ns)
        if self._paused and samples:
            self._clock.restart()
        if samples and not any(sample.restarted for sample in samples):
            self._clock.observe(samples[-1].elapsed_ns, arrival_ns)
        for event in events:
            if not isinstance(event, Sample):
                self._frames.add(event)
                continue
            if event.restarted:
                self._clock.restart()
                self._clock.observe(samples[-1].elapsed_ns, arrival_ns)
            gap, self._paused = bool(event.missing) or self._paused, False
            time_ns = self._clock.time_ns(event.elapsed_ns)
            self._frames.add(Reading(event.counts, time_ns, gap), event.missing)
