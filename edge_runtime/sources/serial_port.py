"""A serial port that says in one line what is wrong with it, and what would help."""

from __future__ import annotations

import errno
import logging
import select
import stat
import time
from pathlib import Path
from typing import Any

from edge_runtime.errors import ConfigError, MissingExtraError, SourceLostError

log = logging.getLogger(__name__)

READ_BYTES = 4096  # what a kernel holds for a port
_REMEDIES = {
    errno.ENOENT: "no such port: is the board plugged in? ls /dev/serial/by-id shows what is",
    errno.ENODEV: "no such device: is the board plugged in?",
    errno.ENXIO: "no such device: is the board plugged in?",
    errno.EACCES: "permission denied: sudo usermod -aG dialout $USER, then log in again",
    errno.EPERM: "permission denied: sudo usermod -aG dialout $USER, then log in again",
    errno.EBUSY: "in use by another program",
    errno.EAGAIN: "in use by another program",
}


class SerialPort:
    """One port, taken for ourselves while it is open. `quiet_s` is how long nothing came."""

    def __init__(self, path: str, baud: int) -> None:
        self.path = path
        self.quiet_s = 0.0
        self._baud = baud
        self._device: Any = None
        self._errors: tuple[type[Exception], ...] = (OSError,)

    def open(self) -> None:
        """Raises MissingExtraError, ConfigError, SourceLostError."""
        try:
            import serial
        except ImportError as exc:
            raise MissingExtraError("source serial", "serial", exc) from exc
        import termios

        self.close()
        self._errors = (OSError, termios.error)  # SerialException is an OSError
        try:
            if not stat.S_ISCHR(Path(self.path).stat().st_mode):
                raise ConfigError(f"{self.path}: is not a serial port")
            self._device = serial.Serial(self.path, self._baud, timeout=0, exclusive=True)
        except self._errors as exc:
            raise self._lost(exc) from exc
        except (ValueError, OverflowError) as exc:
            raise ConfigError(f"{self.path}: baud = {self._baud}: {exc}") from exc
        self.quiet_s = 0.0

    def receive(self, timeout_s: float) -> bytes:
        """What arrives within the time, as soon as something does; empty when nothing did.

        Raises SourceLostError when the port is gone or not open.
        """
        if self._device is None:
            raise SourceLostError(f"{self.path}: is not open")
        begun_s = time.monotonic()
        try:
            ready = select.select([self._device.fileno()], [], [], timeout_s)[0]
            raw: bytes = self._device.read(READ_BYTES) if ready else b""
        except self._errors as exc:
            raise self._lost(exc) from exc
        self.quiet_s += time.monotonic() - begun_s
        return raw

    def close(self) -> None:
        """Give the port back; may be called twice."""
        device, self._device = self._device, None
        if device is not None:
            try:
                device.close()
            except self._errors as exc:
                log.debug("%s: while closing: %s", self.path, exc)

    def _lost(self, exc: Exception) -> SourceLostError:
        number = exc.args[0] if exc.args and isinstance(exc.args[0], int) else None
        reason = _REMEDIES.get(getattr(exc, "errno", None) or number or 0)
        text = reason or " ".join(str(exc).split()) or type(exc).__name__
        return SourceLostError(f"{self.path}: {text}")
