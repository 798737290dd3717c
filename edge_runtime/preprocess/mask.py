"""Privacy masks: paint over what nobody may see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_runtime.errors import BadOptionError
from edge_runtime.frame import Frame

from . import areas as shapes

if TYPE_CHECKING:
    from .areas import Flags


class Mask:
    """The table [source.mask]: areas painted over where a picture is read, before all else.

    They are painted into the picture itself, so that no step, model or recording can look under.

    Args:
        areas: in fractions of width and height: a box [x_min, y_min, x_max, y_max], or the
            corners of a polygon [x, y, x, y, x, y, ...].
        colour: blue, green, red.
    """

    def __init__(
        self,
        *,
        areas: tuple[tuple[float, ...], ...],
        colour: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        if not areas:
            raise BadOptionError("areas", "is empty: say what to paint over")
        shapes.check("areas", areas)
        if not all(0 <= level <= 255 for level in colour):
            raise BadOptionError("colour", f"{list(colour)} is not of three numbers within 0..255")
        self._areas, self._colour = areas, colour
        self._size = (0, 0)
        self._parts: list[tuple[slice, slice, Flags]] = []

    def __call__(self, frame: Frame) -> Frame:
        """Raises FrameError when the frame is no image."""
        size = shapes.size(frame)
        if size != self._size:
            self._size, self._parts = size, [_part(area, *size) for area in self._areas]
        if not frame.data.flags.writeable:
            frame = frame._replace(data=frame.data.copy())
        for rows, columns, flags in self._parts:
            frame.data[rows, columns][flags] = self._colour
        return frame


def _part(area: shapes.Area, width: int, height: int) -> tuple[slice, slice, Flags]:
    """The smallest box around an area, and which of its pixels are painted."""
    left, top, right, bottom = shapes.box(area, width, height)
    rows, columns = slice(max(0, top - 1), bottom + 1), slice(max(0, left - 1), right + 1)
    return rows, columns, shapes.inside((area,), width, height)[rows, columns]
