"""Rows of (y, x, score) to a pose."""

from __future__ import annotations

from collections.abc import Sequence

from edge_runtime.errors import ConfigError
from edge_runtime.frame import Array, Frame, Placement
from edge_runtime.interfaces import TensorSpec
from edge_runtime.manifest import Manifest
from edge_runtime.outcome import Keypoint
from edge_runtime.outcome import Keypoints as Pose

from .boxes import placed
from .outputs import check_image_input, find


class Keypoints:
    """Every point of one pose, in the model's order, whatever its score.

    The output `keypoints` has a row (y, x, score) for each of `names`; y and x are shares of the
    input's height and width, or pixels of it, as `box_units` says.

    Raises ConfigError when the manifest misses the output, `names` or `box_units`.
    """

    def __init__(self, manifest: Manifest, outputs: tuple[TensorSpec, ...]) -> None:
        rules = manifest.postprocess
        for key in ("names", "box_units"):
            if not getattr(rules, key):
                raise ConfigError(f"{manifest.name}: [postprocess] {key}: is missing")
        check_image_input(manifest)
        self._names, self._relative = rules.names, rules.box_units == "relative"
        self._keypoints = find(manifest, outputs, "keypoints")
        self._manifest_name = manifest.name

    def __call__(self, outputs: Sequence[Array], frame: Frame, placement: Placement | None) -> Pose:
        """Raises FrameError when a value is NaN, ConfigError when there are more or fewer rows."""
        del frame
        place = placed(placement)
        rows = self._keypoints.real(outputs).reshape(-1, 3)
        if len(rows) != len(self._names):
            raise ConfigError(
                f"{self._manifest_name}: [postprocess] names: {len(self._names)} names for "
                f"{len(rows)} points"
            )
        across, down = (place.input_width, place.input_height) if self._relative else (1, 1)
        points = []
        for name, (y, x, score) in zip(self._names, rows.tolist(), strict=True):
            source_x, source_y = place.to_source(x * across, y * down)
            points.append(Keypoint(name, score, source_x, source_y))
        return Pose(tuple(points))
