"""`edge-run watch`: subscribe to what pipelines publish, and look."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from edge_runtime.errors import ConfigError, EdgeRunError
from edge_runtime.events import Alert, Gap, ReceivedResult

from .broker_options import broker_options, check_names, login_of

if TYPE_CHECKING:
    from edge_runtime.mqtt.receiver import Arrival, Receiver, Wanted
    from edge_runtime.workbench.viewer import Sight, Viewer

    from .displays import Display

LOOK_S = 0.25  # the longest wait for messages, so that ages are up to date


class Stream(Protocol):
    """Where messages come from: a broker or a record."""

    @property
    def cause(self) -> str: ...
    @property
    def ended(self) -> bool: ...
    @property
    def now_ns(self) -> int: ...
    def take(self, timeout_s: float) -> list[Arrival]: ...
    def confirm(self, root: str, result_id: str) -> None: ...
    def close(self) -> None: ...


@click.command("watch")
@broker_options
@click.option("--device", default="+", show_default=True, help="Only this device; + is any.")
@click.option("--pipeline", default="+", show_default=True, help="Only this pipeline; + is any.")
@click.option("--prefix", default="edge", show_default=True, help="First levels of the topics.")
@click.option("--lines", is_flag=True, help="A line for each message, even on a terminal.")
@click.option("--json", "raw", is_flag=True, help="Results only, a JSON document in each line.")
@click.option("--count", type=click.IntRange(1), help="End after so many results.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(0), help="End after so many seconds.")
@click.option(
    "--record", type=click.Path(path_type=Path), help="Keep every message in this new file."
)
@click.option("--replay", type=click.Path(path_type=Path), help="Show such a file; no broker.")
@click.option(
    "--speed",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    help="Of --replay: 1 is as it was, 0 is at once.",
)
@click.option("--confirm", is_flag=True, help="Tell devices that their results have arrived.")
def command(
    *,
    device: str,
    pipeline: str,
    prefix: str,
    lines: bool,
    raw: bool,
    count: int | None,
    timeout_s: float | None,
    record: Path | None,
    replay: Path | None,
    speed: float,
    confirm: bool,
    **access: Any,
) -> None:
    """Show results, statuses and announcements as they are published.

    On a terminal a table, elsewhere lines. A repeat of a result is shown once. Ctrl-C ends it.
    Exit codes: 0 all was seen; 1 the broker is out of reach, or --count was not reached; 2 an
    option is wrong.

    \b
    Examples:
        edge-run watch
        edge-run watch --url mqtts://broker --username ward3 --device bed-7
        edge-run watch --json --count 100 > results.jsonl
        edge-run watch --record monday.jsonl
        edge-run watch --replay monday.jsonl --speed 10
    """
    from edge_runtime.mqtt.receiver import wanted
    from edge_runtime.workbench.record import Player, Recorder
    from edge_runtime.workbench.viewer import Viewer

    from .displays import Lines, Table

    check_names(prefix, device, pipeline, wild=True)
    if replay and (record or confirm):
        raise ConfigError("--replay: goes with neither --record nor --confirm: nobody is there")
    viewer = Viewer(most=count)
    origin, record_name = str(replay or access["url"]), str(record or "")
    terminal = sys.stdout.isatty()
    table = terminal and not (lines or raw) and os.environ.get("TERM", "dumb") != "dumb"
    display: Display = (
        Table(viewer, origin, record_name) if table else Lines(raw=raw, colour=terminal)
    )
    acts: list[Callable[[Sight], None]] = [display.see]
    with ExitStack() as stack:
        if record:
            recorder = stack.enter_context(closing(Recorder(record)))
            acts.insert(0, recorder.keep)
        topics = wanted(prefix, device, pipeline)
        stream = Player(replay, topics, speed) if replay else connected(access, topics)
        stack.callback(stream.close)
        until = float("inf") if timeout_s is None else time.monotonic() + timeout_s
        follow(stream, viewer, display, acts, until=until, confirm=confirm)
    click.echo(viewer.summary, err=True)
    if count and not viewer.done and (replay or timeout_s is not None):
        within = f"in {replay}" if replay else f"within {timeout_s:g} s"
        raise EdgeRunError(f"{viewer.results} of {count} results {within}")


def connected(access: dict[str, Any], topics: Wanted) -> Receiver:
    """A receiver that has subscribed. Raises EdgeRunError when the broker is out of reach."""
    from edge_runtime.mqtt.receiver import Receiver

    receiver = Receiver(login_of(**access), topics)
    receiver.open()
    return receiver


def follow(
    stream: Stream,
    viewer: Viewer,
    display: Display,
    acts: Sequence[Callable[[Sight], None]],
    *,
    until: float,
    confirm: bool,
) -> None:
    """Do with each message what is to be done, until it is enough, monotonic `until`, or Ctrl-C."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # these also leave the terminal tidy
    display.open()
    try:
        while not viewer.done and not stream.ended and (left_s := until - time.monotonic()) > 0:
            sights = look(stream.take(min(left_s, LOOK_S)), viewer, acts)
            display.draw(stream.now_ns, stream.cause)
            if confirm:  # only now: what was shown has left this process
                acknowledge(stream, sights)
    except KeyboardInterrupt:
        click.echo("", err=True)
    finally:
        display.close()


def look(
    arrivals: Iterable[Arrival], viewer: Viewer, acts: Sequence[Callable[[Sight], None]]
) -> list[Sight]:
    """Look at messages until it is enough; gives those that were looked at."""
    sights: list[Sight] = []
    for arrival in arrivals:
        if viewer.done:
            break
        sights.append(viewer.see(arrival))
        for act in acts:
            act(sights[-1])
    return sights


def acknowledge(stream: Stream, sights: Iterable[Sight]) -> None:
    """Tell devices that what has an id is here, also when it came again."""
    from edge_runtime.parse import root_of

    for sight in sights:
        if isinstance(sight.event, ReceivedResult | Gap | Alert):
            stream.confirm(root_of(sight.arrival.message.topic), sight.event.id)
