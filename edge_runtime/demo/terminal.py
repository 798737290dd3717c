"""Whole pages on a terminal, as the control sequences that draw them.

The alternate screen keeps the user's own text; leaving it brings that back. Sequences are those
of ECMA-48 and of xterm's private modes 7 (wrap), 25 (cursor) and 1049 (alternate screen).
"""

from __future__ import annotations

from collections.abc import Sequence

ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
LEAVE = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"


def drawn(lines: Sequence[str], *, clear: bool) -> str:
    """A page over the one before; `clear` when the terminal has another size than then."""
    start = "\x1b[2J\x1b[H" if clear else "\x1b[H"
    return start + "\r\n".join(f"{text}\x1b[K" for text in lines) + "\x1b[J"
