"""Sink `jsonl`: one result per line in a file, or on standard output."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from pathlib import Path

from edge_runtime.errors import BadOptionError, ConfigError, SinkError
from edge_runtime.frame import Identity, Info, Result
from edge_runtime.wire import Encoder

log = logging.getLogger(__name__)

STDOUT = "-"


class Jsonl:
    """Appends results as JSON by result.schema.json; each line is handed to the system at once.

    A line that does not fit on the disk is taken back whole, counted, and told once; writing goes
    on when there is room again.

    Args:
        path: the file; "-" is standard output.
        max_mb: a file that has grown so large becomes `<path>.1`, in place of the one before;
            0 lets it grow.

    Raises:
        BadOptionError: no path, or a limit below zero or for standard output.
    """

    def __init__(self, *, identity: Identity, path: str, max_mb: float = 0.0) -> None:
        if not path:
            raise BadOptionError("path", 'is empty; name a file, or "-" for standard output')
        if max_mb < 0:
            raise BadOptionError("max_mb", f"{max_mb} is below 0")
        if max_mb and path == STDOUT:
            raise BadOptionError("max_mb", "standard output cannot be rotated")
        self.lost = 0  # results that could not be written
        self._path = path
        self._max_bytes = int(max_mb * 1e6)
        self._encoder = Encoder(identity)
        self._file: io.FileIO | None = None
        self._size_bytes = 0
        self._cause = ""  # of the last loss
        self._told = ""  # the cause that was logged since the last line that was written

    def open(self) -> None:
        """Open or make the file. Raises ConfigError when that is not possible."""
        if self._path == STDOUT:
            self._file = io.FileIO(1, "w", closefd=False)
            return
        try:
            self._reopen()
        except OSError as exc:
            raise ConfigError(f"sink jsonl: path: {self._path}: {exc.strerror}") from exc

    def publish(self, result: Result) -> None:
        """Write a line. Raises SinkError only when the reader of standard output has gone."""
        line = self._encoder.result(result) + b"\n"
        try:
            if self._max_bytes and self._size_bytes + len(line) > self._max_bytes:
                self._rotate()
            self._write(line)
        except BrokenPipeError as exc:
            self.lost += 1
            raise SinkError("standard output was closed by its reader") from exc
        except OSError as exc:
            self._count(exc)
        else:
            self._told = ""

    def announce(self, info: Info) -> None:
        """Nothing: the file holds results only."""

    def ready(self) -> bool:
        """Always: a line is written or lost at once."""
        return True

    def close(self) -> None:
        """Close the file. Raises SinkError when lines could not be written."""
        if self._file is None:
            return
        self._file.close()
        self._file = None
        if self.lost:
            raise SinkError(f"{self._path}: {self.lost} results not written ({self._cause})")

    def _write(self, line: bytes) -> None:
        if self._file is None:
            raise SinkError(f"{self._path}: the file is not open")
        try:
            written = self._file.write(line)
            while written < len(line):
                written += self._file.write(line[written:])
        except OSError:
            with contextlib.suppress(OSError):  # a device or a pipe has no length
                self._file.truncate(self._size_bytes)
            raise
        self._size_bytes += len(line)

    def _reopen(self) -> None:
        self._file = io.FileIO(self._path, "a+")
        self._size_bytes = os.fstat(self._file.fileno()).st_size
        if self._size_bytes:
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b"\n":  # a power cut tore the last line
                self._write(b"\n")

    def _rotate(self) -> None:
        old = self._file
        if old is not None and self._size_bytes:
            with contextlib.suppress(FileNotFoundError):  # renamed by us or by another
                Path(self._path).replace(f"{self._path}.1")
            self._reopen()
            old.close()

    def _count(self, exc: OSError) -> None:
        self.lost += 1
        self._cause = exc.strerror or str(exc)
        if self._cause != self._told:
            self._told = self._cause
            log.error("%s: %s: results are lost", self._path, self._cause)
