"""A serial port that says in one line what is wrong with it, and what would help."""

from __future__ import annotations

import errno
import logging
import os
import select
import stat
from pathlib import Path
from typing import Any

from edge_runtime.errors import ConfigError, MissingExtraError, SourceLostError

log = logging.getLogger(__name__)

READ_BYTES = 4096  # what a kernel gives at once
MOST_BYTES = 65536  # what it may have held back
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
    """One port, taken for ourselves while it is open. See `byte_stream.Transport`."""

    hint = "is baud right?"

    def __init__(self, path: str, baud: int) -> None:
        self.where = path
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
            if not stat.S_ISCHR(Path(self.where).stat().st_mode):
                raise ConfigError(f"{self.where}: is not a serial port")
            self._device = serial.Serial(self.where, self._baud, timeout=0, exclusive=True)
        except self._errors as exc:
            raise self._lost(exc) from exc
        except (ValueError, OverflowError) as exc:
            raise ConfigError(f"{self.where}: baud = {self._baud}: {exc}") from exc

    def receive(self, timeout_s: float) -> list[bytes]:
        """What arrives within the time, as soon as something does; empty when nothing did.

        Raises SourceLostError when the port is gone or not open.
        """
        if self._device is None:
            raise SourceLostError(f"{self.where}: is not open")
        try:
            if not self._ready(timeout_s):
                return []
            raw = piece = os.read(self._device.fileno(), READ_BYTES)
            while len(piece) == READ_BYTES and len(raw) < MOST_BYTES and self._ready(0):
                piece = os.read(self._device.fileno(), READ_BYTES)
                raw += piece
        except BlockingIOError:
            return []
        except self._errors as exc:
            raise self._lost(exc) from exc
        if not raw:
            raise SourceLostError(f"{self.where}: is ready and gives nothing: unplugged?")
        return [raw]

    def send(self, raw: bytes) -> None:
        """Raises SourceLostError."""
        if self._device is None:
            raise SourceLostError(f"{self.where}: is not open")
        try:
            self._device.write(raw)
        except self._errors as exc:
            raise self._lost(exc) from exc

    def _ready(self, timeout_s: float) -> bool:
        return bool(select.select([self._device.fileno()], [], [], timeout_s)[0])

    def close(self) -> None:
        """Give the port back; may be called twice."""
        device, self._device = self._device, None
        if device is not None:
            try:
                device.close()
            except self._errors as exc:
                log.debug("%s: while closing: %s", self.where, exc)

    def _lost(self, exc: Exception) -> SourceLostError:
        number = exc.args[0] if exc.args and isinstance(exc.args[0], int) else None
        reason = _REMEDIES.get(getattr(exc, "errno", None) or number or 0)
        text = reason or " ".join(str(exc).split()) or type(exc).__name__
        return SourceLostError(f"{self.where}: {text}")
