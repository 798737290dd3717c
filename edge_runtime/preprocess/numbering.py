"""The `seq` of frames that a step lets through: it counts on, and jumps where something is lost."""

from __future__ import annotations

from edge_runtime.frame import Frame


class Numbering:
    """Show every frame to `see`; number the ones that go on with `passed`."""

    def __init__(self) -> None:
        self._last: int | None = None  # of the frames seen
        self._next = 0
        self._hole = False

    def see(self, frame: Frame) -> bool:
        """Whether something is missing before this frame."""
        hole = self._last is not None and frame.seq != self._last + 1
        self._last = frame.seq
        self._hole = self._hole or hole
        return hole

    def skip(self) -> None:
        """Frames are left out that the next one's reader must know of."""
        self._hole = True

    def passed(self, frame: Frame) -> Frame:
        """The frame with its number behind this step."""
        seq = self._next + (1 if self._hole and self._next else 0)
        self._next, self._hole = seq + 1, False
        return frame if frame.seq == seq else frame._replace(seq=seq)
