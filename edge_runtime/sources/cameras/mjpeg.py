"""The source `mjpeg`: JPEGs over HTTP, as cheap cameras and many programs send them."""

from __future__ import annotations

import re
import ssl
import time
from pathlib import Path

import numpy as np

from edge_runtime import weburl
from edge_runtime.errors import BadOptionError, ConfigError, FrameError, SourceLostError
from edge_runtime.frame import Array, Frame
from edge_runtime.opencv import opencv

from .http_stream import HttpError, HttpStream
from .image_header import image_size
from .multipart import PartError, Parts

_BOUNDARY = re.compile(r'multipart/.*;\s*boundary=("[^"]+"|[^\s;]+)', re.IGNORECASE)


class Mjpeg:
    """Frames of a stream `multipart/x-mixed-replace`, stamped when their last byte has come.

    A part that is damaged, too long or too large is skipped, and the stream goes on behind it.
    The password is in no message and no result; Basic log-in sends it readable by everyone on the
    way, so use https or a camera that knows Digest.

    Args:
        name: the source's name.
        url: "http://host:port/path" or https, without user and password.
        username: for the camera's log-in; rather in EDGE_RUN_MJPEG_USERNAME.
        password: rather in EDGE_RUN_MJPEG_PASSWORD.
        ca_file: certificate of the authority that signed the camera's, for https.
        open_s: the server must answer within it.
        silent_s: without a picture for so long, the camera is lost.
        bytes_max: a longer picture is skipped.
        pixels_max: a larger picture is not decoded.
    """

    live = True

    def __init__(
        self,
        *,
        name: str = "mjpeg",
        url: str,
        username: str = "",
        password: str = "",
        ca_file: str = "",
        open_s: float = 10.0,
        silent_s: float = 5.0,
        bytes_max: int = 10_000_000,
        pixels_max: int = 50_000_000,
    ) -> None:
        self._parts_of_url = weburl.parse(url, ("http", "https"))
        if password and not username:
            raise BadOptionError("username", "is missing beside the password")
        for key, value in (("open_s", open_s), ("silent_s", silent_s)):
            if not 0.1 <= value <= 600:
                raise BadOptionError(key, f"{value} is not within 0.1..600")
        for key, count in (("bytes_max", bytes_max), ("pixels_max", pixels_max)):
            if count < 1:
                raise BadOptionError(key, f"{count} must be above 0")
        self.name = name
        self._what = weburl.shown(self._parts_of_url)
        self._login, self._ca_file = (username, password), ca_file
        self._open_s, self._silent_s = open_s, silent_s
        self._bytes_max, self._pixels_max = bytes_max, pixels_max
        self._stream: HttpStream | None = None
        self._seq = 0

    def open(self) -> None:
        """Raises ConfigError (ca_file), SourceLostError (nobody there, refused, no stream)."""
        self.close()
        self._cv2 = opencv("source mjpeg")
        stream = HttpStream(self._parts_of_url, *self._login, self._context())
        try:
            stream.open(self._open_s)
            self._parts = Parts(_boundary(stream.content_type), self._bytes_max)
        except (HttpError, OSError) as exc:
            stream.close()
            raise SourceLostError(f"{self.name}: {self._what} {_reason(exc)}") from exc
        self._stream = stream
        self._due = time.monotonic() + self._silent_s
        if self._seq:
            self._seq += 1  # what passed while the camera was away is missing

    def read(self, timeout_s: float) -> Frame | None:
        """The next picture, or None when there was none in time.

        Raises FrameError (skipped), SourceLostError (closed, or silent for too long).
        """
        if self._stream is None:
            raise SourceLostError(f"{self.name}: is not open")
        until = time.monotonic() + timeout_s
        while True:
            try:
                jpeg = self._parts.next()
            except PartError as exc:
                raise FrameError(f"{self.name}: a picture of {self._what} {exc}") from exc
            if jpeg is not None:
                return self._frame(jpeg)
            if not self._received(self._stream, min(until, self._due) - time.monotonic()):
                return None

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _received(self, stream: HttpStream, timeout_s: float) -> bool:
        """Take in what has come; False when nothing did in time. Raises SourceLostError."""
        try:
            data = stream.read(timeout_s)
        except (HttpError, OSError) as exc:
            raise SourceLostError(f"{self.name}: {self._what} {_reason(exc)}") from exc
        if data == b"":
            raise SourceLostError(f"{self.name}: {self._what} has ended the stream")
        if time.monotonic() >= self._due:
            raise SourceLostError(
                f"{self.name}: {self._what} has given no picture for {self._silent_s:g} s"
            )
        if data:
            self._parts.add(data)
        return data is not None

    def _frame(self, jpeg: bytes) -> Frame:
        timestamp_ns, monotonic_ns = time.time_ns(), time.monotonic_ns()
        seq, self._seq = self._seq, self._seq + 1
        try:
            image = self._decoded(jpeg)
        except (ValueError, self._cv2.error) as exc:
            raise FrameError(f"{self.name}: a picture of {self._what} {exc}") from exc
        self._due = time.monotonic() + self._silent_s
        return Frame(image, timestamp_ns, monotonic_ns, seq, self.name)

    def _decoded(self, jpeg: bytes) -> Array:
        """Raises ValueError that goes on after the picture's name."""
        width, height = image_size(jpeg)
        if width * height > self._pixels_max:
            raise ValueError(f"states {width}x{height} pixels, more than pixels_max")
        image: Array | None = self._cv2.imdecode(
            np.frombuffer(jpeg, np.uint8), self._cv2.IMREAD_COLOR
        )
        if image is None:
            raise ValueError("does not decode")
        return image

    def _context(self) -> ssl.SSLContext | None:
        if self._parts_of_url.scheme == "http":
            return None
        if self._ca_file and not Path(self._ca_file).is_file():
            raise ConfigError(f"{self.name}: ca_file = '{self._ca_file}': there is no such file")
        try:
            return ssl.create_default_context(cafile=self._ca_file or None)
        except ssl.SSLError as exc:
            raise ConfigError(f"{self.name}: ca_file = '{self._ca_file}': {exc.reason}") from exc


def _boundary(content_type: str) -> str:
    found = _BOUNDARY.match(content_type)
    if found is None:
        raise HttpError(
            f"is '{content_type[:60]}', no stream of JPEGs: take the address of the camera's MJPEG "
            "stream"
        )
    return found[1]


def _reason(exc: Exception) -> str:
    if isinstance(exc, TimeoutError):
        return "does not answer in time"
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"has a certificate that is not trusted ({exc.verify_message}): set ca_file"
    if isinstance(exc, OSError):
        return f"cannot be reached: {exc.strerror or exc}"
    return str(exc)
