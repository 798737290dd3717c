"""`edge-run start`: run a run file until it ends or is told to stop."""

from __future__ import annotations

import gc
import logging
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from edge_runtime.errors import UndeliveredError

if TYPE_CHECKING:
    from edge_runtime.pipeline import Pipeline

log = logging.getLogger(__name__)

# The interpreter hands over between threads every 5 ms by default, which is longer than an
# inference of a small model: capture and sender threads would pace the loop.
SWITCH_INTERVAL_S = 0.0002


@click.command("start")
@click.argument("run_file", type=click.Path(path_type=Path))
@click.option("--device", help="Device name in topics and results; overrides the run file.")
@click.option("--console", is_flag=True, help="Also show each result on standard output.")
def command(run_file: Path, device: str | None, console: bool) -> None:
    """Run the pipeline of RUN_FILE and publish its results.

    A recorded source ends the run (exit 0, everything delivered); a live one runs until SIGTERM
    or Ctrl-C, which deliver what was computed or keep it for the next start. A second Ctrl-C
    leaves at once.

    \b
    Example:
        edge-run start examples/ecg-replay.toml --console
    """
    from edge_runtime import build, config

    gc.disable()  # all that start-up makes stays: looking for garbage in it delays the first result
    extra = ("console",) if console else ()
    pipeline = build.pipeline(config.load(run_file, device=device, extra_sinks=extra))
    stop_on_signals(pipeline)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        pipeline.run(started=collect_garbage)
    except UndeliveredError as exc:
        if not pipeline.stop.is_set():
            raise
        log.warning("%s", exc)  # nothing is lost, and the stop was asked for
    finally:
        click.echo(summary(pipeline), err=True)


def collect_garbage() -> None:
    """From now on, but not among what start-up made."""
    gc.freeze()
    gc.enable()


def stop_on_signals(pipeline: Pipeline) -> None:
    """The first SIGTERM or Ctrl-C asks the pipeline to stop; a second one is not caught."""

    def ask(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        pipeline.stop.set()
        signal.signal(number, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)


def summary(pipeline: Pipeline) -> str:
    """What was done, in a line per source and one in all."""
    counters = pipeline.counters
    lines = [
        f"{name}: {source.read} frames read, {source.dropped} dropped, {source.bad} bad, "
        f"{source.reopened} reopened"
        for name, source in counters.sources.items()
    ]
    lines.append(f"{counters.results} results from {counters.frames} frames, {counters.bad} bad")
    return "\n".join(lines)
