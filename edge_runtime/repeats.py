"""Which results were heard before: a broker and a device may each send one again."""

from __future__ import annotations

from collections import OrderedDict

REMEMBERED = 100_000  # ids by which a repeat is known: 24 MB, ten minutes of 160 a second


class Repeats:
    """The last REMEMBERED ids, each of one pipeline: another's cannot push it out of sight."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def hear(self, root: str, message_id: str) -> bool:
        """Note an id; gives whether it is known already."""
        key = (root, message_id)
        if key in self._known:
            return True
        self._known[key] = None
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return False
