"""Sink `console`: a line for people per result, on standard output."""

from __future__ import annotations

import sys
import time
from typing import Literal, TextIO

from edge_runtime.errors import BadOptionError, SinkError
from edge_runtime.frame import Identity, Info, Result
from edge_runtime.lines import info_line, result_line


class Console:
    """Shows results as they come, no faster than a person reads.

    Args:
        max_per_s: lines per second at most; a line says how many results went by unshown.
            0 shows every result.
        colour: "auto" uses colours on a terminal.

    Raises:
        BadOptionError: a rate below zero.
    """

    def __init__(
        self,
        *,
        identity: Identity,
        max_per_s: float = 10.0,
        colour: Literal["auto", "always", "never"] = "auto",
    ) -> None:
        if max_per_s < 0:
            raise BadOptionError("max_per_s", f"{max_per_s} is below 0")
        self._period_s = 1.0 / max_per_s if max_per_s else 0.0
        self._wanted = colour
        self._who = f"{identity.device}/{identity.pipeline}"
        self._stream: TextIO | None = None
        self._colour = False
        self._next_s = 0.0
        self._unshown = 0

    def open(self) -> None:
        """Take standard output."""
        self._stream = sys.stdout
        self._colour = self._wanted == "always" or (
            self._wanted == "auto" and self._stream.isatty()
        )

    def publish(self, result: Result) -> None:
        """Show it, or count it. Raises SinkError when the reader has gone."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            self._unshown += 1
            return
        self._next_s = now_s + self._period_s
        line = result_line(result, colour=self._colour)
        more = f" +{self._unshown} unshown" if self._unshown else ""
        self._unshown = 0
        self._show(line + more)

    def announce(self, info: Info) -> None:
        """Show what runs."""
        self._show(info_line(self._who, info, colour=self._colour))

    def ready(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """Give standard output back."""
        self._stream = None

    def _show(self, line: str) -> None:
        if self._stream is None:
            raise SinkError("sink console: not open")
        try:
            try:
                self._stream.write(f"{line}\n")
            except UnicodeEncodeError:  # a terminal that knows fewer letters than the labels
                self._stream.write(line.encode("ascii", "replace").decode() + "\n")
            self._stream.flush()
        except BrokenPipeError as exc:
            raise SinkError("standard output was closed by its reader") from exc
