"""Read the lines of a text file or of a pipe, a block at a time."""

from __future__ import annotations

import os
import select
import sys
from typing import TYPE_CHECKING

from edge_runtime.errors import ConfigError, EndOfStream, SourceLostError

if TYPE_CHECKING:
    from pathlib import Path

STDIN = "-"
BLOCK_BYTES = 1 << 16
MAX_LINE_BYTES = 1 << 16  # what is longer is cut, and so becomes a bad row


class Lines:
    """The lines of a UTF-8 file, or of standard input when the path is "-".

    Raises ConfigError when the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.shown = "standard input" if str(path) == STDIN else str(path)
        self.number = 1  # of the line that comes next
        self._carry = b""
        self._ended = False
        if str(path) == STDIN:
            self._fd = os.dup(sys.stdin.fileno())
            return
        try:
            if not path.is_file():
                problem = "is not a file" if path.exists() else "no such file"
                raise ConfigError(f"{path}: {problem}")
            self._fd = os.open(path, os.O_RDONLY)
        except OSError as exc:
            raise ConfigError(f"{path}: {exc.strerror}") from exc

    def read(self, timeout_s: float) -> list[str] | None:
        """The next lines, without their ends; None when there are none within `timeout_s`.

        Raises EndOfStream; SourceLostError when the file cannot be read any more.
        """
        if self._ended:
            raise EndOfStream
        try:
            if not select.select([self._fd], [], [], timeout_s)[0]:
                return None
            raw = os.read(self._fd, BLOCK_BYTES)
        except OSError as exc:
            raise SourceLostError(f"{self.shown}: {exc.strerror}") from exc
        self._ended = not raw
        whole, newline, self._carry = (self._carry + raw).rpartition(b"\n")
        if self._ended:
            whole, newline, self._carry = self._carry, b"", b""
        self._carry = self._carry[:MAX_LINE_BYTES]
        if not whole and not newline:
            return []
        lines = whole.decode("utf-8", "replace").replace("\r", "").split("\n")
        if self.number == 1:
            lines[0] = lines[0].removeprefix("\ufeff")
        self.number += len(lines)
        return lines

    def rewind(self) -> None:
        """Begin again at the first line; a pipe cannot. Raises SourceLostError."""
        try:
            os.lseek(self._fd, 0, os.SEEK_SET)
        except OSError as exc:
            raise SourceLostError(f"{self.shown}: {exc.strerror}") from exc
        self.number, self._carry, self._ended = 1, b"", False

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
