"""Lives of a store: the whole way of an update and back, or any steps in any order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from edge_runtime.errors import UpdateError
from edge_runtime.update.store.journal import Installed, Journal
from edge_runtime.update.store.steps import BY_HAND
from edge_runtime.update.store.store import Store

from ...crash.recorder import recorder
from ..store.bundles import packed
from .found import Found, inspect

Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Promise:
    """What holds between two steps: what may be live, how high the floors are at least."""

    live: frozenset[str]  # digests
    floor: tuple[tuple[str, int], ...] = ()
    blocked: frozenset[str] = frozenset()
    link: frozenset[str] = frozenset({""})  # where `active` may lead
    later: frozenset[str] = frozenset()  # of those, where it may not unless the journal says so

    @classmethod
    def of(cls, journal: Journal) -> Promise:
        live = frozenset({journal.live.digest})
        blocked = frozenset(one.digest for one in journal.quarantine)
        return cls(live, journal.floor, blocked, live)

    def until(self, after: Promise) -> Promise:
        """During the step that leads to the other one: either may be found."""
        return replace(
            self,
            live=self.live | after.live,
            link=self.link | after.link,
            later=after.link - self.link,
            blocked=self.blocked & after.blocked,
        )


class Life:
    """One store in `home`, its bundles and its factory model outside of it."""

    def __init__(self, home: Path, outside: Path, random: Random) -> None:
        self.home = home
        self.promises: list[Promise] = []
        self.models: dict[str, Files] = {}  # by digest: what a whole slot holds
        self.factory = outside / "factory"
        self._outside = outside
        self._random = random
        self._counter = 0
        self._clock = 1_800_000_000
        for folder in (self.factory, outside / "bundles"):
            folder.mkdir(exist_ok=True, parents=True)
        self.store = self._made()

    def canonical(self) -> None:
        """Every step: staging, trial, commit, collection, rollback and its rollback."""
        self._do(self._opened)
        for verdict in (["commit"], ["commit"], ["commit"], ["start"] * 3, ["reject"]):
            self._update(verdict)
        self._do(self._opened)
        self._do(lambda: self.store.roll_back(BY_HAND))
        self._do(lambda: self.store.roll_back(BY_HAND))
        self._do(lambda: self.store.roll_back("revoked"))
        self._update(["back"])
        self._update(["commit"])

    def wild(self) -> None:
        """Any steps, as drawn; those out of order are refused."""
        self._do(self._opened)
        for _ in range(self._random.randint(2, 5)):
            draw = self._random.random()
            if draw < 0.75:
                chosen = self._random.choice(
                    (["commit"], ["commit"], ["back"], ["reject"], ["start"] * 3,
                     ["start", "commit"], ["start", "again", "commit"], [], ["again", "back"])
                )  # fmt: skip
                self._update(chosen)
            elif draw < 0.85:
                self._do(self._opened)
            else:
                reason = self._random.choice((BY_HAND, BY_HAND, "revoked"))
                self._do(lambda reason=reason: self.store.roll_back(reason))

    def start(self, home: Path) -> None:
        """What each process does first: the recovery."""
        self.home = home
        self._opened()

    def inspect(self, home: Path) -> Found:
        return inspect(home, self.factory, self.models)

    def _update(self, verdict: list[str]) -> None:
        bundle, release = self._released()
        steps: list[Callable[[], object]] = [
            lambda: self.store.fetching(release),
            lambda: self.store.part(release.digest).write_bytes(bundle.read_bytes()),
            lambda: self.store.stage(self.store.part(release.digest), release),
        ]
        if verdict != ["reject"]:
            steps += [lambda: self.store.validate("ok"), self.store.approve]
            steps += [self.store.begin_trial]
        does: dict[str, Callable[[], object]] = {
            "commit": lambda: self.store.commit(),
            "back": lambda: self.store.roll_back("worse"),
            "start": lambda: self.store.count_start(),
            "reject": lambda: self.store.reject("too-slow"),
            "again": self._opened,
        }
        for step in [*steps, *(does[word] for word in verdict)]:
            self._do(step)

    def _released(self) -> tuple[Path, Installed]:
        self._counter += 1
        size = self._random.choice((1, 10, 60, 300, 900))
        bundle, release = packed(
            self._outside / "bundles", f"1.{self._counter}", self._counter, size
        )
        source = self._outside / "bundles" / f"model-1.{self._counter}"
        self.models[release.digest] = {
            str(path.relative_to(source)): path.read_bytes()
            for path in source.rglob("*")
            if path.is_file()
        }
        return bundle, release

    def _do(self, step: Callable[[], object]) -> None:
        """One step between two marks; what it may change is known when it is over."""
        before = self.promises[-1] if self.promises else Promise.of(self.store.journal)
        number = len(self.promises)
        self.promises += [before, before]
        recorder().mark(number)
        try:
            step()
        except UpdateError as exc:
            assert exc.reason in ("on-trial", "order", "no-previous"), exc
        after = Promise.of(self.store.journal)
        self.promises[number] = before.until(after)
        self.promises[number + 1] = after
        recorder().mark(number + 1)

    def _opened(self) -> None:
        self.store = self._made()
        self.store.open()

    def _made(self) -> Store:
        return Store(self.home, self.factory, clock=lambda: self._clock)
