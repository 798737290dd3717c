"""What a swap asks of whoever keeps the models: the journal, the slots, a loader."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from .shadow import attempt

if TYPE_CHECKING:
    from pathlib import Path

    from edge_runtime.model import Model
    from edge_runtime.update_state import UpdateState

    from .evidence import Baseline


log = logging.getLogger(__name__)

RETRY_S = 1.0  # after a disk or a lock that did not let us write
PASSING = ("busy", "disk", "no-space")  # reasons of UpdateError that pass


class Wish(NamedTuple):
    """What should run. `digest` is the desk's name of a model; "" is the factory's."""

    kind: Literal["stay", "try", "follow"]
    digest: str = ""


class Begun(NamedTuple):
    """A trial that an earlier life of the process began."""

    old: str  # digest
    before: Baseline
    results: int
    seconds: float


class Desk(Protocol):
    """Keeps the models and the journal. What it says is durable when it returns.

    Every method that writes raises UpdateError or OSError, and is then called again later: what it
    had done by then it finds done.
    """

    @property
    def hung_path(self) -> Path:
        """Where a watchdog writes before it ends a process whose interpreter is held."""
        ...

    def look(self) -> Wish:
        """What should run now; called once a second."""
        ...

    def state(self) -> UpdateState:
        """What the journal says."""
        ...

    def begun(self) -> Begun | None:
        """The trial in the middle of which this process started."""
        ...

    def load(self, digest: str) -> Model:
        """A model, not open. Raises ConfigError, ModelLoadError."""
        ...

    def enter(self, digest: str) -> None:
        """From here on a crash may be this candidate's."""
        ...

    def begin(self, before: Baseline) -> None:
        """The trial begins."""
        ...

    def commit(self) -> None:
        """The candidate stays."""
        ...

    def refuse(self, reason: str) -> None:
        """Back to the old model, and never this one again."""
        ...

    def follow(self, digest: str) -> None:
        """Another model was made the active one by hand, and runs now."""
        ...

    def told(self) -> None:
        """The verdict was announced."""
        ...

    def leave(self, results: int, seconds: float) -> None:
        """The process ends in good order, after so much of a trial."""
        ...


def persisted(
    act: Callable[[], None], still: Callable[[], bool] = lambda: True
) -> Generator[float, None, bool]:
    """Have a desk write, again for as long as the disk or a lock is in the way, and it `still` may.

    Pauses; at last whether it is done. False: it can never be, or shall not any more.
    """
    told = ""
    while error := attempt(act):
        passes = isinstance(error, OSError) or getattr(error, "reason", "") in PASSING
        if str(error) != told:
            told = str(error)
            level = logging.WARNING if passes else logging.ERROR
            log.log(level, "the update %s: %s", "has to wait" if passes else "cannot go on", told)
        yield RETRY_S
        if not (passes and still()):
            return False
    return True
