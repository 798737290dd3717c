"""Boxes, classes and scores to detections."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_runtime.errors import ConfigError
from edge_runtime.frame import Array, Frame, Placement
from edge_runtime.interfaces import TensorSpec
from edge_runtime.manifest import Manifest
from edge_runtime.outcome import Detection as Found
from edge_runtime.outcome import Detections

from .boxes import placed, suppress, to_corners, to_source
from .outputs import Names, activate, check_image_input, find, find_or_none


class Detection:
    """Objects with a score of at least `threshold`, best first, `max_results` at most.

    With an output `count` the graph has chosen already: boxes (1, n, 4), classes (1, n) and
    scores (1, n), of which the first `count` hold. Without it the boxes (1, n, 4) are all there
    are, with scores (1, n, classes), and are filtered here, each class by itself. A box that
    lies outside the frame is not reported.

    Raises ConfigError when the manifest misses an output, `box_order` or `box_units`.
    """

    def __init__(self, manifest: Manifest, outputs: tuple[TensorSpec, ...]) -> None:
        self._rules = manifest.postprocess
        for key in ("box_order", "box_units"):
            if not getattr(self._rules, key):
                raise ConfigError(f"{manifest.name}: [postprocess] {key}: is missing")
        check_image_input(manifest)
        self._boxes = find(manifest, outputs, "boxes")
        self._scores = find(manifest, outputs, "scores")
        self._count = find_or_none(manifest, outputs, "count")
        self._classes = find(manifest, outputs, "classes") if self._count else None
        self._names = Names.of(manifest)

    def __call__(
        self, outputs: Sequence[Array], frame: Frame, placement: Placement | None
    ) -> Detections:
        """Raises FrameError when a score or a box is NaN."""
        del frame
        place = placed(placement)
        corners, scores, classes = self._chosen(outputs)
        found = []
        for corner, score, index in zip(corners, scores, classes, strict=True):
            box = to_source(corner, self._rules.box_units, place)
            if box is not None and self._names.reported(int(index)):
                label = self._names.label(int(index), float(score))
                found.append(Found(label.index, label.label, label.score, box))
        found.sort(key=lambda detection: -detection.score)
        return Detections(tuple(found[: self._rules.max_results]))

    def _chosen(self, outputs: Sequence[Array]) -> tuple[Array, Array, Array]:
        """Corners (n, 4), scores (n,) and classes (n,) of what may be reported."""
        if self._count is None or self._classes is None:
            boxes = self._boxes.real(outputs).reshape(-1, 4)
            scores = activate(self._scores.real(outputs), self._rules.activation)
            corners = to_corners(boxes, self._rules.box_order)
            return self._filtered(corners, scores.reshape(len(boxes), -1))
        room = self._scores.raw(outputs).size
        count = int(np.clip(self._count.real(outputs).reshape(-1)[0], 0, room))
        scores = activate(self._scores.rows(outputs, count)[:, 0], self._rules.activation)
        classes = np.rint(self._classes.rows(outputs, count)[:, 0])
        corners = to_corners(self._boxes.rows(outputs, count, 4), self._rules.box_order)
        good = np.flatnonzero(scores >= self._rules.threshold)
        return corners[good], scores[good], classes[good]

    def _filtered(self, corners: Array, scores: Array) -> tuple[Array, Array, Array]:
        rows: list[int] = []
        classes: list[int] = []
        for index in range(scores.shape[1]):
            good = np.flatnonzero(scores[:, index] >= self._rules.threshold)
            if not good.size or not self._names.reported(index):
                continue
            kept = suppress(
                corners[good], scores[good, index], self._rules.iou, self._rules.max_results
            )
            rows += [int(good[place]) for place in kept]
            classes += [index] * len(kept)
        return corners[rows], scores[rows, classes], np.array(classes)
