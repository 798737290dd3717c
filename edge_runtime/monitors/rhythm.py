"""The monitor `rhythm`: rules over heart beats, with evidence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from edge_runtime.ecg.leads import canonical_lead
from edge_runtime.ecg.rhythm.evidence import Evidence
from edge_runtime.ecg.rhythm.heartbeat import Condition, Decision, HeartBeat, beat_class
from edge_runtime.ecg.rhythm.limits import Limits
from edge_runtime.ecg.rhythm.own_beats import BareBeat, OwnBeats
from edge_runtime.ecg.rhythm.rules import FAMILIES, rules_of
from edge_runtime.ecg.rhythm.st_segment import st_refusal
from edge_runtime.ecg.rhythm.strip import StripRing
from edge_runtime.ecg.rhythm.watch import GAP, Watch
from edge_runtime.ecg.stream import SignalStream
from edge_runtime.errors import BadOptionError, ConfigError
from edge_runtime.outcome import Beats, CannotSay, Events

if TYPE_CHECKING:
    from edge_runtime.frame import Frame, Quality, Result, SourceState
    from edge_runtime.outcome import Event, Outcome

_LAG_NS = (
    1_500_000_000  # so long after a beat it is known, but for those that search-back finds later
)
_KEEP_S = 20.0  # of signal beyond the evidence
_STEP_NS = 2_000_000_000  # a clock that moves by more than this without a gap was set
_SILENT = ("stale", "frozen", "blank", "lead-off", "flat", "clipped", "lost")


class Rhythm:
    """Rate, pauses, asystole, ventricular patterns, atrial fibrillation and ST, as events.

    It follows the beats of the model, or those of a detector of its own, and the passing of time
    by the frames. An event that is over when it is known comes once, as an onset with its end. A
    family of rules says once when, and why, it cannot judge, and once when it can again (then the
    event has its end). A gap breaks intervals, runs and counts, and is no pause. Rules wait 1.5 s
    for a beat before they call its absence. Not a medical device.

    Args:
        beats: whose beats: of the "model", or of a "detector" here (then without classes).
        lead: the lead for the detector, P waves and ST, by any spelling; "" for the first one.
        rules: the families in use; see `edge_runtime.ecg.rhythm.rules`.
        low_bpm: `brady` below this rate (mean of 12 intervals, of 4 when slow).
        high_bpm: `tachy` above it.
        extreme_low_bpm: `extreme-brady` below it over 5 beats.
        extreme_high_bpm: `extreme-tachy` above it over 17 beats.
        pause_s: `pause`, the interval from which on it is one.
        asystole_s: `asystole`, the time without a beat.
        pvc_per_minute: `pvc-frequent` above so many ventricular beats in a minute.
        vt_beats: `vt`, ventricular beats in a row.
        vt_bpm: `vt`, the rate that they exceed.
        af_enter: `af`, the score that begins it.
        af_leave: `af`, the score below which it ends.
        af_least_s: `af`, how long it must last.
        st_mv: `st`, the deviation.
        st_s: `st`, how long it must stay.
        highpass_hz: highest high-pass corner between electrode and this source, where the source
            states none; below 0 when not known. What a source states counts when it is higher.
            ST is refused above 0.05.
        calibrated: the source's millivolts are true; else ST is refused.
        latched: mark life-threatening events as standing until somebody has seen them.
        evidence_s: length of the strip that goes with an event, up to 0.15 s after its decision.
        evidence_leads: the leads in the strip; all by default.
        summary_s: seconds from `summary` to `summary`.
    """

    def __init__(
        self,
        *,
        beats: Literal["model", "detector"] = "model",
        lead: str = "",
        rules: tuple[str, ...] = FAMILIES,
        low_bpm: float = 50.0,
        high_bpm: float = 120.0,
        extreme_low_bpm: float = 40.0,
        extreme_high_bpm: float = 140.0,
        pause_s: float = 2.0,
        asystole_s: float = 4.0,
        pvc_per_minute: int = 10,
        vt_beats: int = 5,
        vt_bpm: float = 100.0,
        af_enter: float = 0.7,
        af_leave: float = 0.4,
        af_least_s: float = 30.0,
        st_mv: float = 0.1,
        st_s: float = 30.0,
        highpass_hz: float = -1.0,
        calibrated: bool = False,
        latched: bool = True,
        evidence_s: float = 10.0,
        evidence_leads: tuple[str, ...] = (),
        summary_s: float = 60.0,
    ) -> None:
        for name in rules:
            if name not in FAMILIES:
                raise BadOptionError("rules", f"'{name}' is none of {', '.join(FAMILIES)}")
        if not 0 <= evidence_s <= 60:
            raise BadOptionError("evidence_s", "must be 0 (none) to 60 seconds")
        if not 1 <= summary_s <= 3600:
            raise BadOptionError("summary_s", "must be 1 to 3600 seconds")
        self._limits = Limits(
            low_bpm,
            high_bpm,
            extreme_low_bpm,
            extreme_high_bpm,
            pause_s,
            asystole_s,
            pvc_per_minute,
            vt_beats,
            vt_bpm,
            af_enter,
            af_leave,
            af_least_s,
            st_mv,
            st_s,
        )
        self._families, self._latched, self._summary_s = rules, latched, summary_s
        self._highpass_hz, self._calibrated = highpass_hz, calibrated
        self._own, self._lead = beats == "detector", canonical_lead(lead)
        self._evidence_s = evidence_s
        self._evidence_leads = tuple(canonical_lead(name) for name in evidence_leads)
        self._stream = SignalStream()
        self._own_beats: OwnBeats | None = None
        self._end_ns: int | None = None  # of the signal so far

    def frame(self, frame: Frame) -> list[Outcome]:
        """Raises FrameError for an unusable signal, ConfigError when the lead is not there."""
        made: list[Decision] = []
        fresh = self._stream.starts_segment(frame)
        if self._end_ns is None:
            self._begin(frame)
        if fresh:
            self._column = self._find(frame)
            made += self._own_judged(self._own_beats.flush() if self._own_beats else [])
            self._stream.restart()
            self._own_beats = OwnBeats(self._stream, frame.rate_hz or 0.0) if self._own else None
        shown = self._shown(made)
        follows = self._continue(frame, shown, fresh=fresh)
        self._stream.add(frame)
        self._ring.add(frame, follows=follows)
        self._told(_condition(frame.state, frame.quality), frame.timestamp_ns)
        made = self._watch.until(frame.timestamp_ns - _LAG_NS)
        if self._own_beats is not None:
            made += self._own_judged(self._own_beats.feed(frame.data[:, self._column]))
        self._stream.forget(self._stream.count - round(_KEEP_S * self._stream.rate_hz))
        return _outcomes(shown + self._shown(made))

    def result(self, result: Result) -> list[Outcome]:
        """Takes beats, and what the model cannot say; other outcomes are not its business."""
        if self._own or self._end_ns is None:
            return []
        made: list[Decision] = []
        if isinstance(result.outcome, CannotSay):
            doubt = Condition("bad", result.outcome.reason, result.quality)
            self._doubt(doubt, result.timestamp_ns)
        elif isinstance(result.outcome, Beats):
            condition = _condition(result.state, result.quality)
            for beat in result.outcome.beats:
                self._doubt(condition, beat.timestamp_ns)
                made += self._judge(beat.timestamp_ns, beat.rr_s, beat_class(beat.label))
        return _outcomes(self._shown(made))

    def state(self, state: SourceState) -> list[Outcome]:
        """A source that gives nothing any more cannot be judged from its last sample on."""
        if self._end_ns is None or state.state not in _SILENT:
            return []
        self._told(Condition("bad", state.state), self._end_ns)
        return _outcomes(self._shown(self._watch.until(self._end_ns)))

    def flush(self) -> list[Outcome]:
        """What still waited, and the ends of what goes on."""
        if self._end_ns is None:
            return []
        made = self._own_judged(self._own_beats.flush() if self._own_beats else [])
        self._own_beats = None
        return _outcomes(self._shown(made + self._watch.finish(self._end_ns)))

    def _begin(self, frame: Frame) -> None:
        rules = rules_of(
            self._families, self._limits, latched=self._latched, summary_s=self._summary_s
        )
        self._watch = Watch(rules, self._refused(frame))
        self._ring = StripRing(self._evidence_s + _KEEP_S)
        self._evidence = Evidence(self._ring, self._evidence_s, self._evidence_leads)
        self._frames = self._results = Condition("good")  # as last told

    def _refused(self, frame: Frame) -> dict[str, str]:
        """The families that can never judge this stream, and why."""
        stated_hz = -1.0 if frame.highpass_hz is None else frame.highpass_hz
        band_hz = max(stated_hz, self._highpass_hz)
        why = {"st": st_refusal(band_hz, calibrated=self._calibrated)}
        if self._own:
            why["ventricular"] = "classes: a detector alone tells none"
        return {name: text for name, text in why.items() if text and name in self._families}

    def _find(self, frame: Frame) -> int:
        if not self._lead:
            return 0
        there = [canonical_lead(name) for name in frame.leads]
        if self._lead not in there:
            has = ", ".join(there) or "no named lead"
            raise ConfigError(f"{frame.source}: has no lead {self._lead}; it has {has}")
        return there.index(self._lead)

    def _continue(self, frame: Frame, shown: list[Event], *, fresh: bool) -> bool:
        """Tell a gap or a clock that was set back; give whether nothing is missing."""
        before_ns, at_ns = self._end_ns, frame.timestamp_ns
        self._end_ns = at_ns + round(len(frame.data) * 1e9 / (frame.rate_hz or 1.0))
        if before_ns is not None and at_ns < before_ns - _STEP_NS:
            shown += self._shown(self._watch.finish(before_ns))
            self._begin(frame)
            before_ns = None
        if before_ns is None:
            self._watch.condition(at_ns, self._frames)
            return False
        if fresh or at_ns > before_ns + _STEP_NS:
            self._watch.condition(before_ns, Condition("bad", GAP))
            self._watch.condition(max(at_ns, before_ns), self._frames)
            self._results = Condition("good")
            return False
        return True

    def _told(self, condition: Condition, at_ns: int) -> None:
        if condition != self._frames:
            self._frames = condition
            self._watch.condition(at_ns, condition)

    def _doubt(self, condition: Condition, at_ns: int) -> None:
        if condition != self._results:
            self._results = condition
            self._watch.condition(at_ns, condition)

    def _own_judged(self, beats: Iterable[BareBeat]) -> list[Decision]:
        return [made for beat in beats for made in self._judge(beat.at_ns, beat.rr_s, "N")]

    def _judge(self, at_ns: int, rr_s: float | None, label: str) -> list[Decision]:
        wave = self._ring.wave(at_ns, self._column)
        return self._watch.beat(HeartBeat(at_ns, rr_s, label, wave))

    def _shown(self, decisions: Iterable[Decision]) -> list[Event]:
        return [self._evidence.add(decision, self._column) for decision in decisions]


def _outcomes(events: list[Event]) -> list[Outcome]:
    return [Events(tuple(events))] if events else []


def _condition(state: str, quality: Quality | None) -> Condition:
    if state != "live":
        return Condition("bad", state, quality)
    if quality is None or quality.state == "good":
        return Condition("good", "", quality)
    return Condition(quality.state, ", ".join(quality.reasons) or "quality", quality)
