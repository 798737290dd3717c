"""How far two models say the same of one frame, as a number from 0 to 1."""

from __future__ import annotations

import math

import numpy as np

from edge_runtime.outcome import (
    Beats,
    Box,
    CannotSay,
    Detection,
    Detections,
    Keypoints,
    Label,
    Labels,
    Outcome,
    Tensor,
    Tensors,
)

OVERLAP = 0.5  # intersection over union of boxes that mean the same object
NEAR = 0.1  # of a pose's diagonal: keypoints so near are the same


def agreement(live: Outcome, other: Outcome) -> float:
    """1 for the same answer, 0 for another.

    Labels: the best of each head has the same name; several heads count alike. Beats: likewise,
    beat by beat. Detections: twice the pairs of one name that overlap by half, over all there are.
    Keypoints: the share that lie within a tenth of the pose's size. Tensors: the share of outputs
    whose largest value stands at the same place.
    """
    match live, other:
        case Labels(), Labels():
            mine, theirs = _best(live.labels), _best(other.labels)
            return _share([theirs.get(head) == name for head, name in mine.items()])
        case Beats(), Beats():
            names = zip(live.beats, other.beats, strict=False)
            same = sum(one.label == two.label for one, two in names)
            longer = max(len(live.beats), len(other.beats))
            return same / longer if longer else 1.0
        case Detections(), Detections():
            count = len(live.detections) + len(other.detections)
            return 2 * _pairs(live.detections, other.detections) / count if count else 1.0
        case Keypoints(), Keypoints():
            return _keypoints(live, other)
        case Tensors(), Tensors():
            pairs = zip(live.tensors, other.tensors, strict=False)
            return _share([_highest(one) == _highest(two) for one, two in pairs])
    return float(type(live) is type(other))


def brief(outcome: Outcome) -> str:
    """An answer in a few words."""
    match outcome:
        case Labels(labels):
            return _names([(item.label, item.score) for item in labels[:3]])
        case Beats(beats):
            return _names([(item.label, item.score) for item in beats[:3]])
        case Detections(found):
            return _names([(item.label, item.score) for item in found[:3]])
        case CannotSay(reason):
            return f"cannot say: {reason}"
    return type(outcome).__name__.lower()


def _names(items: list[tuple[str, float]]) -> str:
    return ", ".join(f"{name} {score:.2f}" for name, score in items) or "nothing"


def _share(same: list[bool]) -> float:
    return sum(same) / len(same) if same else 1.0


def _highest(tensor: Tensor) -> int:
    return int(np.argmax(tensor.data)) if tensor.data.size else -1


def _best(labels: tuple[Label, ...]) -> dict[str, str]:
    best: dict[str, str] = {}
    for item in labels:  # highest score first, head after head
        best.setdefault(item.head, item.label)
    return best or {"": ""}


def _pairs(ours: tuple[Detection, ...], theirs: tuple[Detection, ...]) -> int:
    left, pairs = list(theirs), 0
    for mine in ours:
        for other in left:
            if other.label == mine.label and _overlap(mine.box, other.box) >= OVERLAP:
                left.remove(other)
                pairs += 1
                break
    return pairs


def _overlap(one: Box, two: Box) -> float:
    width = min(one.x_max, two.x_max) - max(one.x_min, two.x_min)
    height = min(one.y_max, two.y_max) - max(one.y_min, two.y_min)
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    areas = [(box.x_max - box.x_min) * (box.y_max - box.y_min) for box in (one, two)]
    return both / (sum(areas) - both)


def _keypoints(live: Keypoints, other: Keypoints) -> float:
    points = {point.name: point for point in other.keypoints}
    if not live.keypoints:
        return float(not points)
    across = [point.x for point in live.keypoints], [point.y for point in live.keypoints]
    size = math.hypot(*(max(values) - min(values) for values in across))
    near = [
        found is not None and math.hypot(found.x - point.x, found.y - point.y) <= NEAR * size
        for point in live.keypoints
        for found in (points.get(point.name),)
    ]
    return _share(near)
