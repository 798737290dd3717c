"""Rows on their way to a broker, and the suspicion that one of them makes it hang up.

MQTT 3.1.1 knows no refusal of a message: a broker that will not have one closes the connection
(MQTT 3.1.1, section 3.3.5), and would be sent the same message again at each reconnect. A row is
given up after it was three times alone in flight, on a connection that had just carried an
acknowledged message, when the connection ended without another acknowledgement.
"""

from __future__ import annotations

STRIKES = 3


class Flight:
    """See the module. `window` is how many rows may be in flight."""

    def __init__(self, window: int) -> None:
        self.proven = False  # this connection has carried an acknowledged message
        self._wanted = window
        self._window = window
        self._rows: dict[int, int] = {}  # message id -> row id, in the order of sending
        self._landed = False  # a row was acknowledged on this connection
        self._wary = False
        self._suspect = 0
        self._strikes = 0

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def room(self) -> int:
        """How many more rows may be sent now."""
        if self._wary:
            return 1 - len(self._rows) if self.proven else 0
        return self._window - len(self._rows)

    @property
    def few(self) -> bool:
        """Whether so few acknowledgements are awaited that they need not be read at once."""
        return 0 < len(self._rows) < self._window // 4 and not self._wary

    def begin(self, receive_max: int) -> None:
        """A new connection, whose broker takes `receive_max` messages at a time."""
        self._window = min(self._wanted, receive_max)
        self._landed = self.proven = False

    def sent(self, message: int, row_id: int) -> None:
        """A row was handed to the network."""
        self._rows[message] = row_id

    def landed(self, message: int) -> int | None:
        """The row that this message was; None when it was none."""
        row_id = self._rows.pop(message, None)
        if row_id is not None:
            self._landed, self._wary, self._strikes = True, False, 0
        return row_id

    def crashed(self) -> int | None:
        """The connection is gone; gives the row that has to be given up, if there is one."""
        rows = list(self._rows.values())
        self._rows.clear()
        if self._landed or not rows:
            return None
        if not self._wary or not self.proven:
            self._wary = True
            return None
        if rows[0] != self._suspect:
            self._suspect, self._strikes = rows[0], 0
        self._strikes += 1
        if self._strikes < STRIKES:
            return None
        self._strikes = 0
        return rows[0]
