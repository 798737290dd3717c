"""bdSeq: the number that ties a will to its birth, one more at each connection, 0 after 255.

It survives the process, so that the will of a process that was killed is not taken for that of
the next (Sparkplug 3.0, sections 5.4 and 6.4.25).
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from edge_runtime import state

log = logging.getLogger(__name__)


class Counter:
    """Kept in `folder`, in a file for each node. Raises ConfigError when none can be kept there."""

    def __init__(self, folder: Path, group: str, node: str) -> None:
        name = hashlib.sha256(f"{group}/{node}".encode()).hexdigest()[:16]
        self._path = folder / f"sparkplug-{name}.bdseq"
        self._last = -1
        self._kept = True
        try:
            state.ensure(folder)
            self._last = int(self._path.read_text(encoding="ascii"))
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as exc:
            log.warning("%s: %s: the birth numbers begin again at 0", self._path, exc)

    def advance(self) -> int:
        """The next number. One that cannot be written down is used all the same."""
        self._last = (self._last + 1) % 256
        try:
            state.replace(self._path, b"%d\n" % self._last)
        except OSError as exc:
            if self._kept:
                log.warning("%s: %s: the next start repeats a birth number", self._path, exc)
            self._kept = False
        return self._last
