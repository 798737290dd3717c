"""What a store knows of itself: one small file, replaced whole, from which all recovery follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal[
    "idle",  # nothing under way
    "fetching",  # a release was chosen, its bytes are on the way
    "staged",  # the bundle is whole and verified, its files are being laid out
    "verified",  # the slot lies, hashed from the disk
    "validated",  # the gate passed; waits for approval or for the pipeline
    "trial",  # the link leads to it; probation
    "committed",
    "rolled_back",
    "rejected",  # by hash, gate or a person
]

VERDICTS: tuple[State, ...] = ("committed", "rolled_back", "rejected")


@dataclass(frozen=True, slots=True)
class Installed:
    """A model that lies in a slot; digest "" is the factory model, the run file's own."""

    digest: str = ""
    name: str = ""
    version: str = ""
    counter: int = 0


FACTORY = Installed()


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A digest that is not tried again under this release counter."""

    digest: str
    counter: int
    reason: str


@dataclass(frozen=True, slots=True)
class Journal:
    """See the module.

    `state` is that of the candidate; of the last one when there is none. `starts` counts the
    starts of the pipeline during the trial. `floor` is the highest counter committed, by name;
    `time_floor` the latest moment that signed metadata or the build proved.
    """

    state: State = "idle"
    active: Installed = FACTORY
    previous: Installed | None = None
    candidate: Installed | None = None
    approved: bool = False
    starts: int = 0
    reason: str = ""
    floor: tuple[tuple[str, int], ...] = ()
    time_floor: int = 0  # seconds since 1970, UTC
    quarantine: tuple[Quarantined, ...] = ()
    job: str = ""  # what a fleet engine calls this update; its verdict is owed
    told: str = ""  # sha256 of the last line of the history before this

    @property
    def live(self) -> Installed:
        """The model that is to run: the candidate while it is on trial."""
        if self.state == "trial" and self.candidate is not None:
            return self.candidate
        return self.active
