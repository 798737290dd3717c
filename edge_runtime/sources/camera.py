"""The source `camera`: a V4L2 camera, through OpenCV."""

from __future__ import annotations

import logging
import os
import stat
import time
from typing import Any

from edge_runtime.errors import BadOptionError, ConfigError, FrameError, SourceLostError
from edge_runtime.frame import Frame
from edge_runtime.opencv import opencv

log = logging.getLogger(__name__)


class Camera:
    """Frames of a camera, stamped when the driver hands them over.

    A camera that does not offer what is asked for gives its nearest mode, and a warning says
    which. The driver's queue is kept as it is: the capture thread empties it all the time, so
    that nothing grows old in it, and a queue of one frame halves the rate of many cameras.

    Args:
        name: the source's name.
        device: a path ("/dev/video0", or one of /dev/v4l/by-id/, which stays the same when
            cameras are plugged in another order), or the number of /dev/video.
        width, height, fps: the mode that is asked for.
        fourcc: the pixel format on the wire: "MJPG" (less USB bandwidth) or "YUYV" (no
            compression, less CPU time).
        skip: frames to drop after opening, while exposure and white balance settle.
    """

    live = True

    def __init__(
        self,
        *,
        name: str = "camera",
        device: str = "/dev/video0",
        width: int = 640,
        height: int = 480,
        fps: float = 30.0,
        fourcc: str = "MJPG",
        skip: int = 0,
    ) -> None:
        if not device:
            raise BadOptionError("device", 'is empty; give a path such as "/dev/video0"')
        for key, value in (("width", width), ("height", height), ("fps", fps)):
            if not value > 0:
                raise BadOptionError(key, f"{value} must be above 0")
        if len(fourcc) != 4 or not fourcc.isascii():
            raise BadOptionError("fourcc", f"'{fourcc}' is not a code of four letters; try MJPG")
        if not 0 <= skip <= 300:
            raise BadOptionError("skip", f"{skip} is not within 0..300")
        self.name = name
        self._device = f"/dev/video{device}" if device.isdigit() else device
        self._size, self._fps, self._fourcc, self._skip = (width, height), fps, fourcc, skip
        self._capture: Any = None
        self._seq = 0

    def open(self) -> None:
        """Raises ConfigError (no camera, no permission), SourceLostError (not there, in use)."""
        self.close()
        self._check_node()
        cv2 = opencv("source camera")
        capture = cv2.VideoCapture(self._device, cv2.CAP_V4L2)
        if not capture.isOpened():
            raise SourceLostError(
                f"{self.name}: {self._device} cannot be opened: another program uses it "
                f"(`fuser -v {self._device}` names it), or it gives no pictures (many cameras "
                "have a second node for metadata: try the other /dev/video)"
            )
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*self._fourcc))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._size[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._size[1])
        capture.set(cv2.CAP_PROP_FPS, self._fps)
        self._capture = capture
        if self._seq:
            self._seq += 1  # what passed while the camera was away is missing
        self._warn_of_another_mode(cv2)
        for _ in range(self._skip):
            self._grab()

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame. Waits for the driver, up to 10 s, whatever `timeout_s`.

        Raises FrameError (a picture that does not decode), SourceLostError (unplugged, stalled).
        """
        del timeout_s
        self._grab()
        timestamp_ns, monotonic_ns = time.time_ns(), time.monotonic_ns()
        seq, self._seq = self._seq, self._seq + 1
        whole, image = self._capture.retrieve()
        if not whole or image is None or image.size == 0:
            raise FrameError(f"{self.name}: a picture of {self._device} does not decode")
        return Frame(image, timestamp_ns, monotonic_ns, seq, self.name)

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _check_node(self) -> None:
        try:
            mode = os.stat(self._device).st_mode  # noqa: PTH116 - a device, not a file
        except OSError as exc:
            raise SourceLostError(
                f"{self.name}: {self._device}: {exc.strerror}: is the camera plugged in? "
                "`ls -l /dev/v4l/by-id/` lists what is there"
            ) from exc
        if not stat.S_ISCHR(mode):
            raise ConfigError(
                f"{self.name}: device = '{self._device}' is no camera; for a recording use the "
                "source 'video'"
            )
        if not os.access(self._device, os.R_OK | os.W_OK):
            raise ConfigError(
                f"{self.name}: no permission for {self._device}: "
                "`sudo usermod -aG video $USER`, then log in again"
            )

    def _grab(self) -> None:
        if self._capture is None:
            raise SourceLostError(f"{self.name}: is not open")
        if not self._capture.grab():
            raise SourceLostError(
                f"{self.name}: {self._device} gives no more pictures: unplugged, or its USB port "
                "has too little power or bandwidth"
            )

    def _warn_of_another_mode(self, cv2: Any) -> None:
        given = (
            int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )
        if given != self._size:
            log.warning(
                "%s: %s gives %dx%d, not the %dx%d that was asked for",
                self.name,
                self._device,
                *given,
                *self._size,
            )
