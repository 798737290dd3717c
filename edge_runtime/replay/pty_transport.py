"""A pseudo-terminal that a program opens as it would open a serial port."""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import select
import termios
import threading
import time
import tty
from collections.abc import Sequence
from pathlib import Path

from edge_runtime.errors import ConfigError

from .transport import POLL_S

SETTLED_S = 0.1  # so long without bytes to read: the reader has them all


class Pty:
    """A pty; `link` is a symbolic link to it that stays while it is plugged in.

    What nobody reads is lost, as on a serial line.
    """

    def __init__(self, link: Path | None, stop: threading.Event) -> None:
        self.where = ""
        self._link, self._stop = link, stop
        self._fd = -1
        self._port = ""

    def open(self) -> None:
        """Make the pty and its link. Raises ConfigError when the link's place is taken."""
        if self._link is not None and self._link.exists() and not self._link.is_symlink():
            raise ConfigError(f"--to pty:{self._link}: is there already, and is no link")
        self.plug()

    def heard(self) -> bool:
        """Whether a program has it open."""
        if self._fd < 0:
            return False
        poll = select.poll()
        poll.register(self._fd, 0)
        return not any(what & select.POLLHUP for _, what in poll.poll(0))

    def send(self, packets: Sequence[bytes], *, wait: bool) -> int:
        """See `Transport`."""
        rest = memoryview(b"".join(packets))
        while rest and self.heard():
            self._listen()
            if select.select([], [self._fd], [], POLL_S if wait else 0)[1]:
                with contextlib.suppress(BlockingIOError):
                    rest = rest[os.write(self._fd, rest) :]
            elif not wait or self._stop.is_set():
                break
        return len(rest)

    def unplug(self) -> None:
        """Close it; the link goes too."""
        if self._link is not None:
            with contextlib.suppress(OSError):
                self._link.unlink()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def plug(self) -> None:
        """Make a pty; without a link its name may be another than before. Raises ConfigError."""
        self._fd, slave = os.openpty()
        tty.setraw(slave)
        self._port = os.ttyname(slave)
        os.close(slave)  # from now on a hang-up means that nobody listens
        os.set_blocking(self._fd, False)
        self.where = str(self._link or self._port)
        if self._link is None:
            return
        try:
            with contextlib.suppress(FileNotFoundError):
                self._link.unlink()
            self._link.symlink_to(self._port)
        except OSError as exc:
            raise ConfigError(f"--to pty:{self._link}: {exc.strerror}") from exc

    def drain(self, timeout_s: float) -> None:
        """Wait until the reader has it all."""
        until_s = time.monotonic() + timeout_s
        empty_s = 0.0
        while empty_s < SETTLED_S and time.monotonic() < until_s and self.heard():
            empty_s = 0.0 if self._unread() else empty_s + POLL_S
            if self._stop.wait(POLL_S):
                return

    def close(self) -> None:
        """Close it, and remove the link."""
        self.unplug()

    def _listen(self) -> None:
        """Throw away what the program says to the board."""
        with contextlib.suppress(OSError):
            while os.read(self._fd, 4096):
                pass

    def _unread(self) -> int:
        """Bytes that wait for the reader."""
        count = array.array("i", [0])
        try:
            fd = os.open(self._port, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:
            return 0
        try:
            fcntl.ioctl(fd, termios.FIONREAD, count)
        except OSError:
            return 0
        finally:
            os.close(fd)
        return count[0]
