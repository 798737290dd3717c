"""Lives of a device's metadata: refreshes from a repository as it was at five moments.

The moments are numbered from 1. `torn` is the fourth with a snapshot that is not the one which its
timestamp asks for: its timestamp counts, and nothing else of it.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from random import Random
from typing import NamedTuple

from edge_runtime.errors import EdgeRunError, UpdateError, VerificationError
from edge_runtime.update.remote import trust

from ...crash.recorder import recorder
from ..remote.boards import Board, versions
from ..remote.repository import Repository

MOMENTS = (1, 2, 3, 4, 5)
TORN = 40
REFUSALS = {"rollback", "bad-signature"}  # the second for what a key signed that was taken away


class Standing(NamedTuple):
    """What a device makes of the moments, asked from the oldest on."""

    oldest: int  # the first that it accepts
    faults: tuple[str, ...]

    def broken(self, promise: frozenset[int]) -> list[str]:
        """`promise`: which one may be the oldest."""
        wrong = list(self.faults)
        if self.oldest not in promise:
            wrong.append(f"moment {self.oldest} is accepted, not {sorted(promise)}")
        return wrong


class MetadataLife:
    """One device whose metadata lie in `home`, its repositories outside of it."""

    def __init__(self, home: Path, outside: Path, random: Random) -> None:
        self.home = home
        self.promises: list[frozenset[int]] = []
        self._random = random
        self._mirrors = outside / "mirrors"
        self._newest: dict[str, int] = {}
        self._repository = self._published()

    def canonical(self) -> None:
        """Forward with a new root, a torn moment, new keys that count anew, and back."""
        for mirror in (1, 2, 3, TORN, 5, 4):
            self._refresh(mirror)

    def wild(self) -> None:
        """Any of them, as drawn."""
        for _ in range(self._random.randint(2, 6)):
            self._refresh(self._random.choice((*MOMENTS, TORN)))

    def start(self, home: Path) -> None:
        """What each run does first, with nothing to be had."""
        with suppress(UpdateError):
            self._board(home).refresh(self._mirrors / "none")

    def inspect(self, home: Path) -> Standing:
        """Refresh from each moment in turn."""
        board, faults, accepted = self._board(home), [], []
        floor = trust.floor_of(board.folder)
        for moment in MOMENTS:
            try:
                found = versions(board.refresh(self._mirrors / str(moment)))
                accepted.append(moment)
            except VerificationError as refusal:
                if refusal.reason not in REFUSALS:
                    faults.append(f"moment {moment}: {refusal.reason}")
            except (EdgeRunError, OSError) as exc:
                faults.append(f"moment {moment}: {type(exc).__name__}: {exc}")
            after = trust.floor_of(board.folder)
            if (after.root, after.time) < (floor.root, floor.time):
                faults.append(f"moment {moment}: the floor fell to {after}")
            floor = after
        if accepted != list(MOMENTS[-len(accepted) :]):
            faults.append(f"{accepted} are accepted")
        elif found != self._newest:
            faults.append(f"in the end there is {found}")
        names = {path.name for path in board.folder.iterdir()} - {"floor.json", "current"}
        if len(names) != 1:
            faults.append(f"left over: {sorted(names)}")
        return Standing(accepted[0] if accepted else 0, tuple(faults))

    def _refresh(self, mirror: int) -> None:
        """Between two marks; what it may change is known before."""
        before = self.promises[-1] if self.promises else frozenset({1})
        (low,) = before
        moment = mirror // 10 or mirror
        after = frozenset({max(low, moment)})
        number = len(self.promises)
        self.promises += [before | after, after]
        recorder().mark(number)
        refused = ""
        try:
            self._board(self.home).refresh(self._mirrors / str(mirror))
        except VerificationError as refusal:
            refused = refusal.reason
        if mirror != TORN or low < 4:  # it is as good as its whole one where that is held
            assert bool(refused) == (moment < low or mirror == TORN), (mirror, low, refused)
        recorder().mark(number + 1)

    def _board(self, home: Path) -> Board:
        return Board(home, self._repository)

    def _published(self) -> Repository:
        """The repository, written at each of its moments."""
        repository = Repository()
        for moment in MOMENTS:
            if moment == 3:
                repository.rotate("targets")
            if moment == 5:  # a new key counts anew
                repository.rotate("timestamp")
                repository.timestamp.version = 0
            if moment > 1:
                repository.publish()
            repository.write(self._mirrors / str(moment))
            if moment == 4:
                name = f"metadata/{repository.snapshot.version}.snapshot.json"
                torn = repository.write(self._mirrors / str(TORN)) / name
                torn.write_bytes(torn.read_bytes() + b" ")
        roles = ("root", "timestamp", "snapshot", "targets")
        self._newest = {role: getattr(repository, role).version for role in roles}
        return repository
