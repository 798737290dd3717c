"""How `edge-run watch` shows what it sees: lines, lines of JSON, or a table that is redrawn."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import time
from typing import TYPE_CHECKING, Protocol

from edge_runtime.workbench.viewer import json_line, text_line

if TYPE_CHECKING:
    from edge_runtime.workbench.page import Heading
    from edge_runtime.workbench.viewer import Sight, Viewer

DRAW_S = 0.25  # between two pages


class Display(Protocol):
    """Opened before the first message, closed after the last."""

    def open(self) -> None: ...

    def see(self, sight: Sight) -> None: ...

    def draw(self, now_ns: int, trouble: str) -> None:
        """Show what was seen; called after each batch of messages and at least every second."""
        ...

    def close(self) -> None: ...


class Lines:
    """A line for each message, of JSON for results alone with `raw`."""

    def __init__(self, *, raw: bool, colour: bool) -> None:
        self._raw = raw
        self._colour = colour

    def open(self) -> None:
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr] # labels in any script

    def see(self, sight: Sight) -> None:
        line = json_line(sight) if self._raw else text_line(sight, colour=self._colour)
        if line is not None:
            sys.stdout.write(f"{line}\n")

    def draw(self, now_ns: int, trouble: str) -> None:  # noqa: ARG002 - lines show no clock
        sys.stdout.flush()

    def close(self) -> None:
        sys.stdout.flush()


class Table:
    """A page on the alternate screen; its last picture stays behind on the usual one.

    `origin` is where messages come from, `record` the file that they go to, or "".
    """

    def __init__(self, viewer: Viewer, origin: str, record: str) -> None:
        from edge_runtime.demo.ink import pen_for
        from edge_runtime.workbench.overview import Overview

        self._viewer = viewer
        self._origin = origin
        self._record = record
        self._overview = Overview()
        self._pen = pen_for(os.environ, sys.stdout.encoding, terminal=True)
        self._log = LastLine()
        self._before: list[logging.Handler] = []
        self._size = os.terminal_size((0, 0))
        self._drawn_s = 0.0
        self._now_ns = 0
        self._trouble = ""

    def open(self) -> None:
        from edge_runtime.demo import terminal

        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
        root = logging.getLogger()
        self._before, root.handlers = root.handlers, [self._log]  # lines would tear the page
        self._write(terminal.ENTER)

    def see(self, sight: Sight) -> None:
        self._overview.note(sight)

    def draw(self, now_ns: int, trouble: str) -> None:
        self._now_ns, self._trouble = now_ns, trouble
        if time.monotonic() >= self._drawn_s + DRAW_S:
            from edge_runtime.demo import terminal

            before, self._size = self._size, shutil.get_terminal_size()
            self._write(terminal.drawn(self._page(), clear=before != self._size))
            self._drawn_s = time.monotonic()

    def close(self) -> None:
        from edge_runtime.demo import terminal

        self._write(terminal.LEAVE)
        logging.getLogger().handlers = self._before
        self._size = shutil.get_terminal_size()
        self._write("\n".join(self._page()) + "\n")

    def _page(self) -> list[str]:
        from edge_runtime.demo import ink
        from edge_runtime.workbench.page import View, page

        view = View(self._size.columns, self._size.lines - 1, self._now_ns)
        return ink.painted(page(self._overview, self._heading(), view), self._pen)

    def _heading(self) -> Heading:
        from edge_runtime.workbench.page import Heading

        record = f"  recorded in {self._record}" if self._record else ""
        unlisted = self._overview.unlisted
        more = f", {unlisted} messages of pipelines that are not listed" if unlisted else ""
        trouble = f"{self._trouble}; trying again" if self._trouble else self._log.text
        return Heading(f"{self._origin}{record}", f"{self._viewer.summary}{more}", trouble)

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


class LastLine(logging.Handler):
    """Keeps the last line that was logged as a warning or worse."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()
