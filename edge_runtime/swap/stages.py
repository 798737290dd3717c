"""Who answers a frame, stage by stage of a swap. One stage is used for a whole frame.

`Alone`: the live model. `Shadowed`: it, and the frame is offered to a shadow. `Trial`: the
candidate, or for a canary's share of the frames; where it fails on a frame, the old model answers,
so that results go on, each of one model.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from edge_runtime.errors import FrameError

from .evidence import WINDOW, Evidence, Outputs
from .shadow import Shadow, Watch, attempt, took_ms

if TYPE_CHECKING:
    from edge_runtime.frame import Frame, Result
    from edge_runtime.model import Model

_PRIME = 61  # spreads a canary's frames: no period of a camera or a heart has it


class Alone:
    """The live model, whose latencies are kept for a comparison to come."""

    def __init__(self, speaker: Model, times: deque[float] | None = None) -> None:
        self.speaker = speaker
        self.times = deque[float](maxlen=WINDOW) if times is None else times

    def __call__(self, frame: Frame) -> Result:
        result = self.speaker(frame)
        self.times.append(took_ms(result))
        return result


class Shadowed:
    """The live model; what it says is offered to the shadow, too."""

    def __init__(self, alone: Alone, shadow: Shadow) -> None:
        self.speaker = alone.speaker
        self.outputs = Outputs()
        self._alone, self._shadow = alone, shadow
        self.speaker.watch = Watch(self.outputs)

    def __call__(self, frame: Frame) -> Result:
        result = self._alone(frame)
        if not unheard(frame):
            self._shadow.offer(frame, result)
        return result


class Trial:
    """The candidate answers, and the old model where it cannot.

    `other` is None while the old model is not loaded, after a start in the middle of a trial. With
    `percent` the old model speaks, and the candidate answers so many frames of a hundred.
    """

    def __init__(self, candidate: Model, other: Model | None, percent: int = 100) -> None:
        self.candidate, self.other = candidate, other
        self._other_watch = Watch(Outputs())
        if other is not None:
            self.join(other)
        self.speaker = other if other is not None and percent < 100 else candidate
        self.evidence = Evidence(time.monotonic())
        self._percent = percent
        self._watch = Watch(self.evidence.outputs)
        candidate.watch = self._watch

    def __call__(self, frame: Frame) -> Result:
        if unheard(frame):
            return self.speaker(frame)
        if self.other is not None:
            if frame.seq * _PRIME % 100 >= self._percent:
                return self.other(frame)
            if self.evidence.control_left:
                return self._control(frame, self.other)
        said: list[Result] = []
        seen = self.evidence
        seen.begin(time.monotonic())
        self._watch.finite = True
        error = attempt(lambda: said.append(self.candidate(frame)))
        seen.busy_s = 0.0
        if error is None and self._watch.finite:
            seen.succeed(took_ms(said[0]))
            return said[0]
        return self._instead(frame, error)

    def join(self, other: Model) -> None:
        """The old model is loaded: it stands by."""
        other.watch = self._other_watch
        self.other = other

    def _control(self, frame: Frame, other: Model) -> Result:
        """The old model answers, and is timed."""
        self.evidence.control_left -= 1
        result = other(frame)
        self.evidence.control.append(took_ms(result))
        return result

    def _instead(self, frame: Frame, error: Exception | None) -> Result:
        """What the old model says of it. Raises FrameError: the frame is at fault, or none can."""
        if self.other is None:
            self._note(error)
            why = error or "NaN or infinity among the outputs"
            raise FrameError(f"{self.candidate.manifest.name}: {why}") from error
        self._other_watch.finite = True
        try:
            result = self.other(frame)
        except FrameError:
            self.evidence.excuse()
            raise
        if self._other_watch.finite:
            self._note(error)
        else:
            self.evidence.excuse()
        return result

    def _note(self, error: Exception | None) -> None:
        if error is None or not self._watch.finite:
            self.evidence.not_finite += 1
        else:
            self.evidence.fail(f"{type(error).__name__}: {error}")


def unheard(frame: Frame) -> bool:
    """Whether a model makes no inference of it."""
    return frame.quality is not None and frame.quality.state == "bad"
