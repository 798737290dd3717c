"""The source `images`: image files, in the order of their paths."""

from __future__ import annotations

import glob
import threading
import time
from pathlib import Path

import numpy as np

from edge_runtime.errors import (
    BadOptionError,
    ConfigError,
    EndOfStream,
    FrameError,
    SourceLostError,
)
from edge_runtime.frame import Frame
from edge_runtime.opencv import opencv

from .image_header import image_size

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})


class Images:
    """One frame per file; its `seq` is the file's place in the sorted list, from 0.

    The list is made when the source is opened. A file that cannot be used is told by one
    FrameError that names it, and leaves its `seq` unused; the others follow. A frame's wall
    time is when its file was read. JPEGs are turned as their EXIF data says.

    Args:
        name: the source's name.
        path: a directory (its PNG, JPEG, BMP and WebP files), a pattern ("shots/**/*.jpg"), or
            one file.
        rate_hz: files a second; 0 reads as fast as frames are taken.
        pixels_max: a larger picture is not decoded.
    """

    live = False

    def __init__(
        self,
        *,
        name: str = "images",
        path: str,
        rate_hz: float = 0.0,
        pixels_max: int = 50_000_000,
    ) -> None:
        if not path:
            raise BadOptionError("path", "is empty; give a directory, a pattern or a file")
        if not 0 <= rate_hz <= 1000:
            raise BadOptionError("rate_hz", f"{rate_hz} is not within 0..1000")
        if pixels_max < 1:
            raise BadOptionError("pixels_max", f"{pixels_max} must be above 0")
        self.name = name
        self._path, self._rate_hz, self._pixels_max = path, rate_hz, pixels_max
        self._files: tuple[Path, ...] | None = None
        self._next = 0
        self._stop = threading.Event()

    def open(self) -> None:
        """Raises ConfigError when there is no file at all, MissingExtraError."""
        self._cv2 = opencv("source images")
        self._files = _listed(self._path)
        if not self._files:
            raise ConfigError(f"{self.name}: path = '{self._path}': there is no image")
        self._next = 0
        self._begun_ns = time.monotonic_ns()
        self._stop.clear()

    def read(self, timeout_s: float) -> Frame | None:
        """The next image, or None when it is not due in time.

        Raises FrameError when a file cannot be used, EndOfStream after the last one.
        """
        if self._files is None:
            raise SourceLostError(f"{self.name}: is not open")
        if self._next >= len(self._files):
            raise EndOfStream
        if self._rate_hz and not self._wait(timeout_s):
            return None
        seq, self._next = self._next, self._next + 1
        try:
            image = self._decoded(self._files[seq])
        except (OSError, ValueError, self._cv2.error) as exc:
            detail = exc.strerror if isinstance(exc, OSError) else exc
            raise FrameError(f"{self.name}: {self._files[seq]} {detail}") from exc
        return Frame(image, time.time_ns(), time.monotonic_ns(), seq, self.name)

    def close(self) -> None:
        self._stop.set()
        self._files = None

    def _decoded(self, file: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        """Raises ValueError that goes on after the file's name, OSError."""
        bytes_max = 4 * self._pixels_max + (1 << 20)  # uncompressed, and what stands around it
        if file.stat().st_size > bytes_max:
            raise ValueError(f"is larger than {bytes_max} bytes; raise pixels_max to allow it")
        data = file.read_bytes()
        width, height = image_size(data)
        if width * height > self._pixels_max:
            raise ValueError(
                f"states {width}x{height} pixels, more than pixels_max = {self._pixels_max}"
            )
        image = self._cv2.imdecode(np.frombuffer(data, np.uint8), self._cv2.IMREAD_COLOR)
        if image is None:
            raise ValueError("is damaged: it does not decode")
        return image  # type: ignore[no-any-return]

    def _wait(self, timeout_s: float) -> bool:
        due_ns = self._begun_ns + round(self._next * 1e9 / self._rate_hz)
        left_s = (due_ns - time.monotonic_ns()) / 1e9
        if left_s > 0:
            self._stop.wait(min(left_s, timeout_s))
        return time.monotonic_ns() >= due_ns


def _listed(path: str) -> tuple[Path, ...]:
    """The files that a directory, a pattern or a name stands for, sorted."""
    here = Path(path)
    if here.is_dir():
        found = [file for file in here.iterdir() if file.suffix.lower() in SUFFIXES]
    elif here.exists():
        found = [here]
    else:
        found = [Path(name) for name in glob.glob(path, recursive=True)]  # noqa: PTH207
    return tuple(sorted(file for file in found if file.is_file()))
