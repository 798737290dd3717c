"""A named side input: what a step put on the frame, as a tensor."""

from __future__ import annotations

import numpy as np

from edge_runtime.errors import FrameError
from edge_runtime.frame import Array, Frame
from edge_runtime.interfaces import TensorSpec
from edge_runtime.manifest import InputEntry

from .quantise import blank, input_spec, quantise


class FeatureInput:
    """Writes `frame.features[entry.feature]` into an input tensor.

    Raises ConfigError when manifest and file contradict each other.
    """

    def __init__(self, entry: InputEntry, spec: TensorSpec) -> None:
        self._feature = entry.feature
        self._spec = input_spec(entry, spec)
        self._tensor = blank(self._spec)

    def __call__(self, frame: Frame) -> tuple[Array, None]:
        """Raises FrameError when the frame lacks the feature, or it has another size or a NaN."""
        values = frame.features.get(self._feature)
        if values is None:
            raise FrameError(f"{frame.source}: no step gave the feature '{self._feature}'")
        if values.size != self._tensor.size:
            raise FrameError(
                f"{frame.source}: feature '{self._feature}' has {values.size} values, the model "
                f"takes {self._tensor.size}"
            )
        if not np.isfinite(values).all():
            raise FrameError(f"{frame.source}: feature '{self._feature}' holds a NaN")
        self._tensor[...] = quantise(values, self._spec).reshape(self._tensor.shape)
        return self._tensor, None
