"""What an outbox owes after a power cut, given what its calls have returned so far."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from edge_runtime.outbox.row import Batch
from edge_runtime.outbox.store import DamagedError, Store, is_damage

Key: TypeAlias = tuple[str, int]  # ("message", id of the row) or ("gap", id of the gap)
Place: TypeAlias = (
    tuple[Any, ...] | None
)  # ("row", *columns), ("dead", *columns, reason), ("gap", ...)


class Found(NamedTuple):
    """What an outbox says after it was opened."""

    places: dict[Key, Place]
    problems: tuple[str, ...]


@dataclass
class Promise:
    """By key: where it may be found after a power cut; None is nowhere."""

    legal: dict[Key, frozenset[Place]] = field(default_factory=dict)
    begun: dict[Key, Place] = field(default_factory=dict)  # by the commit that has not returned

    def begin(self, batch: Batch) -> Promise:
        """A commit begins: its outcome, or the one before."""
        begun = _outcome(batch)
        nowhere = frozenset({None})
        legal = dict(self.legal)
        for key, place in begun.items():
            legal[key] = legal.get(key, nowhere) | {place}
        return Promise(legal, begun)

    def accept(self) -> Promise:
        """It has returned: its outcome. What it only removed may come back."""
        fixed = {key: frozenset({place}) for key, place in self.begun.items() if place is not None}
        return Promise({**self.legal, **fixed})

    def opened(self, found: Found) -> Promise:
        """An outbox was opened, and vouches for what it holds; what it lacks may come back."""
        legal = {key: places | {None} for key, places in self.legal.items()}
        return Promise({**legal, **{key: frozenset({at}) for key, at in found.places.items()}})

    def broken_by(self, found: Found) -> list[str]:
        """What is wrong with it, in words."""
        wrong = list(found.problems)
        for key, legal in self.legal.items():
            place = found.places.get(key)
            if place not in legal:
                wrong.append(f"{'lost' if place is None else 'changed'}: {key[0]} {key[1]}")
        wrong += [f"invented: {kind} {number}" for kind, number in found.places.keys() - self.legal]
        sides = {
            key: found.places.get(key) == place
            for key, place in self.begun.items()
            if self.legal[key] - {place}
        }
        if len(set(sides.values())) > 1:
            wrong.append(f"half a commit: {sides}")
        return wrong


def _outcome(batch: Batch) -> dict[Key, Place]:
    outcome: dict[Key, Place] = {("message", row.id): ("row", *row[:9]) for row in batch.add}
    for row in batch.remove:
        outcome["message" if row.id > 0 else "gap", abs(row.id)] = None
    for gap in batch.gaps:
        outcome["gap", gap.id] = ("gap", *gap)
    for row, reason in batch.dead:
        outcome["message", row.id] = ("dead", *row[:9], reason)
    return outcome


def look(store: Store) -> Found:
    """Open an outbox and read everything in it. Raises sqlite3.Error when the disk fails."""
    try:
        stock = store.open()
        verdict = [text for (text,) in store._db.execute("PRAGMA integrity_check")]
        if verdict != ["ok"]:
            return Found({}, (f"corrupt: {verdict}",))
        rows, dead = store.load(0, 2**62, 2**31), store.dead_letters()
    except (DamagedError, sqlite3.Error) as exc:
        if not is_damage(exc):
            raise
        return Found({}, (f"damaged: {exc}",))
    places: dict[Key, Place] = {("message", row.id): ("row", *row[:9]) for row in rows}
    problems = []
    for row, reason in dead:
        if ("message", row.id) in places:
            problems.append(f"twice: message {row.id}")
        places["message", row.id] = ("dead", *row[:9], reason)
    places |= {("gap", gap.id): ("gap", *gap) for gap in stock.gaps}
    if store.load(stock.first_id, stock.end_id, 2**31) != rows:
        problems.append(f"misplaced: all in [{stock.first_id}, {stock.end_id}), and not so")
    results = [row for row in rows if row.source]
    counted = (len(results), sum(row.weight for row in results))
    if (stock.rows, stock.bytes) != counted:
        problems.append(f"miscounted: says {(stock.rows, stock.bytes)}, has {counted}")
    return Found(places, tuple(problems))


def inspect(path: Path, make: Callable[[Path], Store] = Store) -> Found:
    """The same, and close it."""
    store = make(path)
    try:
        return look(store)
    finally:
        store.close()
