"""Offsets from a grid of anchors to detections with keypoints.

The grid and the decoding are those of MediaPipe's SsdAnchorsCalculator (fixed anchor size) and
TensorsToDetectionsCalculator (reverse output order) as its face detector sets them; where
MediaPipe blends overlapping boxes, the best one stays here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_runtime.errors import ConfigError
from edge_runtime.frame import Array, Frame, Placement
from edge_runtime.interfaces import TensorSpec
from edge_runtime.manifest import Manifest
from edge_runtime.outcome import Detection, Detections, Keypoint

from .boxes import placed, suppress, to_corners, to_source
from .outputs import Names, activate, check_image_input, find


class Anchors:
    """Objects found by anchors, best first.

    Per anchor the output `anchors` (1, n, 4 + 2 k) has a box (centre x, centre y, width, height)
    and k points (x, y), in input pixels from the anchor's centre; the output `scores` is
    (1, n, classes). Cells of `strides` pixels carry `anchors_per_cell` anchors each, row by row,
    stride after stride. `names` gives the points.

    Raises ConfigError when the manifest misses an output or the grid does not fit the file.
    """

    def __init__(self, manifest: Manifest, outputs: tuple[TensorSpec, ...]) -> None:
        self._name, self._rules = manifest.name, manifest.postprocess
        if not self._rules.strides or len(self._rules.strides) != len(self._rules.anchors_per_cell):
            raise ConfigError(
                f"{manifest.name}: [postprocess] strides: give them, and as many anchors_per_cell"
            )
        check_image_input(manifest)
        self._anchors = find(manifest, outputs, "anchors")
        self._scores = find(manifest, outputs, "scores")
        self._names = Names.of(manifest)
        self._centres: dict[tuple[int, int], Array] = {}  # by input size

    def __call__(
        self, outputs: Sequence[Array], frame: Frame, placement: Placement | None
    ) -> Detections:
        """Raises FrameError when an output is NaN, ConfigError when the grid is not the file's."""
        del frame
        place = placed(placement)
        rows = self._anchors.real(outputs)
        rows = rows.reshape(-1, rows.shape[-1])  # (anchors, 4 + 2 k)
        scores = activate(self._scores.real(outputs), self._rules.activation)
        scores = scores.reshape(len(rows), -1)
        classes = scores.argmax(axis=1)
        best = scores[np.arange(len(rows)), classes]
        good = np.flatnonzero(best >= self._rules.threshold)
        points = self._decoded(rows, good, place)
        corners = to_corners(points[:, :4], "cxcywh")
        kept = suppress(corners, best[good], self._rules.iou, self._rules.max_results)
        found = []
        for row in kept:
            box = to_source(corners[row], "pixels", place)
            index = int(classes[good[row]])
            if box is not None and self._names.reported(index):
                label = self._names.label(index, float(best[good[row]]))
                keypoints = self._keypoints(points[row, 4:], label.score, place)
                found.append(Detection(label.index, label.label, label.score, box, keypoints))
        return Detections(tuple(found))

    def _decoded(self, rows: Array, good: Array, place: Placement) -> Array:
        """The chosen rows in input pixels: centre, size, points."""
        centres = self._grid(place.input_width, place.input_height, len(rows))[good]
        points: Array = rows[good].copy()
        points[:, 0:2] += centres
        for column in range(4, points.shape[1], 2):
            points[:, column : column + 2] += centres
        return points

    def _keypoints(self, values: Array, score: float, place: Placement) -> tuple[Keypoint, ...]:
        """Points of one detection; the model gives them no score of their own."""
        names = self._rules.names or tuple(str(number) for number in range(len(values) // 2))
        points = []
        for name, (x, y) in zip(names, values.reshape(-1, 2), strict=False):
            source_x, source_y = place.to_source(float(x), float(y))
            points.append(Keypoint(name, score, source_x, source_y))
        return tuple(points)

    def _grid(self, width: int, height: int, count: int) -> Array:
        """Centres (anchors, 2) as x, y in input pixels."""
        if (width, height) not in self._centres:
            centres = _centres(width, height, self._rules.strides, self._rules.anchors_per_cell)
            if len(centres) != count:
                raise ConfigError(
                    f"{self._name}: [postprocess] strides: they make {len(centres)} anchors of an "
                    f"input of {width}x{height}, the file has {count}"
                )
            self._centres[width, height] = centres
        return self._centres[width, height]


def _centres(width: int, height: int, strides: tuple[int, ...], per_cell: tuple[int, ...]) -> Array:
    parts = []
    for stride, count in zip(strides, per_cell, strict=True):
        x = (np.arange(-(-width // stride), dtype=np.float32) + np.float32(0.5)) * stride
        y = (np.arange(-(-height // stride), dtype=np.float32) + np.float32(0.5)) * stride
        cells = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        parts.append(np.repeat(cells, count, axis=0))
    return np.concatenate(parts)
