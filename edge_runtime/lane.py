"""One source: read, judged, reopened when it is lost, its frames in a bounded mailbox.

A live source drops its oldest waiting frame when the pipeline is slow, and counts it; a recorded
one waits. A lost live source is closed and reopened with capped exponential back-off and jitter.
One that is open and silent is stale. A source's health judges every frame where it is read: what
is not usable goes no further.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from dataclasses import dataclass

from .errors import EndOfStream, FrameError, LeadOffError, SourceLostError
from .frame import FLOWING, Frame, SourceState
from .interfaces import Health, Source

log = logging.getLogger(__name__)

READ_TIMEOUT_S = 0.25  # how soon a stop is noticed by a source that gives nothing


@dataclass(slots=True)
class SourceCounters:
    """What became of one source's frames."""

    read: int = 0  # frames that the source gave
    dropped: int = 0  # frames pushed out of a full mailbox
    bad: int = 0  # reads that raised FrameError
    unusable: int = 0  # frames that the source's health kept back
    reopened: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of every lane; see config.CaptureConfig for what they mean."""

    mailbox: int = 4
    backoff_s: float = 0.5
    backoff_max_s: float = 30.0
    bad_frames_max: int = 10
    stale_s: float = 2.0


_USUAL = 3.0  # a source is not stale within so many of its own last intervals


class Lane:
    """One source: its thread, mailbox, counters and state."""

    def __init__(
        self,
        source: Source,
        limits: Limits,
        changed: threading.Condition,
        health: Health | None = None,
    ) -> None:
        self.source = source
        self._health = health
        self._last_s = 0.0  # when the last frame came
        self._interval_s = 0.0
        self.counters = SourceCounters()
        self.state = SourceState(source.name, "opening")
        self.mailbox: deque[Frame] = deque()
        self.error: BaseException | None = None
        self.ended = False
        self._limits = limits
        self._changed = changed
        self._stop = threading.Event()
        self._bad_in_a_row = 0
        self._attempt = 0
        self._thread = threading.Thread(
            target=self._run, name=f"capture-{source.name}", daemon=True
        )

    def start(self) -> None:
        """Open and read in a thread of its own."""
        self._thread.start()

    def open(self) -> None:
        """Open in the caller's thread."""
        self.source.open()
        if self._health:
            self._health.restart()
        self._last_s, self._interval_s = time.monotonic(), 0.0
        self._enter("live")

    def read(self, timeout_s: float) -> Frame | None:
        """The next usable frame, or None. Raises EndOfStream, SourceLostError, FrameError."""
        try:
            frame = self.source.read(timeout_s)
        except LeadOffError as exc:
            if self._health:
                self._health.restart()
            self._enter("lead-off", str(exc))
            return None
        except FrameError as exc:
            self._count_bad(exc)
            return None
        except EndOfStream:
            self._enter("ended")
            raise
        if frame is None:
            self._notice_silence()
            return None
        self._bad_in_a_row = self._attempt = 0
        self.counters.read += 1
        return self._judged(frame)

    def _judged(self, frame: Frame) -> Frame | None:
        """The frame with its source's state on it; None when nothing may be made of it."""
        now_s = time.monotonic()
        self._interval_s, self._last_s = now_s - self._last_s, now_s
        if self._health is None:
            self._enter("live")
            return frame
        verdict = self._health(frame)
        self._enter(verdict.state, verdict.detail)
        if not verdict.usable:
            self.counters.unusable += 1
            return None
        return frame if verdict.state == "live" else frame._replace(state=verdict.state)

    def _notice_silence(self) -> None:
        limit_s = max(self._limits.stale_s, _USUAL * self._interval_s)
        if not self.source.live or not self._limits.stale_s or self.state.state not in FLOWING:
            return
        if time.monotonic() - self._last_s > limit_s:
            self._enter("stale", f"open, but silent for more than {limit_s:.1f} s")

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    def stop(self) -> None:
        self._stop.set()
        with self._changed:
            self._changed.notify_all()

    def join(self, timeout_s: float) -> None:
        if self._thread.ident is None:
            return
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            log.warning("source %s does not return from read(): left behind", self.source.name)

    def _run(self) -> None:
        try:
            self._feed()
        except BaseException as exc:  # noqa: BLE001 - kept, and raised by take() in the main thread
            self.error = exc
        finally:
            self.source.close()
            with self._changed:
                self.ended = True
                self._changed.notify_all()

    def _feed(self) -> None:
        while not self.stopped:
            try:
                self.open()
                while not self.stopped:
                    frame = self.read(READ_TIMEOUT_S)
                    if frame is not None:
                        self._post(frame)
            except EndOfStream:
                return
            except SourceLostError as exc:
                if not self.source.live:
                    raise
                self.source.close()
                self._back_off(exc)

    def _post(self, frame: Frame) -> None:
        with self._changed:
            if len(self.mailbox) >= self._limits.mailbox:
                if self.source.live:
                    self.mailbox.popleft()
                    self.counters.dropped += 1
                else:
                    self._changed.wait_for(self._has_room)
            self.mailbox.append(frame)
            self._changed.notify_all()

    def _has_room(self) -> bool:
        return len(self.mailbox) < self._limits.mailbox or self._stop.is_set()

    def _count_bad(self, exc: FrameError) -> None:
        self.counters.bad += 1
        self._bad_in_a_row += 1
        if self._bad_in_a_row == 1:
            log.warning("source %s: skipped a frame: %s", self.source.name, exc)
        if self._bad_in_a_row < self._limits.bad_frames_max:
            return
        rows = f"{self._bad_in_a_row} unusable frames in a row; the last: {exc}"
        if self.source.live:
            self._bad_in_a_row = 0
            raise SourceLostError(rows) from exc
        raise FrameError(f"source {self.source.name}: {rows}") from exc

    def _back_off(self, exc: SourceLostError) -> None:
        longest = min(self._limits.backoff_s * 2**self._attempt, self._limits.backoff_max_s)
        delay_s = longest * random.uniform(0.5, 1.0)
        self._attempt = min(self._attempt + 1, 32)
        if self.state.detail != str(exc):
            log.warning("source %s is lost: %s; trying again", self.source.name, exc)
        self._enter("lost", str(exc))
        self.counters.reopened += 1
        self._stop.wait(delay_s)

    def _enter(self, state: str, detail: str = "") -> None:
        before = self.state
        if (before.state, before.detail) == (state, detail):
            return
        if state in FLOWING:
            if before.state not in (*FLOWING, "opening"):
                log.warning("source %s is back after: %s", self.source.name, before.state)
        elif state not in ("lost", "ended") and state != before.state:
            log.warning("source %s: %s: %s", self.source.name, state, detail)
        with self._changed:
            self.state = SourceState(self.source.name, state, detail)
            self._changed.notify_all()
