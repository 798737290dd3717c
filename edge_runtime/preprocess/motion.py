"""The step `motion`: frames in which something moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.errors import BadOptionError
from edge_runtime.frame import Frame
from edge_runtime.opencv import opencv

from . import areas
from .numbering import Numbering

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .areas import Flags

    Grey = NDArray[np.float32]

_WIDTH = 160  # pixels of the small picture that is compared
_LEARN_S = 10.0  # what stands for so long becomes background


class Motion:
    """A gate: frames go on while something moves in the regions, and for `hold_s` after it.

    Each picture is made small and grey, and compared with a background that follows slowly. A
    light that is switched on is motion until the background knows it. What is left out shows as a
    jump of `seq` when the gate opens again.

    Args:
        regions: where to look, in fractions of width and height: boxes [x_min, y_min, x_max,
            y_max] and polygons [x, y, x, y, x, y, ...]; none means everywhere.
        share: of the regions' area that must have changed.
        levels: grey levels by which a place must differ from the background.
        hold_s: how long the gate stays open when the motion is over.
    """

    def __init__(
        self,
        *,
        regions: tuple[tuple[float, ...], ...] = (),
        share: float = 0.005,
        levels: int = 20,
        hold_s: float = 2.0,
    ) -> None:
        areas.check("regions", regions)
        if not 0 < share <= 1:
            raise BadOptionError("share", f"{share} is not above 0 and at most 1")
        if not 1 <= levels <= 255:
            raise BadOptionError("levels", f"{levels} is not within 1..255")
        if not 0 <= hold_s <= 3600:
            raise BadOptionError("hold_s", f"{hold_s} is not within 0..3600 seconds")
        self._regions, self._share, self._levels = regions, share, levels
        self._hold_ns = round(hold_s * 1e9)
        self._background: Grey | None = None
        self._where: Flags | None = None
        self._last_ns, self._moved_ns = 0, -(10**20)
        self._numbering = Numbering()

    def __call__(self, frame: Frame) -> list[Frame]:
        """Raises FrameError when the frame is no image."""
        areas.size(frame)
        self._numbering.see(frame)
        now_ns = frame.timestamp_ns
        if self._moves(_small(frame), now_ns):
            self._moved_ns = now_ns
        if 0 <= now_ns - self._moved_ns <= self._hold_ns:
            return [self._numbering.passed(frame)]
        self._numbering.skip()
        return []

    def flush(self) -> list[Frame]:
        """Nothing: no frame is held."""
        return []

    def _moves(self, grey: Grey, now_ns: int) -> bool:
        after_s, self._last_ns = (now_ns - self._last_ns) / 1e9, now_ns
        if self._background is None or self._background.shape != grey.shape:
            self._background = grey
            height, width = grey.shape
            self._where = areas.inside(self._regions or ((0.0, 0.0, 1.0, 1.0),), width, height)
            return False
        difference = grey - self._background
        self._background += difference * np.float32(min(1.0, max(0.0, after_s / _LEARN_S)))
        changed = np.abs(difference) > self._levels
        return float(changed[self._where].mean()) >= self._share


def _small(frame: Frame) -> Grey:
    """(height, 160) grey levels, averaged so that noise is not motion."""
    cv2 = opencv("step motion")
    height, width = frame.data.shape[:2]
    size = (_WIDTH, max(1, round(_WIDTH * height / width)))
    small = cv2.resize(frame.data, size, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32)  # type: ignore[no-any-return]
