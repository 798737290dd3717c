"""The source `rtsp`: a network camera, through OpenCV and FFmpeg in a process of its own."""

from __future__ import annotations

import re
import socket
import time
from typing import Literal

from edge_runtime import weburl
from edge_runtime.errors import BadOptionError, SourceLostError
from edge_runtime.frame import Frame
from edge_runtime.grabber.grabber import Grabber

_PATIENCE_S = 2.0  # how long a camera that was there is waited for while its port refuses
_KNOCK_S = 0.1
# The keyframe that is probed stays the first picture: with FFmpeg's "nobuffer" it is thrown away,
# and the next one is awaited. Probing ends with it, unless the size is not known by then.
_LOW_LATENCY = ("fpsprobesize;0", "probesize;32")
_PORTS = {"rtsp": 554, "rtsps": 322}  # RFC 7826, section 4.2
_STATUS = re.compile(r"failed: (\d{3}) \(?([^()\n]*)")
_REFUSED = {
    "401": "the camera refuses the user name and password",
    "403": "the camera refuses this user",
    "404": "the camera has no such path; its manual or ONVIF names the right one",
    "453": "the camera has no bandwidth left; use its second stream",
    "503": "the camera serves as many viewers as it can",
}


class Rtsp:
    """Frames of a network camera, stamped when they are decoded.

    The process that reads is killed when no picture comes for `silent_s`, and the camera is
    reopened: a connection that hangs never hangs the pipeline. The password is in no message, no
    result and no list of processes.

    Args:
        name: the source's name.
        url: "rtsp://host:port/path", without user and password.
        username: for the camera's log-in; rather in EDGE_RUN_RTSP_USERNAME.
        password: rather in EDGE_RUN_RTSP_PASSWORD.
        transport: "tcp" (nothing is lost on the way, late when the network is bad), "udp" (soon,
            with damaged pictures when the network is bad).
        latency: "low" starts with the first keyframe; "safe" lets FFmpeg look at the stream for
            longer and gives late what it saw, for cameras that do not start otherwise.
        open_s: the first picture must come within it.
        silent_s: without a picture for so long, the camera is lost.
    """

    live = True

    def __init__(
        self,
        *,
        name: str = "rtsp",
        url: str,
        username: str = "",
        password: str = "",
        transport: Literal["tcp", "udp"] = "tcp",
        latency: Literal["low", "safe"] = "low",
        open_s: float = 10.0,
        silent_s: float = 5.0,
    ) -> None:
        self.name = name
        parts = weburl.parse(url, ("rtsp", "rtsps"))
        self._address = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        if password and not username:
            raise BadOptionError("username", "is missing beside the password")
        for key, value in (("open_s", open_s), ("silent_s", silent_s)):
            if not 0.1 <= value <= 600:
                raise BadOptionError(key, f"{value} is not within 0.1..600")
        options = [f"rtsp_transport;{transport}", "allowed_media_types;video"]
        if latency == "low":
            options += _LOW_LATENCY
        request = {
            "driver": "opencv",
            "target": weburl.with_login(parts, username, password),
            "backend": "CAP_FFMPEG",
            "ffmpeg": "|".join(options),
        }
        self._open_s = open_s
        self._was_there = False
        self._grabber = Grabber(
            name,
            weburl.shown(parts),
            request,
            open_s=open_s,
            silent_s=silent_s,
            explain=_explain,
        )

    def open(self) -> None:
        """Raises SourceLostError: nobody there, refused, or no picture in time."""
        self._knock()
        self._grabber.open()
        self._was_there = True

    def read(self, timeout_s: float) -> Frame | None:
        """The next picture. Raises FrameError, SourceLostError."""
        return self._grabber.read(timeout_s)

    def close(self) -> None:
        self._grabber.close()

    def _knock(self) -> None:
        """Is anyone there? Cheaper, and a clearer answer, than to start a process.

        A camera that was there and refuses is starting again: it is asked for a while.
        """
        until = time.monotonic() + (min(_PATIENCE_S, self._open_s) if self._was_there else 0.0)
        while True:
            try:
                return socket.create_connection(self._address, self._open_s).close()
            except OSError as exc:
                if not isinstance(exc, ConnectionRefusedError) or time.monotonic() >= until:
                    raise self._away(exc) from exc
            time.sleep(_KNOCK_S)

    def _away(self, exc: OSError) -> SourceLostError:
        reason = "does not answer" if isinstance(exc, TimeoutError) else exc.strerror
        return SourceLostError(
            f"{self.name}: {self._address[0]}:{self._address[1]}: {reason}: is the camera on, "
            "and on this network?"
        )


def _explain(said: str) -> str:
    """What the camera answered, out of FFmpeg's "method DESCRIBE failed: 404 (Not Found)"."""
    found = _STATUS.findall(said)
    if not found:
        return ""
    status, text = found[-1]
    return f": {_REFUSED.get(status, f'it answers {status} {text}')}"
