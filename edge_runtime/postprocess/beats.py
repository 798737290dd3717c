"""Class scores to a beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_runtime.errors import ConfigError, FrameError
from edge_runtime.frame import Array, Frame, Placement
from edge_runtime.interfaces import TensorSpec
from edge_runtime.manifest import Manifest
from edge_runtime.outcome import Beat
from edge_runtime.outcome import Beats as Outcome

from .outputs import Names, activate, find


class Beats:
    """The beat that a frame was cut around, with its best class.

    `class_bias` is added to the logarithms of the scores before the best one is chosen, and the
    scores are made to add up to 1 again. A beat whose best score is below `threshold` keeps the
    index of that class and is labelled `unsure`.

    Raises ConfigError when the manifest names no scores or cannot be right.
    """

    def __init__(self, manifest: Manifest, outputs: tuple[TensorSpec, ...]) -> None:
        self._rules = manifest.postprocess
        if self._rules.threshold > 0 and not self._rules.unsure:
            raise ConfigError(
                f"{manifest.name}: [postprocess] unsure: name the beats below the threshold"
            )
        self._scores = find(manifest, outputs, "scores")
        self._names = Names.of(manifest)
        self._bias = np.array(self._rules.class_bias, dtype=np.float32)
        size = self._scores.spec.shape[-1] if self._scores.spec.shape else None
        if self._bias.size and size not in (None, self._bias.size):
            raise ConfigError(
                f"{manifest.name}: [postprocess] class_bias: {self._bias.size} numbers for "
                f"{size} classes"
            )
        # What a stored zero may stand for: half a step, or less than any score worth telling.
        quantisation = self._scores.spec.quantisation
        self._least = np.float32(min(quantisation.scale) / 2 if quantisation else 1e-7)

    def __call__(
        self, outputs: Sequence[Array], frame: Frame, placement: Placement | None
    ) -> Outcome:
        """Raises FrameError when a score is NaN or the frame was not cut around a beat."""
        del placement
        mark = frame.beat
        if mark is None:
            raise FrameError(f"{frame.source}: the frame marks no beat: add the step 'beats'")
        scores = activate(self._scores.real(outputs).reshape(-1), self._rules.activation)
        if self._bias.size:
            scores = activate(np.log(np.maximum(scores, self._least)) + self._bias, "softmax")
        best = int(scores.argmax())
        label = self._names.label(best, float(scores[best]))
        sure = label.score >= self._rules.threshold
        return Outcome(
            (
                Beat(
                    index=label.index,
                    label=label.label if sure else self._rules.unsure,
                    score=label.score,
                    timestamp_ns=mark.timestamp_ns,
                    rr_s=mark.rr_s,
                    rate_bpm=mark.rate_bpm,
                ),
            )
        )
