"""The loop: capture -> steps -> model -> sinks, with counters and the order of start and stop.

Monitors see every frame before the steps, every result and every change of a source's state; what
they say goes to the sinks as results of their source.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

from .capture import Capture
from .errors import EndOfStream, FrameError
from .frame import Frame, Info, Result, SourceState
from .interfaces import Monitor, Sink, Speaker, Step, notes_of
from .lane import SourceCounters
from .outcome import Outcome

log = logging.getLogger(__name__)

TAKE_TIMEOUT_S = 0.5  # how soon a stop or a change of source state is noticed when nothing comes
ROOM_POLL_S = 0.005


@dataclass(slots=True)
class Counters:
    """What a run did. `frames` were taken from the sources; `bad` were refused on the way."""

    frames: int = 0
    results: int = 0
    bad: int = 0
    sources: dict[str, SourceCounters] = field(default_factory=dict)


def _nothing() -> None:
    pass


class Pipeline:
    """One run file at work. `stop` may be set from anywhere, a signal handler included."""

    def __init__(
        self,
        *,
        capture: Capture,
        steps: Mapping[str, Sequence[Step]],
        model: Speaker,
        sinks: Sequence[Sink],
        monitors: Mapping[str, Sequence[Monitor]] = MappingProxyType({}),
        bad_frames_max: int = 10,
    ) -> None:
        self.capture = capture
        self.model = model
        self.sinks = tuple(sinks)
        self.stop = threading.Event()
        # Never set; waiting on `stop` itself would deadlock with a signal handler that sets it.
        self._pause = threading.Event()
        self.counters = Counters(
            sources={lane.source.name: lane.counters for lane in capture.lanes}
        )
        self._steps = steps
        self._monitors = monitors
        self._latest: dict[str, Frame] = {}  # of each source that has monitors
        self._bad_frames_max = bad_frames_max
        self._bad_in_a_row = 0
        self._announced: tuple[object, ...] = ()
        self._told: dict[str, SourceState] = {}  # to the monitors of each source
        self._notes: set[tuple[str, str]] = set()  # logged

    def run(self, started: Callable[[], None] = _nothing) -> Counters:
        """Run until `stop` or until every recorded source has ended; deliver; say what was done.

        `started` is called once everything is open.

        Raises whatever no component may swallow: ModelLoadError, SourceLostError of a recorded
        source, FrameError after `bad_frames_max` in a row, SinkError for undelivered results.
        """
        with ExitStack() as stack:
            for sink in self.sinks:
                stack.callback(sink.close)
                sink.open()
            stack.callback(self.model.close)
            self.model.open()
            stack.callback(self.capture.close)
            stack.callback(self.capture.stop)
            self.capture.start()
            started()
            for frame in self._frames():
                self._process(frame)
            self._flush()
            self._announce()
        return self.counters

    def _frames(self) -> Iterator[Frame]:
        """Frames until the end; after `stop`, those already captured."""
        stopping = False
        while True:
            self._announce()
            if self.stop.is_set() and not stopping:
                stopping = True
                self.capture.stop()
            try:
                frame = self.capture.take(TAKE_TIMEOUT_S)
            except EndOfStream:
                return
            if frame is not None:
                self.counters.frames += 1
                yield frame

    def _process(self, frame: Frame) -> None:
        try:
            if frame.source in self._monitors:
                self._latest[frame.source] = frame
                self._remark(frame.source, lambda monitor: monitor.frame(frame))
            for ready in self._stepped(frame, self._steps[frame.source]):
                self._infer(ready)
        except FrameError as exc:
            self._count_bad(frame.source, exc)

    def _infer(self, frame: Frame) -> None:
        try:
            result = self.model(frame)
        except FrameError as exc:
            self._count_bad(frame.source, exc)
        else:
            self._bad_in_a_row = 0
            self._publish(result)
            self._remark(frame.source, lambda monitor: monitor.result(result))

    def _remark(self, source: str, ask: Callable[[Monitor], Iterable[Outcome]]) -> None:
        """Publish what a source's monitors have to say."""
        for monitor in self._monitors.get(source, ()):
            for outcome in ask(monitor):
                self._publish(self.model.tell(outcome, self._latest[source]))

    def _stepped(self, frame: Frame, steps: Sequence[Step]) -> Iterable[Frame]:
        frames: Iterable[Frame] = (frame,)
        for step in steps:
            frames = _each(step, frames)
        return frames

    def _flush(self) -> None:
        """Give what the steps still hold, each through the steps behind it; then the monitors."""
        for steps in self._steps.values():
            for position, step in enumerate(steps):
                for held in step.flush():
                    for ready in self._stepped(held, steps[position + 1 :]):
                        self._infer(ready)
        for source in self._latest:
            self._remark(source, lambda monitor: monitor.flush())

    def _publish(self, result: Result) -> None:
        while not (self.capture.live or self.stop.is_set() or self._sinks_ready()):
            self._pause.wait(ROOM_POLL_S)
        for sink in self.sinks:
            sink.publish(result)
        self.counters.results += 1

    def _sinks_ready(self) -> bool:
        return all(sink.ready() for sink in self.sinks)

    def _count_bad(self, source: str, exc: FrameError) -> None:
        self.counters.bad += 1
        self._bad_in_a_row += 1
        if self._bad_in_a_row == 1:
            log.warning("source %s: skipped a frame: %s", source, exc)
        if self._bad_in_a_row >= self._bad_frames_max:
            raise FrameError(
                f"source {source}: {self._bad_in_a_row} unusable frames in a row; the last: {exc}"
            ) from exc

    def _announce(self) -> None:
        """Tell the sinks what runs here, when that has changed, and monitors of their source.

        A monitor hears of a state when it has seen every frame before it.
        """
        model = self.model
        update = model.turn()
        states = tuple(map(self._noted, self.capture.states()))
        if (states, model.model_info, update) != self._announced:
            self._announced = (states, model.model_info, update)
            info = Info(
                model.model_info,
                model.backend_info,
                states,
                model.manifest.task,
                model.labels,
                model.heads,
                update,
            )
            for sink in self.sinks:
                sink.announce(info)
        for state in self.capture.settled() if self._latest else ():
            if state.name in self._latest and self._told.get(state.name) != state:
                self._told[state.name] = state
                self._remark(state.name, partial(_tell, state=state))

    def _noted(self, state: SourceState) -> SourceState:
        """With what its steps have to say of their source; that is logged once."""
        notes = notes_of(self._steps[state.name])
        if not notes:
            return state
        for note in notes:
            if (state.name, note) not in self._notes:
                self._notes.add((state.name, note))
                log.warning("source %s: %s", state.name, note)
        return state._replace(detail="; ".join(filter(None, (state.detail, *notes))))


def _each(step: Step, frames: Iterable[Frame]) -> Iterator[Frame]:
    for frame in frames:
        yield from step(frame)


def _tell(monitor: Monitor, *, state: SourceState) -> Iterable[Outcome]:
    return monitor.state(state)
