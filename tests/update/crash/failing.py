"""Let the n-th operation of an update's step fail, for every n; start on what is left.

    LD_PRELOAD=recorder.so python -m tests.update.crash.failing full

Prints one line of JSON: tries, how many of them ended with an error, and what was wrong.
"""

from __future__ import annotations

import errno
import json
import logging
import sys
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path

from edge_runtime.errors import EdgeRunError, UpdateError
from edge_runtime.update.store.journal import Installed
from edge_runtime.update.store.store import Store

from ...crash.explore import shared_memory
from ...crash.recorder import Fault, recorder
from ..store.bundles import packed
from .found import inspect, put, taken

FAULTS = {  # kind, error, whether all later operations fail too, the reason that is expected
    "full": (Fault.WRITE, errno.ENOSPC, False, "no-space"),
    "stays-full": (Fault.WRITE, errno.ENOSPC, True, "no-space"),
    "sync": (Fault.SYNC, errno.EIO, False, "disk"),
}
STEPS = ("fetching", "stage", "validate", "begin_trial", "count_start", "commit", "roll_back")


class Ground:
    """A store as it is before each step, and the step."""

    def __init__(self, folder: Path) -> None:
        self.home, self.factory = folder / "life", folder / "factory"
        self.factory.mkdir()
        self.store = Store(self.home, self.factory)
        self.store.open()
        self.old = packed(folder, "1.1", 1)
        self.new = packed(folder, "1.2", 2)
        self.models = {
            release.digest: {
                str(path.relative_to(source)): path.read_bytes()
                for path in source.rglob("*")
                if path.is_file()
            }
            for (_, release), source in (
                (self.old, folder / "model-1.1"),
                (self.new, folder / "model-1.2"),
            )
        }
        self.before: dict[str, dict[str, bytes]] = {}
        for step in STEPS[:6]:
            self.act(step, self.old)
        for step in STEPS:
            self.before[step] = taken(self.home)
            if step != "commit":  # a trial can end once only
                self.act(step, self.new)

    def act(self, step: str, which=None) -> None:
        bundle, release = which or self.new
        part = self.store.part(release.digest)
        does: dict[str, Callable[[], object]] = {
            "fetching": lambda: self.fetch(bundle, release),
            "stage": lambda: self.store.stage(part, release),
            "validate": lambda: self.store.validate("ok"),
            "roll_back": lambda: self.store.roll_back("worse"),
        }
        does.get(step, getattr(self.store, step))()

    def fetch(self, bundle: Path, release: Installed) -> None:
        self.store.fetching(release)
        self.store.part(release.digest).write_bytes(bundle.read_bytes())


def tried(ground: Ground, step: str, number: int, fault: str) -> tuple[bool, bool, list[str]]:
    """Whether anything failed, whether that was an error, and what is wrong now."""
    kind, error, stays, reason = FAULTS[fault]
    put(ground.home, ground.before[step])
    ground.store = Store(ground.home, ground.factory)
    ground.store.open()
    live = ground.store.journal.live.digest
    where = f"{step}, operation {number}"
    wrong, failed = [], False
    recorder().start(ground.home)
    recorder().fault(kind, number, error, stays=stays)
    try:
        ground.act(step)
    except UpdateError as exc:
        failed = True
        if exc.reason != reason:
            wrong.append(f"{where}: {exc.reason}: {exc}")
    except OSError as exc:  # of the fetch, which is not the store's
        failed = True
        if step != "fetching":
            wrong.append(f"{where}: {exc}")
    finally:
        hit = recorder().heal()
        recorder().stop()
    journal = ground.store.journal
    if failed and step == "roll_back" and journal.live != ground.old[1]:
        wrong.append(f"{where}: a rollback that failed left {journal.live.version} live")
    allowed = {live, journal.live.digest, ground.old[1].digest}
    if failed and step == "begin_trial":  # the journal may be written, and not known to be safe
        allowed.add(ground.new[1].digest)
    found = inspect(ground.home, ground.factory, ground.models)
    if found.faults or found.live not in allowed:
        wrong.append(f"{where}: then {found}")
    if dict(found.floor).get("model", 0) < 1:
        wrong.append(f"{where}: the floor is {found.floor}")
    return bool(hit), failed, wrong


def main() -> int:
    logging.disable(logging.CRITICAL)
    tries, failures, wrong = 0, 0, []
    with tempfile.TemporaryDirectory(dir=shared_memory()) as folder:
        try:
            ground = Ground(Path(folder))
        except EdgeRunError as exc:
            raise SystemExit(str(exc)) from exc
        for step in STEPS:
            for number in count(1):
                hit, failed, found = tried(ground, step, number, sys.argv[1])
                wrong += found
                if not hit:
                    break
                tries, failures = tries + 1, failures + failed
    print(json.dumps({"tries": tries, "failed": failures, "wrong": wrong}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
