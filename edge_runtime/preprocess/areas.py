"""Parts of a picture, in fractions of its width and height: they hold for every size of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.errors import BadOptionError, FrameError
from edge_runtime.frame import Frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Flags = NDArray[np.bool_]

Area = tuple[float, ...]


def check(key: str, areas: tuple[Area, ...]) -> None:
    """Raises BadOptionError.

    Four numbers are a box (x_min, y_min, x_max, y_max); six or more are the corners of a polygon
    (x, y, x, y, ...).
    """
    for area in areas:
        if len(area) < 4 or len(area) % 2:
            raise BadOptionError(
                key, f"{list(area)}: give a box (4 numbers) or the corners of a polygon (6 or more)"
            )
        if not all(0 <= number <= 1 for number in area):
            raise BadOptionError(
                key, f"{list(area)}: give fractions of width and height, within 0..1"
            )
        if len(area) == 4 and not (area[0] < area[2] and area[1] < area[3]):
            raise BadOptionError(key, f"{list(area)}: a box is x_min, y_min, x_max, y_max")


def size(frame: Frame) -> tuple[int, int]:
    """Width and height. Raises FrameError when the frame is no image."""
    if frame.data.ndim != 3 or 0 in frame.data.shape:
        raise FrameError(f"{frame.source}: is no image, but of shape {frame.data.shape}")
    return frame.data.shape[1], frame.data.shape[0]


def box(area: Area, width: int, height: int) -> tuple[int, int, int, int]:
    """Pixels that the area touches: first column and row, and those behind the last."""
    xs, ys = area[0::2], area[1::2]
    left, top = int(min(xs) * width), int(min(ys) * height)
    right, bottom = int(np.ceil(max(xs) * width)), int(np.ceil(max(ys) * height))
    return left, top, max(right, left + 1), max(bottom, top + 1)


def inside(areas: tuple[Area, ...], width: int, height: int) -> Flags:
    """(height, width): the pixels of which any corner or the centre lies in an area, or nearly."""
    flags = np.zeros((height, width), np.bool_)
    for area in areas:
        left, top, right, bottom = box(area, width, height)
        if len(area) == 4:
            flags[top:bottom, left:right] = True
        else:
            flags |= _polygon(area, width, height)
    return flags


def _polygon(area: Area, width: int, height: int) -> Flags:
    """Filled, with its outline: cv2 draws every pixel that an edge goes through."""
    from edge_runtime.opencv import opencv

    cv2 = opencv("a polygon")
    corners = np.array(area, np.float64).reshape(-1, 2) * (width, height)
    drawn = np.zeros((height, width), np.uint8)
    cv2.fillPoly(drawn, [np.floor(corners).astype(np.int32)], 1)
    return cv2.dilate(drawn, np.ones((3, 3), np.uint8)).astype(np.bool_)  # type: ignore[no-any-return]
