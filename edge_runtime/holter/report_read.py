"""Read a record for a report: through the quality step, the model or detector, and the rules.

The record is read twice: once for what is in it, once for the pieces of signal that are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime import __version__, build, config, registry, shipped
from edge_runtime.config import ModelConfig
from edge_runtime.ecg.leads import canonical_lead
from edge_runtime.ecg.rhythm.rules import FAMILIES
from edge_runtime.errors import ConfigError
from edge_runtime.frame import BackendInfo, Frame, Latency, ModelInfo, Result
from edge_runtime.manifest import Manifest
from edge_runtime.model import Model
from edge_runtime.monitors.rhythm import Rhythm
from edge_runtime.outcome import Beat, Beats, CannotSay, Event, Events
from edge_runtime.preprocess.quality import QualityStep
from edge_runtime.replay.recording import Wanted, frames_of, source_of

from .detect import model_lead
from .report_study import Facts, Overview, SeenBeat, Span, Study

if TYPE_CHECKING:
    from edge_runtime.frame import Signal
    from edge_runtime.interfaces import Monitor, Step
    from edge_runtime.outcome import Outcome

PREFERRED = ("MLII", "II")  # of several leads, the one that beats are looked for in
COLUMNS_S = 0.05  # of the overview: 1200 columns a minute
LEADS_SHOWN = 2
_DETECTOR = ModelInfo("detector", __version__, "")
_NO_LATENCY = Latency(0.0, 0.0, 0.0, 0.0)

Name = Callable[[Frame], Result]


@dataclass(slots=True)
class Window:
    """A piece of the signal to be shown; `data` is filled by `collect`."""

    begin_s: float
    end_s: float
    data: Signal | None = None  # (samples, leads) in mV, nan where there is none
    leads: tuple[str, ...] = field(default=())
    rate_hz: float = 0.0


def examine(wanted: Wanted, model: str) -> Study:
    """Read a record; `model` is a directory or a shipped model's name, "" for none.

    Raises ConfigError, FrameError, ModelLoadError.
    """
    leads = _leads(wanted)
    if not model:
        step: Step = registry.find("step", "beats")(template=False, relative=False)
        return _read(wanted, leads, [step], _by_detector)
    path = shipped.resolve(model)
    manifest, candidates = build.candidates(ModelConfig(path=path))
    taken = model_lead(manifest)
    if taken and canonical_lead(taken) != canonical_lead(leads[0]):
        raise ConfigError(
            f"{wanted.record}: model {manifest.name} takes lead {taken}, beats would be looked for "
            f"in {leads[0]}: give another --model, or --model none"
        )
    if not (path / "run.toml").is_file():
        raise ConfigError(f"{path}: has no run.toml that says which steps make its input")
    steps = build.steps(config.load(path / "run.toml"))
    ready = Model(
        manifest=manifest,
        candidates=candidates,
        prepare=build.prepare,
        postprocess=build.postprocess,
    )
    with closing(ready):
        ready.open()
        return _read(wanted, leads, steps, ready, _described(manifest, ready))


def collect(wanted: Wanted, study: Study, windows: Sequence[Window]) -> None:
    """Fill windows with the signal, in one pass; no more is held than they need."""
    waiting = sorted(windows, key=lambda window: window.begin_s)
    leads = study.facts.leads[:LEADS_SHOWN]
    start_ns = -1  # a record without a date begins whenever it is opened
    for frame in frames_of(source_of(wanted)):
        start_ns = frame.timestamp_ns if start_ns < 0 else start_ns
        begin_s = (frame.timestamp_ns - start_ns) / 1e9
        end_s = begin_s + len(frame.data) / study.facts.rate_hz
        while waiting and waiting[0].end_s <= begin_s:
            waiting.pop(0)
        if not waiting:
            return
        columns = [frame.leads.index(lead) for lead in leads]
        for window in waiting:
            if window.begin_s >= end_s:
                break
            _copy(window, begin_s, frame, columns)


def _copy(window: Window, begin_s: float, frame: Frame, columns: list[int]) -> None:
    rate_hz = frame.rate_hz or 0.0
    if window.data is None:
        length = round((window.end_s - window.begin_s) * rate_hz)
        window.data = np.full((length, len(columns)), np.nan, np.float32)
        window.leads = tuple(frame.leads[column] for column in columns)
        window.rate_hz = rate_hz
    at = round((begin_s - window.begin_s) * rate_hz)
    first, last = max(0, -at), min(len(frame.data), len(window.data) - at)
    if first < last:
        window.data[at + first : at + last] = frame.data[first:last][:, columns]


def _leads(wanted: Wanted) -> tuple[str, ...]:
    """All leads, first the one that beats are looked for in. Raises ConfigError."""
    first = next(frames_of(source_of(wanted)), None)
    if first is None or first.data.ndim != 2 or not first.leads:
        raise ConfigError(f"{wanted.record}: holds no signal with named leads")
    names = {canonical_lead(lead): lead for lead in reversed(first.leads)}
    for lead in wanted.leads:
        if canonical_lead(lead) not in names:
            raise ConfigError(
                f"{wanted.record}: has no lead {lead}; it has {', '.join(first.leads)}"
            )
    asked = [*map(canonical_lead, wanted.leads), *PREFERRED]
    chosen = next((names[lead] for lead in asked if lead in names), first.leads[0])
    return (chosen, *(lead for lead in first.leads if lead != chosen))


def _read(
    wanted: Wanted, leads: tuple[str, ...], steps: Sequence[Step], name: Name, model: str = ""
) -> Study:
    """The first pass; beats are looked for in the first of the leads."""
    lead = leads[0]
    monitor = Rhythm(
        beats="model" if model else "detector",
        rules=tuple(family for family in FAMILIES if family != "summary"),
        evidence_s=0.0,
    )
    study = Study(Facts(wanted.record, leads, 0.0, 0.0, lead, model, __version__, ()))
    study.overview = Overview(COLUMNS_S)
    quality = QualityStep()
    rate_hz, end_s = 0.0, 0.0
    beats: list[Beat] = []
    for frame in frames_of(source_of(wanted)):
        if not rate_hz:
            study.start_ns, rate_hz = frame.timestamp_ns, frame.rate_hz or 0.0
        column = frame.leads.index(lead)
        single = frame._replace(
            data=np.ascontiguousarray(frame.data[:, column : column + 1]), leads=(lead,)
        )
        begin_s = study.since(frame.timestamp_ns)
        if begin_s > end_s + 0.5 / rate_hz:
            study.quality.append(Span(end_s, begin_s, "missing"))
        end_s = begin_s + len(frame.data) / rate_hz
        study.overview.add(round(begin_s * rate_hz), single.data[:, 0], rate_hz)
        for judged in quality(single):
            _grade(study, judged, rate_hz)
            _watch(study, monitor.frame(judged))
            _name(study, monitor, _through([judged], steps), name, beats)
    for position, step in enumerate(steps):
        _name(study, monitor, _through(step.flush(), steps[position + 1 :]), name, beats)
    _watch(study, monitor.flush())
    study.beats = [SeenBeat(study.since(b.timestamp_ns), b.label, b.rr_s) for b in beats]
    rules = tuple(sorted({event.rule for event in study.events}))
    study.facts = Facts(wanted.record, leads, rate_hz, end_s, lead, model, __version__, rules)
    return study


def _name(
    study: Study, monitor: Monitor, frames: Iterable[Frame], name: Name, beats: list[Beat]
) -> None:
    for frame in frames:
        result = name(frame)
        if isinstance(result.outcome, Beats):
            beats += result.outcome.beats
        elif isinstance(result.outcome, CannotSay) and frame.beat is not None:
            mark = frame.beat
            beats.append(Beat(-1, "?", 0.0, mark.timestamp_ns, mark.rr_s, mark.rate_bpm))
        _watch(study, monitor.result(result))


def _by_detector(frame: Frame) -> Result:
    """Where a beat is, without a class."""
    mark = frame.beat
    found = (
        () if mark is None else (Beat(-1, "", 1.0, mark.timestamp_ns, mark.rr_s, mark.rate_bpm),)
    )
    return Result(
        id="",
        source=frame.source,
        seq=frame.seq,
        timestamp_ns=frame.timestamp_ns,
        monotonic_ns=frame.monotonic_ns,
        model=_DETECTOR,
        backend=BackendInfo("none", "none"),
        latency_ms=_NO_LATENCY,
        outcome=Beats(found),
        state=frame.state,
        quality=frame.quality,
    )


def _grade(study: Study, frame: Frame, rate_hz: float) -> None:
    """Append a frame's quality to the timeline."""
    if frame.quality is None:
        return
    begin_s = study.since(frame.timestamp_ns)
    end_s = begin_s + len(frame.data) / rate_hz
    last = study.quality[-1] if study.quality else None
    if last is not None and last.state == frame.quality.state and begin_s - last.end_s < 0.01:
        study.quality[-1] = last._replace(end_s=end_s)
    else:
        study.quality.append(Span(begin_s, end_s, frame.quality.state))


def _watch(study: Study, outcomes: Iterable[Outcome]) -> None:
    for outcome in outcomes:
        if isinstance(outcome, Events):
            study.events += [_without_evidence(event) for event in outcome.events]


def _without_evidence(event: Event) -> Event:
    """Strips are cut from the record again: those of every event would be held for hours."""
    return event._replace(evidence=None)


def _through(frames: Iterable[Frame], steps: Sequence[Step]) -> Iterator[Frame]:
    for step in steps:
        frames = _each(step, frames)
    return iter(frames)


def _each(step: Step, frames: Iterable[Frame]) -> Iterator[Frame]:
    for frame in frames:
        yield from step(frame)


def _described(manifest: Manifest, model: Model) -> str:
    info, backend = model.model_info, model.backend_info
    return (
        f"{manifest.name} {info.version} ({info.sha256[:16]}) on {backend.kind}/{backend.delegate}"
    )
