"""Source `serial`: samples that a microcontroller prints as lines on a serial port."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

import numpy as np

from edge_runtime.errors import BadOptionError, FrameError, LeadOffError, SourceLostError
from edge_runtime.frame import Frame

from .arrival import ArrivalClock, RateWatch
from .serial_lines import BadLines, Event, LeadOff, LineFormat, LineParser, Row
from .serial_port import SerialPort
from .signal_clock import chunk_samples

MAX_RATE_HZ = 100_000.0
MAX_CHUNK_S = 10.0
MAX_MV_PER_COUNT = 1e6
SETTLE_S = 2.0  # what a board prints while it boots is not counted as bad
QUIET_S = 0.5  # a pause this long is a gap: nobody knows what the board did meanwhile


@dataclass(frozen=True, slots=True)
class _Sample:
    counts: tuple[float, ...]
    monotonic_ns: int
    gap: bool


class Serial:
    """A live source: frames (samples, leads) float32 in mV, (count - zero_count) * mv_per_count.

    Args:
        name: how results name this source.
        port: such as /dev/ttyUSB0, or better /dev/serial/by-id/...
        rate_hz: samples per second that the board is set to.
        mv_per_count: millivolts at the electrodes in one count.
        zero_count: the count that means 0 mV.
        baud: bits per second.
        leads: names of the leads, one per column.
        columns: which cells of a line, from 0; empty means all but `t_us_column`, in order.
        t_us_column: the cell that holds the board's clock in microseconds; None means that
            there is none. With it lost samples are seen, without it only pauses are.
        off_marker: the cell that says that an electrode is off; empty means none does.
        range_counts: lowest and highest count there is; a line outside it was garbled.
        chunk_s: length of a frame.
        silence_s: so long without a byte means that the board is lost; 0 means never.

    Lines end in CR, LF or both; cells stand between commas, semicolons or blanks, with or without
    a label ("ecg:512"). A frame's times are those of its first sample: by the board's clock, or
    by counting lines, laid on the host's clock by the earliest arrival (see `ArrivalClock`).
    `measured_rate_hz` is samples per second by arrival, None in the first ten seconds. `lead_off`
    is True while the board says so; no frame comes then.
    """

    live = True

    def __init__(
        self,
        *,
        name: str,
        port: str,
        rate_hz: float,
        mv_per_count: float,
        zero_count: float = 0.0,
        baud: int = 115200,
        leads: tuple[str, ...] = ("MLII",),
        columns: tuple[int, ...] = (),
        t_us_column: int | None = None,
        off_marker: str = "!",
        range_counts: tuple[float, float] | None = None,
        chunk_s: float = 0.04,
        silence_s: float = 5.0,
    ) -> None:
        _check("port", bool(port) and "\0" not in port, "must be a port, such as /dev/ttyUSB0")
        _check("baud", baud > 0, f"{baud} is no speed; try 115200")
        _check("rate_hz", 0 < rate_hz <= MAX_RATE_HZ, f"must be above 0, at most {MAX_RATE_HZ:g}")
        scale_fits = 0 < abs(mv_per_count) <= MAX_MV_PER_COUNT
        _check("mv_per_count", scale_fits, "must be the millivolts in one count, and not 0")
        _check("zero_count", abs(zero_count) <= 1e12, "must be the count that means 0 mV")
        _check("chunk_s", 0 < chunk_s <= MAX_CHUNK_S, f"must be above 0, at most {MAX_CHUNK_S:g}")
        _check("silence_s", 0 <= silence_s < 1e9, "must be seconds, or 0 for never")
        in_order = range_counts is None or range_counts[0] < range_counts[1]
        _check("range_counts", in_order, "must be the lowest and the highest count")
        self._format = LineFormat(
            columns=_columns(leads, columns, t_us_column),
            t_us_column=t_us_column,
            exact=not columns,
            off_marker=off_marker,
            range_counts=range_counts,
            rate_hz=rate_hz,
        )
        self.name, self.lead_off = name, False
        self._leads, self._rate_hz = leads, rate_hz
        self._mv_per_count, self._zero = mv_per_count, zero_count
        self._chunk, self._silence_s = chunk_samples(chunk_s, rate_hz), silence_s
        self._port, self._watch = SerialPort(port, baud), RateWatch(port, rate_hz)
        self._seq = 0
        self._begin()

    @property
    def measured_rate_hz(self) -> float | None:
        """Samples per second by arrival; None until ten seconds are measured."""
        return self._watch.meter.rate_hz

    def open(self) -> None:
        """Take the port for ourselves. Raises MissingExtraError, ConfigError, SourceLostError."""
        self._port.open()
        self._begin()
        self._settling_until_s = time.monotonic() + SETTLE_S

    def read(self, timeout_s: float) -> Frame | None:
        """A frame of `chunk_s`; a shorter one before a gap, or with what came within the time.

        Raises FrameError for lines that are no samples, LeadOffError when an electrode falls off,
        SourceLostError when the port is gone, silent for `silence_s`, or not open.
        """
        until_s = time.monotonic() + timeout_s
        while True:
            frame = self._gather()
            if frame is not None:
                return frame
            left_s = until_s - time.monotonic()
            if not self._receive(max(0.0, left_s)) or left_s <= 0:
                return self._gather() or self._cut()

    def close(self) -> None:
        """Give the port back."""
        self._port.close()

    def _begin(self) -> None:
        """Forget everything of the last connection but the count of frames."""
        self._parser, self._clock = LineParser(self._format), ArrivalClock()
        self._watch.meter.restart()
        self._events: deque[_Sample | LeadOff | BadLines] = deque()
        self._held: list[_Sample] = []
        self._gap, self._paused, self.lead_off = True, False, False
        self._settling_until_s = 0.0

    def _receive(self, timeout_s: float) -> bool:
        """Take what arrives within the time; False when nothing did."""
        raw = self._port.receive(timeout_s)
        quiet_s = self._port.quiet_s
        if not raw:
            if 0 < self._silence_s <= quiet_s:
                self._port.quiet_s = 0.0
                raise SourceLostError(f"{self._port.path}: silent for {quiet_s:.1f} s")
            return False
        arrival_ns = time.monotonic_ns()
        if quiet_s > max(QUIET_S, 10 / self._rate_hz):
            self._paused = True
            self._clock.restart()
            self._watch.meter.restart()
        self._port.quiet_s = 0.0
        events = self._parser.feed(raw)
        lines = sum(event.count if isinstance(event, BadLines) else 1 for event in events)
        self._parser.period_ns = 1e9 / self._watch.add(lines, arrival_ns)
        self._stamp(events, arrival_ns)
        return True

    def _stamp(self, events: list[Event], arrival_ns: int) -> None:
        """Give every row of a batch its time."""
        rows = [event for event in events if isinstance(event, Row)]
        if rows and not any(row.restarted for row in rows):
            self._clock.observe(rows[-1].elapsed_ns, arrival_ns)
        for event in events:
            if not isinstance(event, Row):
                self._events.append(event)
                continue
            if event.restarted:
                self._clock.restart()
                self._clock.observe(rows[-1].elapsed_ns, arrival_ns)
            gap, self._paused = event.gap or self._paused, False
            time_ns = self._clock.time_ns(event.elapsed_ns)
            self._events.append(_Sample(event.counts, time_ns, gap))

    def _gather(self) -> Frame | None:
        """The next frame that is complete: a whole chunk, or what stands before a gap."""
        while self._events:
            event = self._events[0]
            whole = isinstance(event, _Sample) and not event.gap
            if self._held and (not whole or len(self._held) == self._chunk):
                return self._cut()
            self._events.popleft()
            if isinstance(event, _Sample):
                self._held.append(event)
                self._gap |= event.gap
                self.lead_off, self._settling_until_s = False, 0.0
            else:
                self._gap = True
                self._complain(event)
        return self._cut() if len(self._held) == self._chunk else None

    def _complain(self, event: LeadOff | BadLines) -> None:
        where = self._port.path
        if isinstance(event, BadLines):
            if time.monotonic() >= self._settling_until_s:
                lines = "a line is" if event.count == 1 else f"{event.count} lines are"
                raise FrameError(f"{where}: {lines} no sample: {event.first}; is baud right?")
        elif not self.lead_off:
            self.lead_off = True
            raise LeadOffError(f"{where}: an electrode is off")

    def _cut(self) -> Frame | None:
        """The frame of what is held."""
        held, self._held = self._held, []
        if not held:
            return None
        counts = np.array([sample.counts for sample in held])
        seq = self._seq + (1 if self._gap and self._seq else 0)
        self._seq, self._gap = seq + 1, False
        return Frame(
            data=((counts - self._zero) * self._mv_per_count).astype(np.float32),
            timestamp_ns=held[0].monotonic_ns + time.time_ns() - time.monotonic_ns(),
            monotonic_ns=held[0].monotonic_ns,
            seq=seq,
            source=self.name,
            rate_hz=self._rate_hz,
            leads=self._leads,
        )


def _check(key: str, holds: bool, message: str) -> None:
    if not holds:
        raise BadOptionError(key, message)


def _columns(
    leads: tuple[str, ...], columns: tuple[int, ...], t_us_column: int | None
) -> tuple[int, ...]:
    """The cells of the leads."""
    _check("leads", bool(leads), "must name one lead per column")
    _check("t_us_column", t_us_column is None or 0 <= t_us_column < 64, "must be 0 to 63")
    _check("columns", not columns or len(columns) == len(leads), f"must be {len(leads)}, as leads")
    fits = all(0 <= column < 64 and column != t_us_column for column in columns)
    _check("columns", fits, "must be 0 to 63, and not t_us_column")
    free = (column for column in range(len(leads) + 1) if column != t_us_column)
    return columns or tuple(column for column, _ in zip(free, leads, strict=False))
