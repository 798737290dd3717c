"""Reading that cannot be made to wait: every byte comes against a deadline and a minimum rate.

A server that drips one byte a second never meets a socket's time-out (TUF dropped this attack in
2020, Uptane still names it); here it meets the end of the window.
"""

from __future__ import annotations

import io
import socket
import time
from dataclasses import dataclass

from edge_runtime.errors import DownloadError


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a server may take.

    `metadata_s` is for all metadata from one mirror; a bundle gets the same and its length over
    `rate` on top. `rate` is in bytes a second and is asked of every `window_s` seconds.
    """

    connect_s: float = 15.0
    metadata_s: float = 60.0
    rate: int = 1000
    window_s: float = 20.0

    def end(self, length: int = 0) -> float:
        """The moment of `time.monotonic` by which so many bytes must have come, from now on."""
        return time.monotonic() + self.metadata_s + length / self.rate


class Pace:
    """What one transfer may still take. `end` is a moment of `time.monotonic`."""

    def __init__(self, end: float, limits: Limits) -> None:
        self._end, self._limits = end, limits
        self._window_end = time.monotonic() + limits.window_s
        self._came = 0

    def left_s(self) -> float:
        """Seconds to the deadline or the end of this window. Raises DownloadError("too-slow")."""
        now = time.monotonic()
        if now >= self._end:
            raise DownloadError("the server took too long: past the deadline", reason="too-slow")
        if now >= self._window_end:
            window_s, rate = self._limits.window_s, self._limits.rate
            if self._came < rate * window_s:
                raise DownloadError(
                    f"the server is too slow: {self._came} bytes in {window_s:g} s, "
                    f"less than {rate} a second",
                    reason="too-slow",
                )
            self._window_end, self._came = now + window_s, 0
        return min(self._end, self._window_end) - now

    def count(self, came: int) -> None:
        self._came += came


class Wire:
    """A connected socket as `http.client` wants it, paced. Set `pace` before each request."""

    def __init__(self, connected: socket.socket, pace: Pace) -> None:
        self.socket, self.pace = connected, pace
        self._readers, self._unwanted = 0, False

    def sendall(self, data: bytes) -> None:
        self.socket.settimeout(self.pace.left_s())
        self.socket.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        self._readers += 1
        return io.BufferedReader(_Reading(self))

    def close(self) -> None:
        """As a socket's: an answer after which the server hangs up is still read to its end."""
        self._unwanted = True
        if not self._readers:
            self.socket.close()

    def end(self) -> None:
        """At once."""
        self.socket.close()

    def was_read(self) -> None:
        self._readers -= 1
        if self._unwanted and not self._readers:
            self.socket.close()


class _Reading(io.RawIOBase):
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._wire.was_read()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        wire = self._wire
        while True:
            wire.socket.settimeout(wire.pace.left_s())
            try:
                came = wire.socket.recv_into(buffer)
            except TimeoutError:  # at the end of a window: left_s() judges it
                continue
            wire.pace.count(came)
            return came
