"""What `edge-run watch` knows of each pipeline, from the messages that it has seen."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from edge_runtime.events import Alert, Announcement, Event, Gap, ReceivedResult, Status
from edge_runtime.frame import Info
from edge_runtime.lines import outcome_text, plain

from .viewer import Sight

PIPELINES_MAX = 1000  # more are not listed: whoever may publish could invent any number
ALERTS_MAX = 8  # of one pipeline
LAST_MAX = 200  # events, for the list below the table
RATE_S = 5  # whole seconds over which results are counted


class Rate:
    """Results per second, over the last whole seconds."""

    def __init__(self) -> None:
        self._counts: deque[list[int]] = deque(maxlen=RATE_S + 1)  # second, results in it
        self._first_s = 0

    def count(self, time_ns: int) -> None:
        """A result came."""
        second = time_ns // 1_000_000_000
        if not self._counts or self._counts[-1][0] != second:
            self._first_s = self._first_s or second
            self._counts.append([second, 0])
        self._counts[-1][1] += 1

    def at(self, now_ns: int) -> float:
        """The rate now; the second that has just begun is left out."""
        now_s = now_ns // 1_000_000_000
        seconds = min(RATE_S, max(1, now_s - self._first_s))
        return sum(n for second, n in self._counts if now_s - seconds <= second < now_s) / seconds


@dataclass(slots=True)
class Pipeline:
    """One line of the table. Counts are of what was seen, not of what there ever was."""

    status: str = "?"
    model: str = ""
    backend: str = ""
    degraded: str = ""
    troubles: tuple[str, ...] = ()  # sources that are not live
    alerts: dict[str, str] = field(default_factory=dict)  # kind: text; not cleared yet
    results: int = 0
    historical: int = 0
    repeats: int = 0
    lost: int = 0  # results that gaps told of
    rate: Rate = field(default_factory=Rate)
    last: ReceivedResult | None = None
    last_ns: int = 0  # when it came

    @property
    def last_text(self) -> str:
        """What the last result says."""
        return outcome_text(self.last.outcome) if self.last else ""

    @property
    def notes(self) -> list[str]:
        """What is not as it should be, a line each."""
        degraded = [f"degraded: {self.degraded}"] if self.degraded else []
        alerts = [f"{kind}: {text}" for kind, text in self.alerts.items()]
        return [plain(note) for note in (*degraded, *self.troubles, *alerts)]


class Overview:
    """Every pipeline that was heard of, and the last events."""

    def __init__(self) -> None:
        self.pipelines: dict[str, Pipeline] = {}  # by "device/pipeline"
        self.unlisted = 0  # messages of pipelines beyond PIPELINES_MAX
        self.last: deque[Event] = deque(maxlen=LAST_MAX)
        self.rate = Rate()

    def note(self, sight: Sight) -> None:
        """Take what was seen."""
        event = sight.event
        if event is None:
            return
        name = plain(f"{event.device}/{event.pipeline}")
        pipeline = self.pipelines.get(name)
        if pipeline is None:
            if len(self.pipelines) >= PIPELINES_MAX:
                self.unlisted += 1
                return
            pipeline = self.pipelines[name] = Pipeline()
        if sight.repeat:
            pipeline.repeats += 1
            return
        if isinstance(event, ReceivedResult):
            self.rate.count(sight.arrival.time_ns)
            _result(pipeline, event, sight.arrival.time_ns)
        elif isinstance(event, Status):
            pipeline.status = event.state
            return
        elif isinstance(event, Announcement):
            _announcement(pipeline, event)
            return
        elif isinstance(event, Gap):
            pipeline.lost += event.count
        else:
            _alert(pipeline, event)
        self.last.append(event)


def _result(pipeline: Pipeline, result: ReceivedResult, time_ns: int) -> None:
    _runs(pipeline, result)
    pipeline.results += 1
    pipeline.historical += result.historical
    pipeline.rate.count(time_ns)
    pipeline.last, pipeline.last_ns = result, time_ns


def _announcement(pipeline: Pipeline, told: Announcement) -> None:
    _runs(pipeline, told.info)
    pipeline.troubles = tuple(
        f"source {source.name} {source.state}" + (f": {source.detail}" if source.detail else "")
        for source in told.info.sources
        if source.state not in ("live", "ended")
    )


def _runs(pipeline: Pipeline, teller: ReceivedResult | Info) -> None:
    pipeline.model = plain(f"{teller.model.name} {teller.model.version}")
    pipeline.backend = plain(f"{teller.backend.kind}/{teller.backend.delegate}")
    pipeline.degraded = teller.backend.degraded


def _alert(pipeline: Pipeline, alert: Alert) -> None:
    pipeline.alerts.pop(alert.kind, None)
    if not alert.cleared and len(pipeline.alerts) < ALERTS_MAX:
        pipeline.alerts[alert.kind] = alert.text
