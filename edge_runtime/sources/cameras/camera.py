"""The source `camera`: a V4L2 camera, through OpenCV, in a process of its own."""

from __future__ import annotations

import logging
import os
import stat

from edge_runtime.errors import BadOptionError, ConfigError, SourceLostError
from edge_runtime.frame import Frame
from edge_runtime.grabber.grabber import Grabber
from edge_runtime.grabber.inside import Inside
from edge_runtime.grabber.messages import Facts

log = logging.getLogger(__name__)

_OPEN_S = 10.0  # to start a process on a small board and to set the mode
_HINT = (
    ": another program uses it (`fuser -v /dev/video*` names it), it is a node for metadata only "
    "(many cameras have two: try the other), or it is unplugged or short of USB power or bandwidth"
)


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
        silent_s: without a picture for so long, the camera is lost, and the process that reads
            it is killed.
        isolate: read in a process of its own. Without one, 30 MB of memory are saved, and a
            driver that blocks for ever stops this source until the service is restarted.
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
        silent_s: float = 5.0,
        isolate: bool = True,
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
        if not 0.1 <= silent_s <= 600:
            raise BadOptionError("silent_s", f"{silent_s} is not within 0.1..600")
        self.name = name
        self._device = f"/dev/video{device}" if device.isdigit() else device
        self._size, self._fps, self._fourcc = (width, height), fps, fourcc
        request = {
            "driver": "opencv",
            "target": self._device,
            "backend": "CAP_V4L2",
            "settings": {
                "CAP_PROP_FOURCC": fourcc,
                "CAP_PROP_FRAME_WIDTH": width,
                "CAP_PROP_FRAME_HEIGHT": height,
                "CAP_PROP_FPS": fps,
            },
            "skip": skip,
        }
        open_s = _OPEN_S + silent_s + skip / fps
        self._grabber: Grabber | Inside = (
            Grabber(
                name,
                self._device,
                request,
                open_s=open_s,
                silent_s=silent_s,
                explain=lambda _: _HINT,
            )
            if isolate
            else Inside(name, self._device, request, _HINT)
        )

    def open(self) -> None:
        """Raises ConfigError (no camera, no permission), SourceLostError (not there, in use)."""
        self.close()
        self._check_node()
        self._grabber.open()
        self._warn_of_another_mode(self._grabber.facts)

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame.

        Raises FrameError (a picture that does not decode), SourceLostError (unplugged, stalled).
        """
        return self._grabber.read(timeout_s)

    def close(self) -> None:
        self._grabber.close()

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

    def _warn_of_another_mode(self, facts: Facts) -> None:
        """What the driver gave instead of what was asked for; what it does not say is not told."""
        for what, asked, given in (
            ("pictures of", "{}x{}".format(*self._size), f"{facts.width}x{facts.height}"),
            ("a rate of", f"{self._fps:g}", f"{facts.fps:g}" if facts.fps > 0 else ""),
            ("the format", self._fourcc, facts.fourcc),
        ):
            if given and given != asked:
                log.warning(
                    "%s: %s gives %s %s, not the %s that was asked for: "
                    "`v4l2-ctl -d %s --list-formats-ext` lists what it can",
                    self.name,
                    self._device,
                    what,
                    given,
                    asked,
                    self._device,
                )
