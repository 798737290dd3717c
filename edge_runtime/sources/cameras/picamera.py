"""The source `picamera`: a camera on the ribbon cable of a Raspberry Pi, by libcamera."""

from __future__ import annotations

from collections.abc import Mapping

from edge_runtime.errors import BadOptionError
from edge_runtime.frame import Frame
from edge_runtime.grabber.grabber import Grabber


class PiCamera:
    """Frames of a Raspberry Pi's own camera, in a process of its own.

    picamera2 belongs to the system: `sudo apt-get install python3-picamera2`, and a virtual
    environment made with --system-site-packages.

    Args:
        name: the source's name.
        camera: its number in `rpicam-hello --list-cameras`.
        width, height, fps: the mode that is asked for.
        controls: of libcamera, by name: {ExposureTime = 10000, AnalogueGain = 2.0}.
        skip: frames to drop after opening, while exposure and white balance settle.
        silent_s: without a picture for so long, the process is killed and started again.
    """

    live = True

    def __init__(
        self,
        *,
        name: str = "picamera",
        camera: int = 0,
        width: int = 640,
        height: int = 480,
        fps: float = 30.0,
        controls: Mapping[str, float] | None = None,
        skip: int = 0,
        silent_s: float = 5.0,
    ) -> None:
        if camera < 0:
            raise BadOptionError("camera", f"{camera} is below 0")
        for key, value in (("width", width), ("height", height), ("fps", fps)):
            if not value > 0:
                raise BadOptionError(key, f"{value} must be above 0")
        if not 0 <= skip <= 300:
            raise BadOptionError("skip", f"{skip} is not within 0..300")
        if not 0.1 <= silent_s <= 600:
            raise BadOptionError("silent_s", f"{silent_s} is not within 0.1..600")
        self.name = name
        request = {
            "driver": "picamera",
            "number": camera,
            "width": width,
            "height": height,
            "fps": fps,
            "controls": dict(controls or {}),
            "skip": skip,
        }
        open_s = 15.0 + silent_s + skip / fps
        self._grabber = Grabber(name, f"camera {camera}", request, open_s=open_s, silent_s=silent_s)

    def open(self) -> None:
        """Raises SourceLostError: no picamera2, no such camera, in use."""
        self._grabber.open()

    def read(self, timeout_s: float) -> Frame | None:
        """The next picture. Raises SourceLostError."""
        return self._grabber.read(timeout_s)

    def close(self) -> None:
        self._grabber.close()
