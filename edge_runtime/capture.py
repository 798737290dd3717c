"""Sources into one stream: a lane for each, with a thread of its own, taken in turn.

A lane keeps whatever ended its thread; `take` raises that in the caller's thread.

A recorded source that is alone needs no thread, for nobody waits beside it: it is read where its
frames are used, which spares the hand-over of every frame from one core to another.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from .errors import EndOfStream
from .frame import Frame, SourceState
from .interfaces import Health, Source
from .lane import Lane, Limits


class Capture:
    """All sources of a pipeline."""

    def __init__(
        self,
        sources: Sequence[Source],
        limits: Limits,
        healths: Mapping[str, Health] = MappingProxyType({}),  # by source
    ) -> None:
        self._changed = threading.Condition()
        self.lanes = tuple(
            Lane(source, limits, self._changed, healths.get(source.name)) for source in sources
        )
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

    def settled(self) -> tuple[SourceState, ...]:
        """The states of the sources of which no frame waits."""
        with self._changed:
            return tuple(lane.state for lane in self.lanes if not lane.mailbox)

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
