"""The driver `gstreamer`: a pipeline of GStreamer's own command, read through a pipe as YUV4MPEG2.

It needs no OpenCV that was built with GStreamer. Half as many bytes go through the pipe as with
BGR, and the colours are made where the picture is wanted.
"""

from __future__ import annotations

import io
import re
import shlex
import subprocess
from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from edge_runtime.errors import ConfigError
from edge_runtime.opencv import opencv

from .driver import PIXELS_MAX, DriverError
from .messages import Facts
from .ring import Image

_END = "! videoconvert ! video/x-raw,format=I420 ! y4menc ! fdsink fd=1 sync=false"
_HEADER = re.compile(rb"YUV4MPEG2 .*W(\d+) H(\d+)")
_HEADER_MAX = 256
_MARK = b"FRAME\n"


class GstLaunch:
    """Option: pipeline, as it is given to gst-launch-1.0, without a sink."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._command = ["gst-launch-1.0", "-q", *shlex.split(f"{options['pipeline']} {_END}")]
        self._process: subprocess.Popen[bytes] | None = None

    def open(self) -> Facts:
        self._cv2 = opencv("source gstreamer")
        try:
            self._process = process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
            )
        except FileNotFoundError:
            raise ConfigError(
                "needs gst-launch-1.0: sudo apt-get install gstreamer1.0-tools "
                "gstreamer1.0-plugins-good"
            ) from None
        assert process.stdout is not None
        self._stream = cast("io.BufferedReader", process.stdout)
        found = _HEADER.match(self._stream.readline(_HEADER_MAX))
        if found is None:
            raise DriverError("does not start")
        width, height = int(found[1]), int(found[2])
        if width * height > PIXELS_MAX:
            raise DriverError(f"states {width}x{height} pixels: too many")
        if width % 8 or height % 2:  # GStreamer's rows would have padding
            raise DriverError(
                f"gives {width}x{height}: the width must be a multiple of 8, the height even; end "
                'it with "videoscale ! video/x-raw,width=...,height=..."'
            )
        self._whole = bytearray(len(_MARK) + width * height * 3 // 2)
        planes = np.frombuffer(self._whole, np.uint8)[len(_MARK) :]
        self._planes = planes.reshape(height * 3 // 2, width)
        return Facts(width, height)

    def grab(self) -> bool:
        return self._stream.readinto(self._whole) == len(self._whole)

    def retrieve(self, into: Image | None) -> Image | None:
        if not self._whole.startswith(_MARK):
            return None
        image: Image = self._cv2.cvtColor(self._planes, self._cv2.COLOR_YUV2BGR_I420, into)
        return image

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._stream.close()
            self._process = None
