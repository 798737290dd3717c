"""Record lives of a store, or of its metadata, cut the power everywhere, start on what is left.

    LD_PRELOAD=recorder.so python -m tests.update.crash.explore --seeds 0:100 --of store

Prints one line of JSON per life: a Tally. `campaign` runs many of these. `--flaw` breaks the code
on purpose, `--drop` takes one sync out of what was recorded: the check must then find it.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import re
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

from edge_runtime.update.store import history

from ...crash.explore import shared_memory
from ...crash.recorder import Kind, Operation, read, recorder
from ...crash.states import as_killed, states
from .disk import Disk, Tree
from .flaws import FLAWS
from .found import put
from .life import Life
from .metadata_life import MetadataLife

BUDGET = 3000  # states of one life, double faults not counted
TWICE = 40  # states of one recovery
CANONICAL = -1  # its seed
ENOUGH = 50  # bad checks, after which a life is not looked at any more
NEAR = 160  # operations after a sync that is left out
LIVES = {"store": Life, "metadata": MetadataLife}


class Tally:
    """What was seen."""

    def __init__(self) -> None:
        self.states = 0  # different ones
        self.checks = 0  # of a state against a promise
        self.posix = 0  # states that only a disk without ordered names could leave
        self.points = 0  # operations after which the power was cut
        self.doubles = 0  # of the states, those after a cut in a recovery
        self.kills = 0  # processes killed, with the power cut in the next one
        self.bad = 0  # checks that failed
        self.violations: list[str] = []


class Cuts:
    """Power cuts in one recorded life."""

    def __init__(
        self, life: Life | MetadataLife, tally: Tally, scratch: Path, random: Random
    ) -> None:
        self._life = life
        self._tally = tally
        self._scratch = scratch
        self._random = random
        self._seen: dict[int, Any] = {}  # what was found, by state

    def everywhere(self, disk: Disk, log: list[Operation], most: int, twice: float,
                   first: int = 0) -> None:  # fmt: skip
        """Check at most `most` states after each operation, and cut recoveries of some of them.

        After some operations the process is killed instead, and the power cut in the next start:
        what was written and not synchronised is still there then, and still not sure. With `first`,
        only some operations from there on.
        """
        promise: Any = self._life.promises[0]
        for number, operation in enumerate(log[: first + NEAR if first else None]):
            changed = disk.apply(operation)
            if operation.kind == Kind.MARK:
                promise = self._life.promises[operation.a]
            elif not changed:
                continue
            if number < first or self._tally.bad > ENOUGH:
                continue
            self._tally.points += 1
            for state in states(disk, most, self._random):  # type: ignore[arg-type]
                where = f"operation {number}, {state.kind} names"
                new = self._check(state.files, promise, where)
                self._tally.posix += new and state.kind == "posix"
                if new and self._random.random() < twice:
                    sure = Disk(str(self._life.home), state.files)
                    self._again(sure, state.files, promise, where)
            if self._random.random() < 2 * twice:
                self._tally.kills += 1
                tree = as_killed(disk).files  # type: ignore[arg-type]
                self._again(copy.deepcopy(disk), tree, promise, f"killed after {number}")

    def _again(self, disk: Disk, tree: Tree, promise: Any, where: str) -> None:
        """Start on a tree, and cut the power in that; `disk` knows what of it is sure."""
        home, before = self._life.home, self._tally.states
        put(home, tree)
        for number, operation in enumerate(_recorded(home, lambda: self._life.start(home))):
            if disk.apply(operation):
                for state in states(disk, TWICE, self._random):  # type: ignore[arg-type]
                    self._check(state.files, promise, f"{where}, then recovery {number}")
        self._tally.doubles += self._tally.states - before

    def _check(self, tree: Tree, promise: Any, where: str) -> bool:
        """Whether the state is a new one."""
        key = hash(tuple(sorted((path, type(data), data) for path, data in tree.items())))
        found = self._seen.get(key)
        if new := found is None:
            put(self._scratch, tree)
            found = self._life.inspect(self._scratch)
            self._seen[key] = found
            self._tally.states += 1
        self._tally.checks += 1
        if wrong := found.broken(promise):
            self._tally.bad += 1
            if len(self._tally.violations) < 20:
                self._tally.violations.append(f"{where}: {wrong[:3]}"[:500])
        return new


def _recorded(home: Path, act) -> list[Operation]:
    log = home.with_suffix(".log")
    recorder().start(home, log)
    try:
        act()
    finally:
        recorder().stop()
    return list(read(log.read_bytes()))


def _dropped(log: list[Operation], pattern: str) -> int:
    """Take the second sync of such a file out of it; gives its place."""
    names: dict[int, str] = {}
    found = []
    for number, operation in enumerate(log):
        if operation.kind == Kind.OPEN:
            names[operation.fd] = operation.data.decode()
        if operation.kind == Kind.SYNC and re.search(f"/life/{pattern}$", names[operation.fd]):
            found.append(number)
    del log[found[1]]
    return found[1]


def explore(seed: int, *, of: str, drop: str, twice: float, budget: int) -> Tally:
    """One life. `drop`: a pattern, see `_dropped`."""
    random, tally = Random(seed), Tally()
    with tempfile.TemporaryDirectory(dir=shared_memory()) as folder:
        home = Path(folder) / "life"
        home.mkdir(0o700)
        life = LIVES[of](home, Path(folder), random)
        log = _recorded(home, life.canonical if seed == CANONICAL else life.wild)
        first = _dropped(log, drop) if drop else 0
        points = sum(operation.kind not in (Kind.CLOSE, Kind.MARK) for operation in log)
        most = max(8, budget // points)
        cuts = Cuts(life, tally, Path(folder) / "cut", random)
        cuts.everywhere(Disk(str(home), {}), log, most, twice, first)
    return tally


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", required=True)
    parser.add_argument("--of", default="store", choices=LIVES)
    parser.add_argument("--flaw", action="append", default=[], choices=FLAWS)
    parser.add_argument("--drop", default="")
    parser.add_argument("--twice", type=float, default=0.02)
    parser.add_argument("--budget", type=int, default=BUDGET)
    options = parser.parse_args()
    for flaw in options.flaw:
        FLAWS[flaw]()
    logging.disable(logging.CRITICAL)
    history.FULL = 2500  # every life has an older part
    first, _, last = options.seeds.partition(":")
    for seed in range(int(first), int(last)):
        started = time.perf_counter()
        tally = explore(
            seed, of=options.of, drop=options.drop, twice=options.twice, budget=options.budget
        )
        line = {"seed": seed, **vars(tally), "seconds": time.perf_counter() - started}
        print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
