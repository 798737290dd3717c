"""What a pipeline remembers of the commands that it has obeyed, so that none is obeyed twice."""

from __future__ import annotations

import json
from pathlib import Path

from edge_runtime import state

from .letter import Letter

FILE = "commands.json"
IDS = 64  # remembered; more commands than that cannot be valid at one time


class Ledger:
    """The highest counter, the latest ids and the latest time, in a file.

    Raises OSError when the file cannot be read, ValueError when it holds something else.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._counter = 0
        self._ids: list[str] = []
        self.time_ns = 0  # wall time of the last command
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return
        try:
            found = json.loads(content)
            self._counter, self.time_ns = int(found["counter"]), int(found["time_ns"])
            self._ids = [str(name) for name in found["ids"]]
        except (LookupError, TypeError, ValueError) as exc:
            raise ValueError(
                f"{self._path} is damaged; remove it, and commands of the last minute could be "
                "obeyed twice"
            ) from exc

    def refusal(self, letter: Letter) -> str:
        """Why this command was had before; "" when it is new."""
        if letter.counter <= self._counter:
            return "replayed"
        return "duplicate-id" if letter.id in self._ids else ""

    def enter(self, letter: Letter, time_ns: int) -> None:
        """Remember it for ever: from here on a power cut does not bring it back.

        Raises OSError, and it counts as not had.
        """
        ids = [*self._ids, letter.id][-IDS:]
        latest_ns = max(self.time_ns, time_ns)
        content = {"counter": letter.counter, "ids": ids, "time_ns": latest_ns}
        state.replace(self._path, json.dumps(content).encode())
        self._counter, self._ids, self.time_ns = letter.counter, ids, latest_ns
