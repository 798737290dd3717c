"""What a command can do. More verbs are more rows of a table."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from typing import NamedTuple

from edge_runtime.errors import EdgeRunError


class Verb(NamedTuple):
    """`run` gets the args and gives an answer that JSON can hold.

    It is called on the sender's thread, does not block, and raises EdgeRunError to say that it
    could not. A read-only verb changes nothing, so it needs no clock to be safe.
    """

    run: Callable[[Mapping[str, object]], object]
    args: frozenset[str] = frozenset()  # the keys that it knows
    read_only: bool = False


def standard(
    announce: Callable[[], None], counters: Callable[[], Mapping[str, object]]
) -> dict[str, Verb]:
    """`announce` publishes `info` again; `counters` answers with them; `stop` ends the process.

    `update` has it look for a new model now, which carries no authority: see `cli.looking`.
    """

    def again(_args: Mapping[str, object]) -> None:
        announce()

    return {
        "announce": Verb(again, read_only=True),
        "counters": Verb(lambda _args: dict(counters()), read_only=True),
        "stop": Verb(stop),
        "update": Verb(update),
    }


def stop(_args: Mapping[str, object]) -> None:
    """End this process as the service manager would. Raises EdgeRunError when nobody listens."""
    if not callable(signal.getsignal(signal.SIGTERM)):
        raise EdgeRunError("already stopping, or embedded in a program that is not ours to stop")
    os.kill(os.getpid(), signal.SIGTERM)


def update(_args: Mapping[str, object]) -> None:
    """Look for a new model, as a timer would. Raises EdgeRunError where nobody listens."""
    if not callable(signal.getsignal(signal.SIGUSR1)):
        raise EdgeRunError("the run file of this pipeline has no table [update]")
    os.kill(os.getpid(), signal.SIGUSR1)
