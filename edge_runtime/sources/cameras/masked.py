"""A source with privacy masks: nothing behind it ever holds what lies under them."""

from __future__ import annotations

from edge_runtime.frame import Frame
from edge_runtime.interfaces import Source
from edge_runtime.preprocess.mask import Mask


class Masked:
    """Another source, whose every picture is painted over where it is read."""

    def __init__(self, source: Source, mask: Mask) -> None:
        self.name, self.live = source.name, source.live
        self._source, self._mask = source, mask

    def open(self) -> None:
        self._source.open()

    def read(self, timeout_s: float) -> Frame | None:
        """Raises FrameError when a frame is no image, and what the source raises."""
        frame = self._source.read(timeout_s)
        return frame and self._mask(frame)

    def close(self) -> None:
        self._source.close()
