"""The verbs of `edge-convert` that train: prune, distil, tune."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import click

from edge_runtime.errors import EdgeRunError

file = click.Path(path_type=Path)


class Seconds(click.FloatRange):
    """A time to wait: more than nothing, and a number."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        found: float = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value} is no number of seconds", param, ctx)
        return found


seconds = Seconds(0, min_open=True)
Command = Callable[..., None]

_SHARED = (
    click.option("-o", "--out", type=file, required=True, help="FILE.pt2, .pt or .keras to write."),
    click.option("--contract", type=file, required=True, help="A model.toml without weights."),
    click.option("--weights", type=file, help="state_dict of a PyTorch module (module:callable)."),
    click.option("--train", required=True, metavar="DATA", help="Labelled data to train on."),
    click.option("--evaluate", required=True, metavar="DATA", help="Labelled data to judge on."),
    click.option("--train-cases", type=click.IntRange(2), help="Default: all."),
    click.option("--steps", type=file, metavar="RUN.toml", help="Take the [[step]]s from it."),
    click.option("--epochs", type=click.IntRange(0), default=10, show_default=True),
    click.option("--batch", "batch_size", type=click.IntRange(2), default=64, show_default=True),
    click.option(
        "--rate",
        type=click.FloatRange(0, min_open=True),
        default=1e-3,
        show_default=True,
        help="Of learning, at the start; it falls to zero along a cosine.",
    ),
    click.option("--seed", type=click.IntRange(0), default=0, show_default=True),
    click.option(
        "--threads",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Another number may round otherwise.",
    ),
    click.option("--to", "target", metavar="TARGET", help="The file that is measured."),
    click.option("--max-drop", type=click.FloatRange(0), help="More points lost: exit code 4."),
    click.option("--trust", is_flag=True, help="Load a source that can run code of its author."),
    click.option("--timeout", "timeout_s", type=seconds, default=86400, show_default=True),
    click.option("--json", "as_json", is_flag=True, help="The report as JSON."),
)


def _shared(command: Command) -> Command:
    return reduce(lambda made, option: option(made), reversed(_SHARED), command)


@click.command()
@click.argument("model")
@click.option("--share", type=click.FloatRange(0, 1, True, True), default=0.5, show_default=True)
@click.option("--structured", is_flag=True, help="Whole channels, not single weights.")
@_shared
def prune(*, share: float, structured: bool, **given: Any) -> None:
    """Take a share of the weights, or of each layer's channels, out of MODEL, and train the rest.

    Single weights become zeros: the file is as large and as slow as before, and only smaller when
    it is compressed. With --structured the network itself becomes smaller.

    \b
    Example:
        edge-convert prune nets:build --weights net.pt --contract net.toml --structured \\
            --train pictures/train --evaluate pictures/test -o smaller.pt2
    """
    _run("prune", {"share": share, "structured": structured}, **given)


@click.command()
@click.argument("student", metavar="STUDENT")
@click.option("--teacher", required=True, metavar="MODEL", help="Any model, or .npz of its logits.")
@click.option("--teacher-weights", type=file, help="state_dict, where it is a PyTorch module.")
@click.option("--teacher-contract", type=file, help="Where it takes something else.")
@click.option(
    "--temperature", type=click.FloatRange(0, min_open=True), default=4.0, show_default=True
)
@click.option(
    "--weight",
    type=click.FloatRange(0, 1),
    default=0.9,
    show_default=True,
    help="Of the teacher's word; the labels have the rest.",
)
@_shared
def distil(
    *,
    student: str,
    teacher: str,
    teacher_weights: Path | None,
    teacher_contract: Path | None,
    temperature: float,
    weight: float,
    **given: Any,
) -> None:
    """Train STUDENT on the softened word of a teacher, and alone for comparison.

    STUDENT is a .keras file, or module:callable; without --weights the network starts as it is
    built, drawn with the seed. Both runs have the same seed, order and number of epochs.

    \b
    Example:
        edge-convert distil nets:small --teacher models/large --contract net.toml \\
            --train pictures/train --evaluate pictures/test -o small.pt2
    """
    taught = (teacher, teacher_weights, teacher_contract)
    special = {"temperature": temperature, "weight": weight}
    _run("distil", special, model=student, taught=taught, **given)


@click.command()
@click.argument("model")
@click.option(
    "--calibrate", metavar="DATA", help="Real inputs for INT8; default: those of --train."
)
@_shared
def tune(*, calibrate: str | None, **given: Any) -> None:
    """Train MODEL on as if it were INT8, where INT8 without training loses too much.

    What is written is a float network; `edge-convert` converts it like any other. The INT8 files
    of before and after are measured.

    \b
    Example:
        edge-convert tune nets:build --weights net.pt --contract net.toml --to tflite:int8 \\
            --train pictures/train --evaluate pictures/test --epochs 3 -o tuned.pt
    """
    _run("tune", {}, calibrate=calibrate, **given)


VERBS = (prune, distil, tune)


def _run(verb: str, special: dict[str, Any], *, as_json: bool, **given: Any) -> None:
    from . import optimise
    from .cli import progress
    from .optimise_wish import wish

    wanted = wish(verb, special, **given)
    try:
        with progress() as tell:
            found = optimise.optimise(wanted, tell)
    except (EdgeRunError, KeyboardInterrupt) as exc:
        if wanted.checkpoint.exists() and str(wanted.checkpoint.absolute()) not in str(exc):
            click.echo(f"{wanted.checkpoint}: the same command goes on from here", err=True)
        raise
    click.echo(json.dumps(found.facts, indent=1) if as_json else found.text())
