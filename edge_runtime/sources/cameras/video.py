"""The source `video`: a video file, every frame of it, through OpenCV and FFmpeg."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Literal

from edge_runtime.errors import (
    BadOptionError,
    ConfigError,
    EndOfStream,
    FrameError,
    SourceLostError,
)
from edge_runtime.frame import Frame
from edge_runtime.opencv import opencv

# A container may count a few frames that no decoder shows; more than that is damage.
_MISSING_SHARE_MAX = 0.01
_MISSING_MAX = 2


class Video:
    """The frames of a file, in order, none left out.

    A frame's wall time is the opening of the file plus its place in the video. A file that
    ends before the count of its header does is told by one FrameError before the end; damage
    that the decoder conceals inside a picture cannot be seen from here.

    Args:
        name: the source's name.
        path: the file: whatever FFmpeg reads.
        pace: "flat" reads as fast as frames are taken, "real" at the pace of the video.
        threads: of the decoder; more than 1 shortens the wait and costs CPU time and memory.
    """

    live = False

    def __init__(
        self,
        *,
        name: str = "video",
        path: str,
        pace: Literal["flat", "real"] = "flat",
        threads: int = 1,
    ) -> None:
        if not path:
            raise BadOptionError("path", "is empty; give a video file")
        if not 1 <= threads <= 64:
            raise BadOptionError("threads", f"{threads} is not within 1..64")
        self.name = name
        self._path, self._real, self._threads = Path(path), pace == "real", threads
        self._capture: Any = None
        self._stop = threading.Event()

    def open(self) -> None:
        """Raises ConfigError when the file is not there or is no video, MissingExtraError."""
        self.close()
        if not self._path.is_file():
            raise ConfigError(f"{self.name}: path = '{self._path}': there is no such file")
        cv2 = self._cv2 = opencv("source video")
        options = [cv2.CAP_PROP_N_THREADS, self._threads]
        capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG, options)
        if not capture.isOpened():
            raise ConfigError(
                f"{self.name}: path = '{self._path}': no video that FFmpeg can read; a copy that "
                "broke off cannot be read at all when its index stands at the end"
            )
        self._capture = capture
        self._expected = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self._period_ns = round(1e9 / max(capture.get(cv2.CAP_PROP_FPS), 1e-3))
        self._seq, self._offset_ns = 0, -1
        self._next: Any = None
        self._wall_ns, self._begun_ns = time.time_ns(), time.monotonic_ns()
        self._stop.clear()

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, or None when it is not due in time.

        Raises FrameError when the file broke off, EndOfStream after the last frame.
        """
        if self._capture is None:
            raise SourceLostError(f"{self.name}: is not open")
        if self._next is None:
            self._next = self._decoded()
        if self._real and not self._wait(self._begun_ns + self._offset_ns, timeout_s):
            return None
        image, self._next = self._next, None
        seq, self._seq = self._seq, self._seq + 1
        return Frame(
            data=image,
            timestamp_ns=self._wall_ns + self._offset_ns,
            monotonic_ns=time.monotonic_ns(),
            seq=seq,
            source=self.name,
        )

    def close(self) -> None:
        self._stop.set()
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _decoded(self) -> Any:
        """The next picture; its place in the video is then `_offset_ns`."""
        there, image = self._capture.read()
        if there:
            place_ns = round(self._capture.get(self._cv2.CAP_PROP_POS_MSEC) * 1e6)
            later = place_ns > self._offset_ns
            self._offset_ns = place_ns if later else self._offset_ns + self._period_ns
            return image
        expected, self._expected = self._expected, 0
        if expected - self._seq > max(_MISSING_MAX, _MISSING_SHARE_MAX * expected):
            raise FrameError(
                f"{self.name}: {self._path} ends after {self._seq} of {expected} frames: it is "
                "cut off or damaged"
            )
        raise EndOfStream

    def _wait(self, due_ns: int, timeout_s: float) -> bool:
        left_s = (due_ns - time.monotonic_ns()) / 1e9
        if left_s > 0:
            self._stop.wait(min(left_s, timeout_s))
        return time.monotonic_ns() >= due_ns
