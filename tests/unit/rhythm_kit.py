"""Beats of a script, as rules take them and as signals that hold them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from edge_runtime.ecg.rhythm.heartbeat import Condition, Decision, HeartBeat
from edge_runtime.ecg.rhythm.limits import Limits
from edge_runtime.ecg.rhythm.rules import FAMILIES, rules_of
from edge_runtime.ecg.rhythm.watch import Watch
from edge_runtime.ecg.synthetic import Noise, Player, SyntheticBeat, SyntheticEcg
from edge_runtime.frame import BackendInfo, Frame, Latency, ModelInfo, Quality, Result
from edge_runtime.monitors.rhythm import Rhythm
from edge_runtime.outcome import Beat, Beats, CannotSay, Event, Events, Outcome

RATE_HZ = 250.0
START_NS = 1_700_000_000_000_000_000
DECIDED_S = 0.6  # a beat's result comes so long after its R peak


def s(event_ns: int | None) -> float:
    """Seconds since the start."""
    assert event_ns is not None
    return round((event_ns - START_NS) / 1e9, 6)


def times(intervals: Iterable[float], first_s: float = 1.0) -> list[float]:
    return list(accumulate(intervals, initial=first_s))


def watch(**limits: float) -> Watch:
    """All rules but ST and summaries, on a good signal from START_NS on."""
    families = [name for name in FAMILIES if name not in ("st", "summary")]
    made = Watch(rules_of(families, Limits(**limits)), {})
    made.condition(START_NS, Condition("good"))
    return made


def beats(times_s: Sequence[float], labels: str) -> Iterator[HeartBeat]:
    """One beat per time; the labels are repeated."""
    last = None
    for index, at_s in enumerate(times_s):
        rr_s = None if last is None else at_s - last
        yield HeartBeat(START_NS + round(at_s * 1e9), rr_s, labels[index % len(labels)])
        last = at_s


def events(
    times_s: Sequence[float], labels: str = "N", until_s: float = 0.0, **limits: float
) -> list[Event]:
    """What the rules say of these beats, up to a time after them."""
    rules = watch(**limits)
    made: list[Decision] = []
    for beat in beats(times_s, labels):
        made += rules.beat(beat)
    made += rules.until(START_NS + round(until_s * 1e9))
    return [decision.event for decision in made]


def named(found: Iterable[Event], name: str, phase: str = "onset") -> list[Event]:
    return [event for event in found if (event.name, event.phase) == (name, phase)]


@dataclass(frozen=True, slots=True)
class ScriptedEcg(SyntheticEcg):
    """A synthetic ECG whose beats are given."""

    script: tuple[tuple[float, str], ...] = ()

    def beats(self) -> tuple[SyntheticBeat, ...]:
        made = []
        last = self.script[0][0] - 0.8 if self.script else 0.0
        for at_s, label in self.script:
            made.append(SyntheticBeat(label, at_s, at_s - last, 1.0))
            last = at_s
        return tuple(made)


def signal(
    times_s: Sequence[float], labels: str, seconds: float, rate_hz: float = RATE_HZ
) -> np.ndarray:
    """(samples, 1) float32 in mV with these beats and a little noise."""
    script = tuple((at, labels[index % len(labels)]) for index, at in enumerate(times_s))
    noise = Noise(baseline_mv=0.05, muscle_mv=0.01)
    player = Player(ScriptedEcg(rate_hz, seconds, noise=noise, script=script))
    return player.next(round(seconds * rate_hz)).astype(np.float32)[:, None]


def frames(
    samples: np.ndarray, sizes: Sequence[int], gaps: Sequence[tuple[float, float]] = ()
) -> Iterator[Frame]:
    """Frames of these sizes, in turn; samples inside a gap (from, to; seconds) are missing."""
    at, seq, turn = 0, 0, 0
    holes = [(round(low * RATE_HZ), round(high * RATE_HZ)) for low, high in gaps]
    edges = [edge for hole in holes for edge in hole]
    while at < len(samples):
        stop = at + sizes[turn % len(sizes)]
        stop = min([stop, len(samples), *(edge for edge in edges if edge > at)])
        if any(low <= at < high for low, high in holes):
            seq += 1
        else:
            ns = round(at * 1e9 / RATE_HZ)
            part = samples[at:stop]
            yield Frame(part, START_NS + ns, ns, seq, "chest", RATE_HZ, ("MLII",))
        at, seq, turn = stop, seq + 1, turn + 1


def result(frame: Frame, outcome: Outcome, quality: Quality | None = None) -> Result:
    return Result(
        "id",
        frame.source,
        frame.seq,
        outcome.beats[0].timestamp_ns if isinstance(outcome, Beats) else frame.timestamp_ns,
        frame.monotonic_ns,
        ModelInfo("m", "1", ""),
        BackendInfo("none", "cpu"),
        Latency(0, 0, 0, 0),
        outcome,
        quality=quality,
    )


def beat_result(frame: Frame, beat: HeartBeat, quality: Quality | None = None) -> Result:
    marked = Beat(0, beat.label, 1.0, beat.at_ns, beat.rr_s, None)
    return result(frame, Beats((marked,)), quality)


def monitored(
    monitor: Rhythm, stream: Iterable[Frame], script: Iterable[HeartBeat] = ()
) -> list[Event]:
    """Everything that a monitor says of a stream, whose beats come a while after they stand in it.

    Beats in a gap, and intervals across one, are left out, as the step `beats` does.
    """
    made: list[Event] = []
    waiting, last_end_ns, broken = list(script), None, False
    for frame in stream:
        made += told(monitor.frame(frame))
        if last_end_ns is not None and frame.timestamp_ns > last_end_ns + 1_000_000:
            lost = [b for b in waiting if last_end_ns <= b.at_ns < frame.timestamp_ns]
            held = [b for b in waiting if b.at_ns < last_end_ns]
            for beat in held:
                made += told(monitor.result(beat_result(frame, beat)))
            waiting = waiting[len(held) + len(lost) :]
            broken = True
        last_end_ns = frame.timestamp_ns + round(len(frame.data) * 1e9 / RATE_HZ)
        while waiting and waiting[0].at_ns <= last_end_ns - DECIDED_S * 1e9:
            beat = waiting.pop(0)._replace(**({"rr_s": None} if broken else {}))
            broken = False
            made += told(monitor.result(beat_result(frame, beat)))
    return made + told(monitor.flush())


def told(outcomes: Iterable[Outcome]) -> list[Event]:
    made: list[Event] = []
    for outcome in outcomes:
        assert isinstance(outcome, Events)
        made += outcome.events
    return made


def unsure(frame: Frame, reason: str) -> Result:
    return result(frame, CannotSay(reason), Quality("bad", None, (reason,)))
