"""Rows on their way to a broker, and what is done about those that it will not have.

MQTT 5 brokers refuse a message with a reason code. MQTT 3.1.1 knows no refusal: a broker that will
not have a message closes the connection (MQTT 3.1.1, section 3.3.5), and would be sent the same
one again at each reconnect. So a row is given up after three refusals, or after it was three times
alone in flight, on a connection that had just carried an acknowledged message, when the connection
ended without another acknowledgement.
"""

from __future__ import annotations

import time
from collections import deque

STRIKES = 3
PENALTY_S = 1.0  # before a refused row is sent again


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
        self._refusals: dict[int, int] = {}  # by row id
        self._benched: deque[tuple[float, int]] = deque()  # monotonic time, row id

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

    def refused(self, row_id: int, *, for_now: bool) -> bool:
        """The broker refused a row; whether it has to be given up. Else it sits out a second.

        What it refuses `for_now`, for want of room, is never given up.
        """
        count = self._refusals.pop(row_id, 0) + (not for_now)
        if count >= STRIKES:
            return True
        if count:
            self._refusals[row_id] = count
        self._benched.append((time.monotonic() + PENALTY_S, row_id))
        return False

    def recovered(self) -> list[int]:
        """Rows whose penalty is over."""
        over: list[int] = []
        while self._benched and self._benched[0][0] <= time.monotonic():
            over.append(self._benched.popleft()[1])
        return over

    def crashed(self, *, silent: bool) -> tuple[list[int], int | None]:
        """The connection is gone: the rows to send again, and the one to be given up, if any.

        Of one that fell `silent` no row is to blame.
        """
        rows = list(self._rows.values())
        self._rows.clear()
        given_up = None if silent or self._landed or not rows else self._judge(rows[0])
        return [row for row in rows if row != given_up], given_up

    def _judge(self, first: int) -> int | None:
        if not self._wary or not self.proven:
            self._wary = True
            return None
        if first != self._suspect:
            self._suspect, self._strikes = first, 0
        self._strikes += 1
        if self._strikes < STRIKES:
            return None
        self._strikes = 0
        return first
