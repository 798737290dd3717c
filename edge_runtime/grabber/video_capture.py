"""The driver `opencv`: V4L2 cameras, and streams by OpenCV's own FFmpeg."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from edge_runtime.opencv import opencv

from .driver import PIXELS_MAX, DriverError
from .messages import Facts
from .ring import Image


class VideoCapture:
    """Options: target, backend, settings {property: value}, and for FFmpeg its own options.

    One decoding thread: each more delays the stream by one picture.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._capture: Any = None

    def open(self) -> Facts:
        cv2 = self._cv2 = opencv("a camera")
        parameters = []
        if "ffmpeg" in self._options:  # OpenCV reads it from the environment, and only there
            os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = self._options["ffmpeg"]
            parameters = [cv2.CAP_PROP_N_THREADS, 1]
        backend = getattr(cv2, self._options["backend"])
        self._capture = cv2.VideoCapture(self._options["target"], backend, parameters)
        if not self._capture.isOpened():
            raise DriverError("cannot be opened")
        for key, value in self._options.get("settings", {}).items():
            number = cv2.VideoWriter.fourcc(*value) if key == "CAP_PROP_FOURCC" else value
            self._capture.set(getattr(cv2, key), number)
        facts = self._facts()
        if facts.width * facts.height > PIXELS_MAX:
            raise DriverError(f"states {facts.width}x{facts.height} pixels: too many")
        return facts

    def grab(self) -> bool:
        return bool(self._capture.grab())

    def retrieve(self, into: Image | None) -> Image | None:
        try:
            whole, image = self._capture.retrieve(into)
        except self._cv2.error:  # a picture that OpenCV's own JPEG decoder refuses
            return None
        return image if whole and image is not None and image.size else None

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _facts(self) -> Facts:
        cv2, get = self._cv2, self._capture.get
        code = (int(get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF).to_bytes(4, "little")
        return Facts(
            int(get(cv2.CAP_PROP_FRAME_WIDTH)),
            int(get(cv2.CAP_PROP_FRAME_HEIGHT)),
            float(get(cv2.CAP_PROP_FPS)),
            code.decode("ascii", "replace") if code.isalnum() else "",
        )
