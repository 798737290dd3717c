"""Record lives of an outbox's file, cut the power everywhere, open what is left.

    LD_PRELOAD=recorder.so python -m tests.crash.explore --seeds 0:100

Prints one line of JSON per seed: a Tally. `campaign` runs many of these.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from edge_runtime.outbox.store import Store

from .disk import Disk, File
from .history import NAME, Ground, Life, Style
from .promise import Found, Promise, inspect
from .recorder import Kind, Operation, read, recorder
from .states import State, as_killed, states

PHASES = 3  # a life, a life after a power cut in it, and one after a power cut in that
BUDGET = 700  # states of one life


class Flushed:
    """A connection whose synchronous setting is fixed, whatever is asked for."""

    def __init__(self, connection: sqlite3.Connection, setting: str) -> None:
        self._connection = connection
        self._setting = setting

    def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
        if sql.startswith("PRAGMA synchronous ="):
            sql = f"PRAGMA synchronous = {self._setting}"
        return self._connection.execute(sql, *values)

    def executescript(self, sql: str) -> sqlite3.Cursor:
        return self._connection.executescript(sql)


class Careless(Store):
    """The outbox's file with synchronous = OFF."""

    setting = "OFF"

    @property
    def _db(self) -> sqlite3.Connection:
        return Flushed(super()._db, self.setting)  # type: ignore[return-value]


class Hasty(Careless):
    """The same with synchronous = NORMAL, and the promise of durability "power"."""

    setting = "NORMAL"


STORES: dict[str, Callable[[Path], Store]] = {
    "power": Store,
    "process": lambda path: Store(path, power=False),
    "NORMAL": Hasty,
    "OFF": Careless,
}
LOSSES = ("lost", "changed", "half a commit")  # what durability "process" allows a power cut


class Tally:
    """What was seen."""

    def __init__(self) -> None:
        self.states = 0  # different ones
        self.checks = 0  # of a state against a promise
        self.posix = 0  # states that only a disk without ordered names could leave
        self.points = 0  # operations after which the power was cut
        self.violations: list[str] = []


def explore(seed: int, tally: Tally, *, store: str = "power", faults: bool = False,
            budget: int = BUDGET) -> None:  # fmt: skip
    """One seed: `PHASES` lives, each after a power cut in the one before.

    A life begins with the recovery of what the cut left, so the power is cut in recoveries too.
    With `faults`, operations fail as well, and the outbox is closed and opened anew after each.
    """
    random = Random(seed)
    ground = Ground({}, Promise())
    with tempfile.TemporaryDirectory(dir=shared_memory()) as scratch:
        for phase in range(PHASES):
            home = Path(scratch) / f"life{phase}"
            home.mkdir()
            put(home, ground.files)
            style = Style.draw(random, faults=faults)
            life = Life(home / NAME, ground, random, style, STORES[store])
            log = record(life, home)
            where = f"seed {seed}, life {phase}"
            tally.violations += [f"{where}, without a power cut: {item}" for item in life.troubles]
            before = {str(home / path): File(data) for path, data in ground.files.items()}
            cuts = Cuts(Disk(str(home), before), tally, where, lenient=store == "process")
            grounds = list(cuts.everywhere(log, life.promises, budget, random))
            if not grounds:
                return
            files, promise = random.choice(grounds)
            ground = Ground(files, promise, life.next_id)


def record(life: Life, home: Path) -> list[Operation]:
    log = home.with_suffix(".log")
    recorder().start(home, log)
    try:
        life.live()
    finally:
        recorder().stop()
        life.end()
    return list(read(log.read_bytes()))


class Cuts:
    """Power cuts in one recorded life. `lenient`: they may cost results, a kill may not."""

    def __init__(self, disk: Disk, tally: Tally, where: str, *, lenient: bool) -> None:
        self._disk = disk
        self._tally = tally
        self._where = where
        self._lenient = lenient
        self._seen: dict[int, Found] = {}

    def everywhere(
        self, log: list[Operation], promises: list[Promise], budget: int, random: Random
    ) -> Iterator[tuple[dict[str, bytes], Promise]]:
        """Check states after each operation; gives some of the good ones, with what they owe."""
        points = sum(operation.kind not in (Kind.CLOSE, Kind.MARK) for operation in log)
        share = max(8, budget // max(points, 1))
        promise = promises[0]
        with tempfile.TemporaryDirectory(dir=shared_memory()) as scratch:
            for number, operation in enumerate(log):
                changed = self._disk.apply(operation)
                if operation.kind == Kind.MARK:
                    promise = promises[operation.a]
                elif not changed:
                    continue
                self._tally.points += 1
                if self._lenient:
                    self._check(as_killed(self._disk), promise, Path(scratch), number, ())
                for state in states(self._disk, share, random):
                    allowed = LOSSES if self._lenient else ()
                    good = self._check(state, promise, Path(scratch), number, allowed)
                    if good and (random.random() < 0.05 or number == 0):
                        found = self._recovered(state, Path(scratch))
                        owed = promise.opened(found) if self._lenient else promise
                        yield self._relative(state), owed

    def _check(self, state: State, promise: Promise, scratch: Path, number: int,
               allowed: tuple[str, ...]) -> bool:  # fmt: skip
        self._tally.checks += 1
        wrong = promise.broken_by(self._recovered(state, scratch))
        wrong = [text for text in wrong if not text.startswith(allowed)] if allowed else wrong
        if wrong:
            text = f"{self._where}, operation {number}, {state.kind} names: {wrong[:3]}"
            self._tally.violations.append(text[:500])
        return not wrong

    def _recovered(self, state: State, scratch: Path) -> Found:
        key = hash(tuple(sorted(state.files.items())))
        found = self._seen.get(key)
        if found is None:
            self._tally.states += 1
            self._tally.posix += state.kind == "posix"
            for old in scratch.iterdir():
                old.unlink()
            put(scratch, self._relative(state))
            found = self._seen[key] = inspect(scratch / NAME)
        return found

    def _relative(self, state: State) -> dict[str, bytes]:
        home = self._disk.folder
        return {str(Path(path).relative_to(home)): data for path, data in state.files.items()}


def put(folder: Path, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        (folder / path).write_bytes(data)


def shared_memory() -> str | None:
    """A folder that is not on a disk, where there is one."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", required=True)
    parser.add_argument("--store", default="power", choices=STORES)
    parser.add_argument("--faults", action="store_true")
    parser.add_argument("--budget", type=int, default=BUDGET)
    options = parser.parse_args()
    first, _, last = options.seeds.partition(":")
    for seed in range(int(first), int(last)):
        tally, started = Tally(), time.perf_counter()
        explore(seed, tally, store=options.store, faults=options.faults, budget=options.budget)
        line = {"seed": seed, **vars(tally), "seconds": time.perf_counter() - started}
        print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
