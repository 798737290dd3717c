"""Rows that no commit has returned for."""

from __future__ import annotations

from collections.abc import Iterable

from .row import Row


class Unsaved:
    """Oldest first; some of them are in a transaction that has not returned."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self.rows: dict[int, Row] = {row.id: row for row in rows}  # in no transaction
        self.bytes = sum(row.weight for row in self.rows.values())
        self._saving: dict[int, Row] = {}
        self._began = 0

    def __bool__(self) -> bool:
        return bool(self.rows or self._saving)

    def __contains__(self, row: Row) -> bool:
        return row.id in self.rows or row.id in self._saving

    @property
    def dropped(self) -> int:
        """Rows that were dropped while their transaction saves them."""
        return self._began - len(self._saving)

    def add(self, row: Row) -> None:
        """One that was accepted just now."""
        self.rows[row.id] = row
        self.bytes += row.weight

    def drop(self, row: Row) -> bool:
        """Forget it; False when it is saved. In a transaction it will be, and has to be removed."""
        if self.rows.pop(row.id, None) is not None:
            self.bytes -= row.weight
            return True
        return self._saving.pop(row.id, None) is not None

    def begin(self, count: int) -> list[Row]:
        """The oldest, at most `count`, for a transaction."""
        ids = [row_id for row_id, _ in zip(self.rows, range(count), strict=False)]
        rows = [self.rows.pop(row_id) for row_id in ids]
        self._saving = {row.id: row for row in rows}
        self._began = len(rows)
        self.bytes -= sum(row.weight for row in rows)
        return rows

    def end(self, rows: list[Row]) -> list[Row]:
        """These are saved; gives those that were dropped meanwhile."""
        dropped = [row for row in rows if row.id not in self._saving]
        self._saving, self._began = {}, 0
        return dropped

    def undo(self) -> None:
        """Those of the transaction are not saved."""
        self.bytes += sum(row.weight for row in self._saving.values())
        self.rows = {**self._saving, **self.rows}
        self._saving, self._began = {}, 0
