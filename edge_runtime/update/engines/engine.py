"""The seam to a fleet server: it names a release, it is told what became of it, and no more.

No address, hash or byte that it sends is ever used: a server in wrong hands can at worst choose
among the releases that the maker signed for this device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from edge_runtime.update.release import Release

State = Literal[
    "downloading",
    "installing",  # staging, gate, waiting for approval, trial: the detail says which
    "done",  # committed: told at no earlier moment
    "failed",  # refused, rolled back or impossible: the detail says why
    "cancelled",  # the server asked for it, and the candidate was dropped
    "not-cancelled",  # the server asked for it too late: a verdict will follow
]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a server wants now: that a release be taken, or that a job of before be cancelled.

    `job` is the server's name for it, unchanged until it is closed. A release is meant by its
    counter, or by its version where no counter is said.
    """

    job: str
    name: str = ""
    version: str = ""
    counter: int = 0
    cancel: bool = False

    def means(self, release: Release) -> bool:
        """Whether a release that was signed is the one that is wanted."""
        if self.cancel or release.name != self.name:
            return False
        return release.counter == self.counter if self.counter else release.version == self.version


class Engine(Protocol):
    """A fleet server. Both calls go over the network and end within their time limits.

    Both raise DownloadError when the server is out of reach, refuses us or talks nonsense.
    """

    @property
    def pause_s(self) -> float:
        """How long it wants to be left alone, jitter included; 0 where it does not say."""

    def wanted(self) -> Wanted | None:
        """What it wants now; the same answer until it is told an end, also after a reboot."""

    def tell(self, job: str, state: State, detail: str = "") -> bool:
        """Report on a job; may be repeated.

        False when it was closed, cancelled or deleted there: nothing more is owed.
        """
