"""The driver `picamera`: a camera on the ribbon cable of a Raspberry Pi, by picamera2.

See the Picamera2 manual, sections 4.2 (configuration), 5 (controls) and 6.1 (arrays).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_runtime.errors import ConfigError

from .driver import DriverError
from .messages import Facts
from .ring import Image


class PiCamera:
    """Options: number, width, height, fps, controls {name: value}."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._camera: Any = None
        self._request: Any = None

    def open(self) -> Facts:
        try:
            from picamera2 import Picamera2
        except ImportError as exc:
            raise ConfigError(
                f"needs picamera2 ({exc}): sudo apt-get install python3-picamera2, and make the "
                "virtual environment with --system-site-packages"
            ) from exc
        options = self._options
        try:
            self._camera = camera = Picamera2(options["number"])
            # The format that libcamera calls RGB888 lies in memory as B, G, R.
            size = (options["width"], options["height"])
            period_us = round(1e6 / options["fps"])
            controls = {"FrameDurationLimits": (period_us, period_us), **options["controls"]}
            configuration = camera.create_video_configuration(
                main={"size": size, "format": "RGB888"}, controls=controls, buffer_count=4
            )
            camera.configure(configuration)
            camera.start()
        except (RuntimeError, IndexError) as exc:
            raise DriverError(
                f"cannot be opened ({exc}): `rpicam-hello --list-cameras` lists what is there"
            ) from exc
        width, height = camera.camera_configuration()["main"]["size"]
        return Facts(width, height, options["fps"])

    def grab(self) -> bool:
        self._request = self._camera.capture_request()
        return True

    def retrieve(self, into: Image | None) -> Image | None:
        del into  # make_array copies out of the camera's own buffer
        image: Image = self._request.make_array("main")
        self._request.release()
        return image

    def close(self) -> None:
        if self._camera is not None:
            self._camera.close()
            self._camera = None
