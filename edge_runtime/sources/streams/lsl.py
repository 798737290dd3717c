"""Source `lsl`: a stream of the lab streaming layer on this network."""

from __future__ import annotations

import logging
import math
import time
from typing import Any

from edge_runtime.errors import ConfigError, MissingExtraError, SourceLostError
from edge_runtime.frame import Frame
from edge_runtime.framing.electrodes import Reading
from edge_runtime.framing.events import Bad
from edge_runtime.sources.leads import MV_PER_UNIT, find_lead, tidy

from .arrival import RATE_TOLERANCE, RateWatch
from .declared import MAX_RATE_HZ, Signal, check, plain
from .live_frames import LiveFrames
from .stamped import StampedClock

log = logging.getLogger(__name__)

BUFFER_S = 10  # what an inlet holds
MOST_SAMPLES = 4096  # taken at once
_UNITS = {"volts": "v", "millivolts": "mv", "microvolts": "uv", "nanovolts": "nv"}


class Lsl:
    """A live source: the samples of one stream, as millivolts.

    Args:
        name: how results name this source.
        stream: the name of the stream.
        source_id: of the stream, where several have its name.
        rate_hz: samples per second; None: what the stream states.
        mv_per_unit: millivolts in what the stream sends; None: by the unit that it states.
        leads: those to take, by the stream's labels; empty: all; with `columns`, their names.
        columns: channels to take, from 0, where labels do not tell leads.
        chunk_s: length of a frame.
        find_s: how long the stream is looked for.
        silence_s: so long without a sample means that the stream is lost; 0 means never.

    Times are the sender's, on this machine's clock by the layer's own correction.
    """

    live = True

    def __init__(
        self,
        *,
        name: str,
        stream: str,
        source_id: str = "",
        rate_hz: float | None = None,
        mv_per_unit: float | None = None,
        leads: tuple[str, ...] = (),
        columns: tuple[int, ...] = (),
        chunk_s: float = 0.04,
        find_s: float = 5.0,
        silence_s: float = 5.0,
    ) -> None:
        check("stream", bool(stream), "must be the name of a stream")
        in_range = rate_hz is None or 0 < rate_hz <= MAX_RATE_HZ
        check("rate_hz", in_range, f"must be above 0, at most {MAX_RATE_HZ:g}")
        known = mv_per_unit is None or (math.isfinite(mv_per_unit) and mv_per_unit != 0)
        check("mv_per_unit", known, "must be the millivolts in one unit, and not 0")
        matching = not columns or len(columns) == len(leads)
        check("columns", matching, f"must be {len(leads)}, one for each of leads")
        check("columns", all(column >= 0 for column in columns), "must be 0 or more")
        check("find_s", 0 < find_s <= 60, "must be above 0, at most 60")
        check("silence_s", 0 <= silence_s < 1e9, "must be seconds, or 0 for never")
        self.name = name
        self._stream, self._source_id, self._find_s = stream, source_id, find_s
        self._rate_hz, self._mv_per_unit = rate_hz, mv_per_unit
        self._leads, self._columns, self._silence_s = leads, columns, silence_s
        self._where = f"lsl stream {stream}"
        self._frames = LiveFrames(self._where, name, chunk_s, "is it a numeric stream?")
        self._inlet: Any = None
        self._lost: tuple[type[Exception], ...] = ()
        self._taken: tuple[int, ...] = ()

    @property
    def tally(self) -> dict[str, int]:
        """How many samples came, are missing, bad."""
        return dict(self._frames.tally)

    def open(self) -> None:
        """Find the stream. Raises MissingExtraError, ConfigError, SourceLostError."""
        try:
            import pylsl
            import pylsl.util
        except (ImportError, RuntimeError) as exc:  # it raises the latter without its library
            cause = exc if isinstance(exc, ImportError) else ImportError(str(exc))
            raise MissingExtraError("source lsl", "lsl", cause) from exc
        self.close()
        info = self._find(pylsl)
        self._lost = (pylsl.util.LostError, pylsl.util.TimeoutError, RuntimeError)
        try:
            inlet = pylsl.StreamInlet(
                info, max_buflen=BUFFER_S, recover=False, processing_flags=pylsl.proc_clocksync
            )
            signal, self._taken = self._facts(inlet.info(self._find_s))
            inlet.open_stream(self._find_s)
        except self._lost as exc:
            raise SourceLostError(f"{self._where}: {exc or 'no answer'}") from exc
        self._inlet = inlet
        self._shift_s = time.monotonic() - pylsl.local_clock()
        self._clock = StampedClock(signal.rate_hz)
        self._watch = RateWatch(self._where, signal.rate_hz)
        self._frames.begin(signal)
        self._heard_s = time.monotonic()

    def read(self, timeout_s: float) -> Frame | None:
        """See `LiveFrames.read`. Raises SourceLostError when the stream is gone or not open."""
        return self._frames.read(timeout_s, self._receive)

    def close(self) -> None:
        inlet, self._inlet = self._inlet, None
        if inlet is not None:
            inlet.close_stream()

    def _find(self, pylsl: Any) -> Any:
        found = pylsl.resolve_byprop("name", self._stream, timeout=self._find_s)
        if self._source_id:
            found = [info for info in found if info.source_id() == self._source_id]
        if not found:
            raise SourceLostError(f"{self._where}: there is none on this network")
        if len({info.source_id() for info in found}) > 1:
            listed = ", ".join(sorted(tidy(info.source_id()) or "-" for info in found))
            raise ConfigError(f"{self._where}: there are several; give source_id, one of {listed}")
        return found[0]

    def _facts(self, info: Any) -> tuple[Signal, tuple[int, ...]]:
        """What the stream says of itself, and the channels to take."""
        channels = _channels(info)
        stated_hz = float(info.nominal_srate())
        rate_hz = self._rate_hz or stated_hz
        if not 0 < rate_hz <= MAX_RATE_HZ:
            raise ConfigError(f"{self._where}: states no rate: give rate_hz")
        if stated_hz and abs(rate_hz - stated_hz) > RATE_TOLERANCE * stated_hz:
            log.warning("%s: states %g Hz, rate_hz says %g", self._where, stated_hz, rate_hz)
        names = [label or f"ch{at + 1}" for at, (label, _) in enumerate(channels)]
        taken = self._columns
        if not taken:
            try:
                taken = tuple(find_lead(lead, names) for lead in self._leads or names)
            except LookupError as exc:
                raise ConfigError(f"{self._where}: leads: {exc}; or give columns") from exc
        if max(taken) >= len(channels):
            raise ConfigError(f"{self._where}: columns: it has {len(channels)} channels")
        leads = self._leads or tuple(names[at] for at in taken)
        gains = tuple(self._gain(names[at], channels[at][1]) for at in taken)
        return plain(leads, rate_hz, gains), taken

    def _gain(self, lead: str, unit: str) -> float:
        if self._mv_per_unit is not None:
            return self._mv_per_unit
        gain = MV_PER_UNIT.get(_UNITS.get(unit.lower(), unit.lower()))
        if gain is None:
            said = f"'{tidy(unit)}' as the unit" if unit else "no unit"
            raise ConfigError(f"{self._where}: states {said} of {lead}: give mv_per_unit")
        return gain

    def _receive(self, timeout_s: float) -> bool:
        if self._inlet is None:
            raise SourceLostError(f"{self._where}: is not open")
        try:
            samples, stamps = self._inlet.pull_chunk(0.0, MOST_SAMPLES)
            if (
                not stamps
            ):  # the first of a chunk is waited for alone: a chunk waits until it is full
                sample, stamp = self._inlet.pull_sample(timeout_s)
                samples, stamps = ([sample], [stamp]) if sample else ([], [])
        except self._lost as exc:
            raise SourceLostError(f"{self._where}: is gone") from exc
        now_s = time.monotonic()
        if not stamps:
            if 0 < self._silence_s <= now_s - self._heard_s:
                raise SourceLostError(f"{self._where}: silent for {now_s - self._heard_s:.1f} s")
            return False
        self._heard_s = now_s
        self._watch.add(len(stamps), round(now_s * 1e9))
        for sample, stamp_s in zip(samples, stamps, strict=True):
            self._take(sample, round((stamp_s + self._shift_s) * 1e9))
        return True

    def _take(self, sample: list[Any], stamp_ns: int) -> None:
        """Hand on one sample; one that is text or not finite is bad."""
        time_ns, missing = self._clock.place(stamp_ns)
        values = tuple(sample[at] for at in self._taken)
        if all(isinstance(value, int | float) and math.isfinite(value) for value in values):
            self._frames.add(Reading(values, time_ns, bool(missing)), missing)
        else:
            self._frames.add(Bad(1, ascii(values)[:40]))


def _channels(info: Any) -> list[tuple[str, str]]:
    """Label and unit of each channel, as far as the stream says them."""
    node = info.desc().child("channels").child("channel")
    found = []
    for _ in range(info.channel_count()):
        label, unit = node.child_value("label"), node.child_value("unit")
        found.append((tidy(label or ""), unit or ""))
        node = node.next_sibling("channel")
    return found
