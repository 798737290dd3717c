"""The seam of a driver that may block for ever, and the three there are."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Protocol, cast

from .messages import Facts
from .ring import Image

PIXELS_MAX = 50_000_000  # a larger picture is not decoded
_KINDS = {
    "opencv": "video_capture:VideoCapture",
    "gstreamer": "gst_launch:GstLaunch",
    "picamera": "picamera:PiCamera",
}


class DriverError(Exception):
    """A driver cannot open; the text goes on after the name of the source."""


class Driver(Protocol):
    """One camera. Its constructor takes the options of a request and does nothing yet."""

    def open(self) -> Facts:
        """Raises DriverError (not now), ConfigError (something must be installed)."""
        ...

    def grab(self) -> bool:
        """Wait for the next picture; False when no more will come."""
        ...

    def retrieve(self, into: Image | None) -> Image | None:
        """Decode it, (height, width, 3) BGR, into `into` where that has its shape.

        None when it does not decode.
        """
        ...

    def close(self) -> None: ...


def make(request: Mapping[str, Any]) -> Driver:
    """The driver of a request: {"driver": name, and the options of that driver}."""
    module, _, name = _KINDS[request["driver"]].partition(":")
    loaded = importlib.import_module(f"{__package__}.{module}")
    return cast("Driver", getattr(loaded, name)(request))
