"""The quality of one lead of a stream: how likely it is that its heart rate is right."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_runtime.frame import Quality

from .qrs import QrsDetector
from .quality_indices import Window, measure
from .quality_model import QualityModel, QualitySettings
from .runs import EqualRuns
from .stream import STATES, goodness

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Reals = NDArray[np.float64]

HOP_S = 1.0  # a judgement this often
HOPS = 10  # over so many of them


class Judgement(NamedTuple):
    """What holds from sample `position` on; `window` is None where none was measured."""

    position: int
    quality: Quality
    window: Window | None


SETTLING = Quality("limited", None, ("settling",))
_FLAT = Quality("bad", 0.0, ("flat",))
_SETTINGS, _MODEL = QualitySettings(), QualityModel()


class QualityMeter:
    """Judges a stream of one lead every second, over the last ten.

    A judgement holds from the sample after its window on. It is "settling" for the first ten
    seconds and for those after a lead was flat. The same stream gets the same judgements however
    it is cut, for the meter works on whole seconds.
    """

    def __init__(
        self, rate_hz: float, settings: QualitySettings = _SETTINGS, model: QualityModel = _MODEL
    ) -> None:
        self._rate_hz, self._set, self._model = rate_hz, settings, model
        self._hop = max(1, round(HOP_S * rate_hz))
        self._count = 0  # samples judged so far
        self._held: Reals = np.empty(0)
        self._still = EqualRuns()
        self._restart()

    def feed(self, samples: Reals) -> list[Judgement]:
        """Take (samples,) in mV; give a judgement for every second that is complete."""
        self._held = np.concatenate([self._held, samples])
        made = []
        while len(self._held) >= self._hop:
            block, self._held = self._held[: self._hop], self._held[self._hop :]
            self._count += self._hop
            made.append(Judgement(self._count, *self._judge(block)))
        return made

    @property
    def beats(self) -> list[int]:
        """The R peaks of the last ten seconds, as samples of the stream."""
        return [beat + self._count - self._seen for beat in self._beats]

    def _restart(self) -> None:
        self._detector = QrsDetector(self._rate_hz)
        self._seen = 0  # samples that the detector has taken
        self._beats: list[int] = []  # counted as the detector counts
        self._samples: Reals = np.empty(0)  # of the window
        self._level = "limited"  # the state by the score alone

    def _judge(self, block: Reals) -> tuple[Quality, Window | None]:
        if self._still(block) >= self._set.flat_s * self._rate_hz:
            self._restart()
            return _FLAT, None
        length = HOPS * self._hop
        self._seen += len(block)
        self._samples = np.concatenate([self._samples, block])[-length:]
        start = self._seen - len(self._samples)
        found = self._beats + self._detector.feed(block)
        self._beats = sorted(beat for beat in found if beat >= start)
        if len(self._samples) < length:
            return SETTLING, None
        beats = np.array(self._beats, np.int64) - start
        window = measure(self._samples, beats, self._rate_hz, self._set)
        return self._grade(window), window

    def _grade(self, window: Window) -> Quality:
        score = self._model.score(window.indices) if window.indices else 0.0
        level = self._by_score(score)
        least_db = self._set.masked_db + (self._set.margin_db if self._level == "bad" else 0)
        masked = window.indices is not None and window.indices.snr_db < least_db
        self._level = "bad" if masked else level
        reasons = self._about_shapes(window)
        if self._level == "good":
            return Quality("limited" if reasons else "good", score, reasons)
        rhythm = self._about_rhythm(window) if self._level == "bad" else ""
        state = "limited" if rhythm else self._level
        cause = "masked" if masked and level != "bad" else "noise"
        return Quality(state, score, (rhythm or cause, *reasons))

    def _by_score(self, score: float) -> str:
        """A worse state at once, a better one only with a margin: a score at a limit is steady."""
        margin = self._set.margin
        before = STATES.index(self._level)
        if score >= self._set.good + (margin if before < 2 else 0):
            return "good"
        if score >= self._set.bad + (margin if before < 1 else 0):
            return "limited"
        return "bad"

    def _about_shapes(self, window: Window) -> tuple[str, ...]:
        """What bends or hides the shape of beats without hiding the beats."""
        limits = self._set
        found = (
            ("clipped", window.clipped > limits.clipped),
            ("baseline", window.baseline < limits.baseline),
            ("mains", window.hum > limits.hum),
        )
        return tuple(word for word, holds in found if holds)

    def _about_rhythm(self, window: Window) -> str:
        """Why the rate is not to be had although the signal may be good; "" when it is not."""
        if window.quiet_s >= self._set.quiet_s:
            return "no-beats"
        return "fibrillation-like" if window.tone >= self._set.tone else ""


def worse(one: Quality, other: Quality) -> Quality:
    """The one with the worse state, and of equal ones that with the lower score."""
    return min(one, other, key=goodness)
