"""The step `crop`: one part of the picture."""

from __future__ import annotations

import numpy as np

from edge_runtime.frame import Frame

from . import areas


class Crop:
    """The part of each picture within a box; boxes of results are then in pixels of that part.

    Args:
        box: x_min, y_min, x_max, y_max in fractions of width and height.
    """

    def __init__(self, *, box: tuple[float, float, float, float]) -> None:
        areas.check("box", (box,))
        self._box = box

    def __call__(self, frame: Frame) -> list[Frame]:
        """Raises FrameError when the frame is no image."""
        left, top, right, bottom = areas.box(self._box, *areas.size(frame))
        part = frame.data[top:bottom, left:right]
        return [frame._replace(data=np.ascontiguousarray(part))]

    def flush(self) -> list[Frame]:
        """Nothing: no frame is held."""
        return []
