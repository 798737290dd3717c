"""`edge-run predict`: what a model says of files."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edge_runtime.frame import Result
    from edge_runtime.interfaces import Step
    from edge_runtime.workbench.predict import Failure

STEPS_FILE = "run.toml"  # in a model directory: a run file whose steps make the model's input
MAX_SHOWN = 20  # failures told one by one; the others are counted


@click.command("predict")
@click.argument("model", metavar="MODEL")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "--manifest", type=click.Path(path_type=Path), help="Needed for a bare file: its contract."
)
@click.option("--json", "as_json", is_flag=True, help="A result a line, as it goes over MQTT.")
@click.option("--delegate", help="Use this one; default: the board's, in order of preference.")
@click.option("--threads", type=click.IntRange(1, 64), help="Default: the board's.")
@click.option(
    "--top",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Labels shown; heads show all.",
)
@click.option(
    "--steps",
    "steps_file",
    type=click.Path(path_type=Path),
    metavar="RUN.toml",
    help="Take the steps for a signal from this run file; default: the model's own run.toml.",
)
@click.option("--rate", "rate_hz", type=click.FloatRange(0, min_open=True), help="Of a CSV, in Hz.")
def command(
    *,
    model: str,
    inputs: tuple[str, ...],
    manifest: Path | None,
    as_json: bool,
    delegate: str | None,
    threads: int | None,
    top: int,
    steps_file: Path | None,
    rate_hz: float | None,
) -> None:
    """Say what MODEL makes of each INPUT, one result a line.

    MODEL is a model directory, a shipped model's name, or a bare file with --manifest. INPUT is
    an image, a video, a directory of images or a pattern; a WFDB record or CSV file for a model
    of signals; an .npy or .npz file that holds the input tensors themselves.

    An input that cannot be used is named and counted and the rest go on: exit code 1 then, and 3
    when the model itself cannot be used.

    \b
    Examples:
        edge-run predict models/vww96 shots/
        edge-run predict ecg-beats data/mitdb/100 --json
        edge-run predict model.tflite --manifest model.toml burger.jpg --top 3
    """
    from edge_runtime import build, shipped
    from edge_runtime.config import ModelConfig, Rung
    from edge_runtime.workbench import predict

    chosen = ModelConfig(
        path=shipped.resolve(model),
        manifest=manifest,
        delegates=(Rung(delegate),) if delegate else (),
        threads=threads or 0,
    )
    contract, candidates = build.candidates(chosen)
    names = list(predict.expand(inputs, contract))
    ready = predict.model_for(contract, candidates, names)
    chain = chain_of(steps_file, chosen.path)
    with closing(ready):
        ready.open()
        write = json_line() if as_json else text_line(top, names)
        failed = run(names, lambda name: predict.predict(name, ready, chain, rate_hz), write)
    conclude(failed, len(names))


def chain_of(steps_file: Path | None, model: Path) -> Callable[[], Sequence[Step]]:
    """What makes the steps for one file. Raises ConfigError."""
    from edge_runtime import build, config

    own = model / STEPS_FILE
    if steps_file is None and not own.is_file():
        return tuple
    run_file = config.load(steps_file or own)
    build.steps(run_file)  # a wrong option is told now, once
    return lambda: build.steps(run_file)


def run(
    names: Sequence[str | Failure],
    predicted: Callable[[str], Iterable[Result | Failure]],
    write: Callable[[Result], str],
) -> int:
    """Print a line for each result; how many inputs had a failure."""
    from edge_runtime.workbench.predict import Failure

    from .columns import progress

    failed: list[str] = []
    with progress(len(names), "predicting", only_if=not sys.stdout.isatty()) as step:
        for name in names:
            for found in [name] if isinstance(name, Failure) else predicted(name):
                if isinstance(found, Failure):
                    tell(found, failed)
                else:
                    click.echo(write(found))
            step()
    return len(set(failed))


def tell(failure: Failure, failed: list[str]) -> None:
    """Name a failure, unless there have been many."""
    failed.append(failure.input)
    if len(failed) <= MAX_SHOWN:
        text = " ".join(failure.reason.split())
        named = text if failure.input in text else f"{failure.input}: {text}"
        click.echo(f"edge-run: {named}", err=True)
    if len(failed) == MAX_SHOWN + 1:
        click.echo("edge-run: more like these are only counted", err=True)


def conclude(failed: int, count: int) -> None:
    """Raises FrameError, for exit code 1, when an input failed."""
    from edge_runtime.errors import FrameError

    if failed:
        raise FrameError(f"{failed} of {count} inputs could not be used")


def json_line() -> Callable[[Result], str]:
    """Results as they go over MQTT; `source` is the file."""
    from edge_runtime.frame import Identity
    from edge_runtime.wire import Encoder

    encoder = Encoder(Identity(socket.gethostname(), "predict"))
    return lambda result: encoder.result(result).decode("utf-8")


def text_line(top: int, names: Sequence[str | Failure]) -> Callable[[Result], str]:
    """Results for a reader: the file, in a video or signal the number, and what was seen."""
    from edge_runtime.workbench.outcome_text import say
    from edge_runtime.workbench.predict import STILLS

    stills = {name for name in names if Path(str(name)).suffix.lower() in STILLS}

    def line(result: Result) -> str:
        number = "" if result.source in stills else f" #{result.seq}"
        return f"{result.source}{number}  {say(result.outcome, top)}"

    return line
