"""The parent's side: start the reader process, take its pictures, kill it when it is silent."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from edge_runtime.errors import ConfigError, FrameError, SourceLostError
from edge_runtime.frame import Frame

from .messages import BAD, FRAME, LENGTH_MAX, LOST, MISSING, OPENED, Facts, picture
from .ring import Ring

log = logging.getLogger(__name__)

_GONE_S = 2.0  # a killed process that is still there waits inside the kernel
_SAID_MAX = 4096
_LISTEN_EVERY = 64  # pictures: so that the pipe has room for what is said last


class Grabber:
    """A camera in a process of its own.

    Args:
        name: the source's name.
        what: what messages call the camera: "/dev/video0", a URL without its password.
        request: of `driver.make`; `skip` pictures are dropped after opening.
        open_s: the process must give its first picture within it.
        silent_s: and then never be silent for longer.
        explain: makes the end of a message out of what the driver wrote to standard error.
    """

    def __init__(
        self,
        name: str,
        what: str,
        request: Mapping[str, Any],
        *,
        open_s: float,
        silent_s: float,
        explain: Callable[[str], str] = lambda _: "",
    ) -> None:
        self._name, self._what, self._request = name, what, request
        self._explain = explain
        self._open_s, self._silent_s = open_s, silent_s
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._ring: Ring | None = None
        self._first_seq = self._next_seq = 0
        self.facts = Facts(0, 0)
        self.said = ""  # the last that the driver wrote to standard error

    def open(self) -> None:
        """Start the process and wait for its first picture.

        Raises SourceLostError, ConfigError (something must be installed).
        """
        self.close()
        if self._next_seq:
            self._next_seq += 1  # what passed while the camera was away is missing
        self._first_seq, self._ring, self.said = self._next_seq, None, ""
        self._start()
        self._due = time.monotonic() + self._open_s
        while not self.opened:
            if not self._heard():
                self._lose(f"gives no picture within {self._open_s:g} s")
        self._due = time.monotonic() + self._silent_s

    @property
    def opened(self) -> bool:
        """There has been a picture since `open`."""
        return self._ring is not None

    def read(self, timeout_s: float) -> Frame | None:
        """The next picture; None when there was none in time.

        Raises FrameError (it does not decode), SourceLostError (silent, or its process died).
        """
        if self._socket is None:
            raise SourceLostError(f"{self._name}: is not open")
        frame = self._message(min(timeout_s, max(self._due - time.monotonic(), 0.0)))
        if isinstance(frame, Frame):
            self._due = time.monotonic() + self._silent_s
            return frame
        if time.monotonic() >= self._due:
            self._lose(f"has given no picture for {self._silent_s:g} s")
        return None

    def close(self) -> None:
        """Kill the process and what it started; never waits for a driver that blocks."""
        self._ring = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            self._kill(self._process)
            self._listen()
            os.close(self._stderr)
            self._process = None

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._stderr, write_end = os.pipe()
        for end in (self._stderr, write_end):
            os.set_blocking(end, False)  # what nobody reads is dropped, and blocks nobody
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "edge_runtime.grabber.child", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=write_end,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C is the parent's; and its group can be killed
            )
        os.close(write_end)
        with contextlib.suppress(ConnectionError):  # a process that died: the first read says so
            self._socket.send(json.dumps(self._request).encode())

    def _heard(self) -> bool:
        try:
            return bool(self._message(self._due - time.monotonic()))
        except FrameError:  # a stream that is joined in the middle
            return time.monotonic() < self._due

    def _message(self, timeout_s: float) -> Frame | bool:
        """Take one message: a picture, True for another one, False for none in time."""
        assert self._socket is not None
        self._socket.settimeout(max(timeout_s, 1e-3))
        try:
            message, descriptors, _, _ = socket.recv_fds(self._socket, LENGTH_MAX, 1)
        except TimeoutError:
            return False
        except ConnectionError:  # the process died before it read the request
            message, descriptors = b"", []
        kind, body = message[:1], message[1:]
        if kind == FRAME:
            return self._frame(message)
        if kind == OPENED:
            self.facts = Facts(*json.loads(body))
            self._ring = Ring((self.facts.height, self.facts.width, 3), descriptors[0])
            self._ring.close()
            return True
        if kind == BAD:
            if time.monotonic() >= self._due:
                self._lose("gives no picture that decodes")
            raise FrameError(f"{self._name}: a picture of {self._what} does not decode")
        text = body.decode("utf-8", "replace")
        if kind == MISSING:
            self.close()
            raise ConfigError(f"{self._name}: {text}")
        return self._lose(text if kind == LOST else self._end())

    def _frame(self, message: bytes) -> Frame:
        assert self._ring is not None
        told = picture(message)
        seq = self._first_seq + told.seq
        self._next_seq = seq + 1
        if told.seq % _LISTEN_EVERY == 0:
            self._listen()
        image = self._ring.take(told.slot)
        return Frame(image, told.timestamp_ns, told.monotonic_ns, seq, self._name)

    def _lose(self, why: str) -> NoReturn:
        self.close()
        raise SourceLostError(f"{self._name}: {self._what} {why}{self._explain(self.said)}")

    def _end(self) -> str:
        """How the process ended, when it did so without a word."""
        assert self._process is not None
        try:
            status = self._process.wait(_GONE_S)
        except subprocess.TimeoutExpired:
            return "closed its connection"
        return f"lost its reader process ({'signal' if status < 0 else 'exit'} {abs(status)})"

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        try:
            process.wait(_GONE_S)
        except subprocess.TimeoutExpired:
            log.warning(
                "%s: the reader of %s hangs inside the kernel: left behind", self._name, self._what
            )

    def _listen(self) -> None:
        """Keep the end of what the driver wrote to standard error."""
        with contextlib.suppress(BlockingIOError):
            while text := os.read(self._stderr, _SAID_MAX):
                self.said = (self.said + text.decode("utf-8", "replace"))[-_SAID_MAX:]
