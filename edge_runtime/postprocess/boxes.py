"""Boxes: their forms, their overlap, and their place in the source frame."""

from __future__ import annotations

import numpy as np

from edge_runtime.errors import FrameError
from edge_runtime.frame import Array, Placement
from edge_runtime.outcome import Box


def to_corners(boxes: Array, order: str) -> Array:
    """Boxes (n, 4) in `order` ("yxyx", "xyxy", "cxcywh") as x_min, y_min, x_max, y_max."""
    if order == "yxyx":
        return boxes[:, [1, 0, 3, 2]]
    if order == "cxcywh":
        half = boxes[:, 2:] / 2
        return np.concatenate((boxes[:, :2] - half, boxes[:, :2] + half), axis=1)
    return boxes


def suppress(corners: Array, scores: Array, iou_max: float, limit: int) -> list[int]:
    """Greedy non-maximum suppression: indices that stay, best score first.

    A box goes when it overlaps a better one that stays by more than `iou_max` of their union.
    Equal scores stand in the order in which they came.
    """
    x_min, y_min, x_max, y_max = corners.T
    areas = np.maximum(x_max - x_min, 0) * np.maximum(y_max - y_min, 0)
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while order.size and len(kept) < limit:
        best, order = int(order[0]), order[1:]
        kept.append(best)
        width = np.minimum(x_max[best], x_max[order]) - np.maximum(x_min[best], x_min[order])
        height = np.minimum(y_max[best], y_max[order]) - np.maximum(y_min[best], y_min[order])
        overlap = np.maximum(width, 0) * np.maximum(height, 0)
        union = areas[best] + areas[order] - overlap
        order = order[overlap <= iou_max * union]
    return kept


def to_source(corners: Array, units: str, placement: Placement) -> Box | None:
    """One box in pixels of the source frame; None when nothing of it lies inside the frame."""
    x_min, y_min, x_max, y_max = (float(value) for value in corners)
    across, down = (
        (placement.input_width, placement.input_height) if units == "relative" else (1, 1)
    )
    left, top = placement.to_source(x_min * across, y_min * down)
    right, bottom = placement.to_source(x_max * across, y_max * down)
    return Box(left, top, right, bottom) if right > left and bottom > top else None


def placed(placement: Placement | None) -> Placement:
    """The placement. Raises FrameError when the frame was no image."""
    if placement is None:
        raise FrameError("no image was given to the model: places cannot be told")
    return placement
