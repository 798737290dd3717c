"""Sources into one stream: a thread and a bounded mailbox for each, taken in turn.

A live source drops its oldest waiting frame when the pipeline is slow, and counts it; a recorded
one waits. A lost live source is closed and reopened with capped exponential back-off and jitter.
A thread keeps whatever ended it; `take` raises that in the caller's thread.

A recorded source that is alone needs no thread, for nobody waits beside it: it is read where its
frames are used, which spares the hand-over of every frame from one core to another.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import EndOfStream, FrameError, LeadOffError, SourceLostError
from .frame import Frame, SourceState
from .interfaces import Source

log = logging.getLogger(__name__)

READ_TIMEOUT_S = 0.25  # how soon a stop is noticed by a source that gives nothing


@dataclass(slots=True)
class SourceCounters:
    """What became of one source's frames."""

    read: int = 0  # frames that the source gave
    dropped: int = 0  # frames pushed out of a full mailbox
    bad: int = 0  # reads that raised FrameError
    reopened: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of every lane; see config.CaptureConfig for what they mean."""

    mailbox: int = 4
    backoff_s: float = 0.5
    backoff_max_s: float = 30.0
    bad_frames_max: int = 10


class Lane:
    """One source: its thread, mailbox, counters and state."""

    def __init__(self, source: Source, limits: Limits, changed: threading.Condition) -> None:
        self.source = source
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
        self._enter("live")

    def read(self, timeout_s: float) -> Frame | None:
        """One read: counts what it gives. Raises EndOfStream, SourceLostError, FrameError."""
        try:
            frame = self.source.read(timeout_s)
        except LeadOffError as exc:
            self._enter("lead-off", str(exc))
            return None
        except FrameError as exc:
            self._count_bad(exc)
            return None
        except EndOfStream:
            self._enter("ended")
            raise
        if frame is not None:
            self._bad_in_a_row = self._attempt = 0
            self.counters.read += 1
            if self.state.state == "lead-off":
                self._enter("live")
        return frame

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
        if self._bad_in_a_row >= self._limits.bad_frames_max:
            raise FrameError(
                f"source {self.source.name}: {self._bad_in_a_row} unusable frames in a row; "
                f"the last: {exc}"
            ) from exc

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
        if self.state.state in ("lost", "lead-off") and state == "live":
            log.warning("source %s is back", self.source.name)
        elif state == "lead-off":
            log.warning("source %s: %s", self.source.name, detail)
        with self._changed:
            self.state = SourceState(self.source.name, state, detail)
            self._changed.notify_all()


class Capture:
    """All sources of a pipeline."""

    def __init__(self, sources: Sequence[Source], limits: Limits) -> None:
        self._changed = threading.Condition()
        self.lanes = tuple(Lane(source, limits, self._changed) for source in sources)
        self.live = any(source.live for source in sources)
        self._alone = None if self.live or len(sources) > 1 else self.lanes[0]
        self._turn = 0

    def start(self) -> None:
        if self._alone:
            self._alone.open()
            return
        for lane in self.lanes:
            lane.start()

    def stop(self) -> None:
        """Stop reading; frames already in the mailboxes can still be taken."""
        for lane in self.lanes:
            lane.stop()

    def close(self, timeout_s: float = 5.0) -> None:
        """Wait for the threads, and close every source."""
        if self._alone:
            self._alone.source.close()
        for lane in self.lanes:
            lane.join(timeout_s)

    def states(self) -> tuple[SourceState, ...]:
        return tuple(lane.state for lane in self.lanes)

    def take(self, timeout_s: float) -> Frame | None:
        """The next frame of the next source in turn; None when there was none in time.

        Raises EndOfStream when every source has ended, and what ended a source's thread.
        """
        if self._alone:
            if self._alone.stopped:
                raise EndOfStream
            return self._alone.read(timeout_s)
        with self._changed:
            self._raise_errors()
            frame = self._next()
            if frame is None:
                if all(lane.ended for lane in self.lanes):
                    raise EndOfStream
                self._changed.wait(timeout_s)
                frame = self._next()
        return frame

    def _next(self) -> Frame | None:
        for offset in range(len(self.lanes)):
            lane = self.lanes[(self._turn + offset) % len(self.lanes)]
            if lane.mailbox:
                self._turn = (self._turn + offset + 1) % len(self.lanes)
                frame = lane.mailbox.popleft()
                if not lane.source.live:
                    self._changed.notify_all()
                return frame
        return None

    def _raise_errors(self) -> None:
        """What ended a thread, once its own frames are taken; other sources may go on for ever."""
        for lane in self.lanes:
            if lane.error is not None and not lane.mailbox:
                error, lane.error = lane.error, None
                raise error
