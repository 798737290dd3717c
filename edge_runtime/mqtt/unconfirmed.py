"""Rows that the broker has and no subscriber has confirmed: the end-to-end acknowledgement.

An acknowledgement of the broker says that it took a message over, not that it will survive the
broker: Mosquitto writes its database every half hour by default (mosquitto.conf(5),
autosave_interval). So a row may be held until a subscriber has said that it has it.
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Iterable

UNCONFIRMED_MAX = 10_000  # rows; more are not sent until some are confirmed
ACK_BYTES_MAX = 65_536  # of a message with ids


class Unconfirmed:
    """See the module. After `patience_s` without a confirmation a row is sent again."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._rows: OrderedDict[str, tuple[int, float]] = OrderedDict()  # result id -> row, when
        self._keys: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def room(self) -> int:
        """How many more rows may be sent now."""
        return UNCONFIRMED_MAX - len(self._rows)

    def add(self, key: str, row_id: int) -> None:
        """The row with this result id was handed to the network."""
        self._rows[key] = (row_id, time.monotonic())
        self._keys[row_id] = key

    def holds(self, row_id: int) -> bool:
        """Whether this row still waits to be confirmed."""
        return row_id in self._keys

    def forget(self, row_ids: Iterable[int]) -> None:
        """These go back into the outbox."""
        for row_id in row_ids:
            key = self._keys.pop(row_id, None)
            if key is not None:
                del self._rows[key]

    def confirmed(self, payload: bytes) -> list[int]:
        """The rows that a message {"ids": [...]} confirms; none when it is something else."""
        if len(payload) > ACK_BYTES_MAX:
            return []
        try:
            ids = json.loads(payload)["ids"]
            found = [self._rows.pop(key, None) for key in ids if isinstance(key, str)]
        except (ValueError, LookupError, TypeError, RecursionError):
            return []
        rows = [entry[0] for entry in found if entry is not None]
        for row_id in rows:
            del self._keys[row_id]
        return rows

    def overdue(self) -> list[int]:
        """Rows to send again."""
        over: list[int] = []
        limit = time.monotonic() - self._patience_s
        while self._rows and (entry := next(iter(self._rows.values())))[1] <= limit:
            over.append(entry[0])
            self.forget(entry[:1])
        return over
