"""The step `beats`: find the heart beats of a lead and cut a window around each."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from edge_runtime.ecg.beat import Interval, Rhythm, Template
from edge_runtime.ecg.leads import canonical_lead
from edge_runtime.ecg.qrs import QrsDetector, RPeak
from edge_runtime.ecg.rhythm.fibrillation import RunningScore
from edge_runtime.ecg.rhythm.heartbeat import HeartBeat, Wave
from edge_runtime.ecg.rhythm.irregularity import reaches
from edge_runtime.ecg.shape import shape_features
from edge_runtime.ecg.stream import SignalStream
from edge_runtime.errors import BadOptionError, ConfigError
from edge_runtime.frame import BeatMark, Frame

if TYPE_CHECKING:
    from edge_runtime.frame import Signal

_KEEP_S = 12.0  # a beat that search-back finds later than this has no window any more
_NEAR_S = 0.1  # the dominant deflection lies this close to the R peak
_TOP = 3.0  # a relative window is limited to +-3
_LEAST_MV = 0.05  # a template smaller than this does not scale


@dataclass(frozen=True, slots=True)
class _Waiting:
    peak: RPeak
    interval: Interval


class Beats:
    """One frame per beat, as soon as its window is whole.

    A frame holds (samples, channels), `beat` with the time of the R peak and the rhythm, and the
    features `rr` (8,) float32 (see `ecg.beat.RR_FEATURES`), `shape` (7,) (`ecg.shape`),
    `context`, the one after the other, and `fibrillation` (1,), how much the last 30 s look like
    it (`ecg.rhythm.fibrillation.RunningScore`; 0 where the window leaves out the P wave). There
    is no look-ahead but the window itself. The channels are the lead and, with `template`, the
    running median of the last beats and the difference from it. Beats whose window does not lie
    wholly in the stream, or in its part since a gap, are not given.

    Args:
        lead: the lead to use, by any spelling; "" for the first one.
        pre_s: window before the R peak.
        post_s: window from the R peak on.
        template: add the channels "<lead> template" and "<lead> difference".
        relative: divide the window by the template's largest deflection and limit it to +-3;
            else mV.
        flip: turn the window so that its dominant deflection is up, judged by the beat itself or
            by the template.
        memory: beats in the template.
    """

    def __init__(
        self,
        *,
        lead: str = "",
        pre_s: float = 0.4,
        post_s: float = 0.5,
        template: bool = True,
        relative: bool = True,
        flip: Literal["none", "beat", "template"] = "none",
        memory: int = 31,
    ) -> None:
        for key, value in (("pre_s", pre_s), ("post_s", post_s)):
            if not 0 < value <= 2:
                raise BadOptionError(key, "must be above 0 and at most 2 seconds")
        if not 0 < memory <= 200:
            raise BadOptionError("memory", "must be 1 to 200 beats")
        self._lead = canonical_lead(lead)
        self._pre_s, self._post_s, self._memory = pre_s, post_s, memory
        self._with_template, self._relative, self._flip = template, relative, flip
        self._stream = SignalStream()
        self._detector: QrsDetector | None = None
        self._held = np.empty(0, np.float32)  # the lead, from position `_from` on
        self._from = 0

    def __call__(self, frame: Frame) -> list[Frame]:
        """Raises FrameError for an unusable signal, ConfigError when the lead is not there."""
        made: list[Frame] = []
        if self._stream.starts_segment(frame):
            column = self._find(frame)
            made += self.flush()
            self._stream.restart()
            self._restart(frame.rate_hz or 0.0, column)
        self._stream.add(frame)
        samples = frame.data[:, self._column].astype(np.float32, copy=False)
        self._held = np.concatenate([self._held, samples])
        if self._detector is not None:
            self._take(self._detector.find(samples.astype(np.float64)))
        made += self._cut()
        self._drop()
        return made

    def flush(self) -> list[Frame]:
        """The beats that still waited for the detector's decision."""
        if self._detector is None:
            return []
        self._take(self._detector.finish())
        self._detector = None
        return self._cut()

    def _find(self, frame: Frame) -> int:
        if not self._lead:
            return 0
        there = [canonical_lead(name) for name in frame.leads]
        if self._lead not in there:
            has = ", ".join(there) or "no named lead"
            raise ConfigError(f"{frame.source}: has no lead {self._lead}; it has {has}")
        return there.index(self._lead)

    def _restart(self, rate_hz: float, column: int) -> None:
        self._column = column
        self._before = round(self._pre_s * rate_hz)
        self._length = round((self._pre_s + self._post_s) * rate_hz)
        self._keep = round(_KEEP_S * rate_hz)
        self._near = round(_NEAR_S * rate_hz)
        self._detector = QrsDetector(rate_hz)
        self._rhythm = Rhythm()
        self._template = Template(self._length, self._memory)
        self._fibrillation = RunningScore()
        self._waiting: deque[_Waiting] = deque()
        self._last_position = -1.0
        self._held, self._from = np.empty(0, np.float32), 0

    def _take(self, peaks: list[RPeak]) -> None:
        for peak in peaks:
            if peak.position > self._last_position:
                interval = self._rhythm.beat(peak.position / self._stream.rate_hz)
                self._waiting.append(_Waiting(peak, interval))
                self._last_position = peak.position

    def _cut(self) -> list[Frame]:
        made = []
        while self._waiting:
            first = self._waiting[0].peak.sample - self._before
            if first + self._length > self._stream.count:
                break
            waiting = self._waiting.popleft()
            if first >= self._from:
                at = first - self._from
                made.append(self._frame(waiting, self._held[at : at + self._length]))
        return made

    def _drop(self) -> None:
        if len(self._held) > 2 * self._keep:
            self._from += len(self._held) - self._keep
            self._held = self._held[-self._keep :].copy()
            self._stream.forget(self._from)

    def _frame(self, waiting: _Waiting, window: Signal) -> Frame:
        template = self._template.add(window)
        name = self._stream.leads[self._column] if self._stream.leads else "lead"
        columns, leads = [window], [name]
        if self._with_template:
            columns += [template, window - template]
            leads += [f"{name} template", f"{name} difference"]
        scale = 1.0
        if self._flip != "none":
            judged = window if self._flip == "beat" else template
            scale = _up(judged[max(0, self._before - self._near) : self._before + self._near])
        if self._relative:
            scale /= max(float(np.abs(template).max()), _LEAST_MV)
        data = np.stack(columns, axis=1) * np.float32(scale)
        if self._relative:
            data = np.clip(data, -_TOP, _TOP)
        timestamp_ns, _ = self._stream.dates(waiting.peak.position)
        interval = waiting.interval
        shape = shape_features(window, template, self._before, self._stream.rate_hz)
        return self._stream.make(
            data,
            waiting.peak.sample - self._before,
            leads=tuple(leads),
            features={
                "rr": interval.features,
                "shape": shape,
                "context": np.concatenate([interval.features, shape]),
                "fibrillation": self._likeness(timestamp_ns, interval.rr_s, window),
            },
            beat=BeatMark(timestamp_ns, interval.rr_s, interval.rate_bpm),
        )

    def _likeness(self, at_ns: int, rr_s: float | None, window: Signal) -> Signal:
        """(1,) how much the beats of the last 30 s look like fibrillation."""
        wave = Wave(window, self._before, self._stream.rate_hz)
        beat = HeartBeat(at_ns, rr_s, "?", wave if reaches(wave) else None)
        return np.array([self._fibrillation.beat(beat)], np.float32)


def _up(deflection: Signal) -> float:
    """1 when the largest deflection from the middle is up, else -1."""
    centred = deflection - np.median(deflection)
    return 1.0 if centred[int(np.abs(centred).argmax())] >= 0 else -1.0
