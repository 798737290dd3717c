"""`edge-run start`: run a run file until it ends or is told to stop."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from edge_runtime.errors import UndeliveredError

if TYPE_CHECKING:
    from edge_runtime.config import RunConfig
    from edge_runtime.interfaces import Speaker
    from edge_runtime.pipeline import Pipeline

log = logging.getLogger(__name__)

# The interpreter hands over between threads every 5 ms by default, which is longer than an
# inference of a small model: capture and sender threads would pace the loop.
SWITCH_INTERVAL_S = 0.0002
HELD_S = 3.0  # after a hang, for the switch to see to it


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
    settings = config.load(run_file, device=device, extra_sinks=extra)
    pipeline = _updated(settings) if settings.update else build.pipeline(settings)
    stop_on_signals(pipeline)
    if settings.update:
        from .looking import Looking

        Looking(run_file, device).on_signal()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        pipeline.run(started=collect_garbage)
    except UndeliveredError as exc:
        if not pipeline.stop.is_set():
            raise
        log.warning("%s", exc)  # nothing is lost, and the stop was asked for
    finally:
        click.echo(summary(pipeline), err=True)
    if settings.update:
        leave(pipeline.model)


def _updated(settings: RunConfig) -> Pipeline:
    """A pipeline whose models come over the air: one that never returns must not stay."""
    from edge_runtime import build
    from edge_runtime.swap.switch import Switch

    from .again import again, end_if_held, hear_signals

    heard = hear_signals()
    pipeline = build.pipeline(settings, hung=lambda: again(heard))
    if settings.update and isinstance(pipeline.model, Switch):
        end_if_held(pipeline.model, settings.update.hang_s + HELD_S)
    return pipeline


def leave(speaker: Speaker) -> None:
    """Exit 0 at once where a candidate's native code still runs: it would be torn from below."""
    from edge_runtime.swap.switch import Switch

    if isinstance(speaker, Switch) and speaker.stuck:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


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
