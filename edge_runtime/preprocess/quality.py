"""The step `quality`: say of every sample how far the signal before it can be trusted."""

from __future__ import annotations

from typing import Literal

import numpy as np

from edge_runtime.ecg.leads import canonical_lead
from edge_runtime.ecg.quality import SETTLING, QualityMeter, worse
from edge_runtime.ecg.quality_model import QualitySettings
from edge_runtime.ecg.stream import SignalStream
from edge_runtime.errors import BadOptionError, ConfigError
from edge_runtime.frame import Frame


class QualityStep:
    """The same signal, each frame with the quality of one lead over the last 10 s.

    The score is the calibrated probability that the heart rate of those 10 s is right within
    5 bpm and the beats agree with the truth. States: "good"; "limited": for the rate only; "bad":
    for nothing. Reasons: "noise", "flat"; "masked" for noise so large that it may pass for beats,
    bad whatever the score; "clipped", "baseline" and "mains" for shapes that cannot be trusted;
    "settling" for the first 10 s and those after a gap; "no-beats" and "fibrillation-like" for a
    rate that is not there in a signal that may be sound.

    Nothing is delayed. A judgement is made every second and holds until the next, so that it is
    up to 1 s old; a frame that the second ends in is cut there. Put this step before `bandpass`,
    which would hide the baseline. Two of them judge two leads: the worse judgement stands.

    Args:
        lead: the lead to judge, by any spelling; "" for the first one.
        good: from this score on the state is good.
        bad: below this score it is bad.
        margin: a state becomes better only when its limit is exceeded by this.
        mains_hz: where to look for hum, 50 or 60; 0 looks at both.
    """

    delay_s = 0.0
    highpass_hz = 0.0

    def __init__(
        self,
        *,
        lead: str = "",
        good: float = 0.7,
        bad: float = 0.5,
        margin: float = 0.1,
        mains_hz: Literal[0, 50, 60] = 0,
    ) -> None:
        if not 0 < good < 1:
            raise BadOptionError("good", "must be between 0 and 1")
        if not 0 < bad <= good:
            raise BadOptionError("bad", f"must be above 0 and at most good = {good:g}")
        if not 0 <= margin < 1 - good:
            raise BadOptionError("margin", f"must be 0 or more, and below 1 - good = {1 - good:g}")
        self._lead, self._column = canonical_lead(lead), 0
        self._settings = QualitySettings(good=good, bad=bad, margin=margin, mains_hz=mains_hz)
        self._stream = SignalStream()
        self._quality = SETTLING

    def __call__(self, frame: Frame) -> list[Frame]:
        """Raises FrameError for an unusable signal, ConfigError when the lead is not there."""
        if self._stream.starts_segment(frame):
            self._column = self._find(frame)
            self._stream.restart()
            self._meter = QualityMeter(frame.rate_hz or 0.0, self._settings)
            self._quality = SETTLING
        start = self._stream.count
        self._stream.add(frame)
        made, at = [], 0
        for judgement in self._meter.feed(frame.data[:, self._column].astype(np.float64)):
            cut = judgement.position - start
            made.append(self._stamped(frame, start, at, cut))
            self._quality, at = judgement.quality, cut
        if at < len(frame.data):
            made.append(self._stamped(frame, start, at, len(frame.data)))
        self._stream.forget(self._stream.count)
        return made

    def flush(self) -> list[Frame]:
        """Nothing is held."""
        return []

    def _stamped(self, frame: Frame, start: int, at: int, end: int) -> Frame:
        made = self._stream.make(frame.data[at:end], start + at)
        quality = worse(made.quality, self._quality) if made.quality else self._quality
        return made._replace(quality=quality, features=frame.features, beat=frame.beat)

    def _find(self, frame: Frame) -> int:
        if not self._lead:
            return 0
        there = [canonical_lead(name) for name in frame.leads]
        if self._lead not in there:
            has = ", ".join(there) or "no named lead"
            raise ConfigError(f"{frame.source}: has no lead {self._lead}; it has {has}")
        return there.index(self._lead)
