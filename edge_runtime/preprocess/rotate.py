"""The step `rotate`: set pictures upright."""

from __future__ import annotations

from typing import Literal

import numpy as np

from edge_runtime.frame import Frame

from . import areas


class Rotate:
    """Pictures turned by quarters, then flipped; boxes of results are in pixels of what is made.

    Args:
        degrees: clockwise: 0, 90, 180 or 270.
        flip: "horizontal" mirrors left and right, "vertical" above and below.
    """

    def __init__(
        self,
        *,
        degrees: Literal[0, 90, 180, 270] = 0,
        flip: Literal["", "horizontal", "vertical"] = "",
    ) -> None:
        self._quarters, self._flip = degrees // 90, flip

    def __call__(self, frame: Frame) -> list[Frame]:
        """Raises FrameError when the frame is no image."""
        areas.size(frame)
        data = np.rot90(frame.data, -self._quarters)
        if self._flip:
            data = data[:, ::-1] if self._flip == "horizontal" else data[::-1]
        return [frame._replace(data=np.ascontiguousarray(data))]

    def flush(self) -> list[Frame]:
        """Nothing: no frame is held."""
        return []
