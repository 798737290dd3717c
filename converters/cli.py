"""`edge-convert`: converting, comparing, installing; `cli_optimise` has the verbs that train."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from edge_runtime import __version__
from edge_runtime.errors import EdgeRunError

from .cli_optimise import VERBS, seconds

DEFAULT = "model"  # the verb that need not be named

file = click.Path(path_type=Path)


class Verbs(click.Group):
    """`edge-convert MODEL ...` is `edge-convert model MODEL ...`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = {*self.commands, "-h", "--help", "--version"}
        if args and args[0] not in known:
            args.insert(0, DEFAULT)
        return super().parse_args(ctx, args)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edge-convert")
def cli() -> None:
    """Convert a model on a workstation, prove it, and write the directory that edge-run loads.

    \b
        edge-convert MODEL -o DIR    convert (edge-convert model --help)
        edge-convert compare A B     how two models differ on the same data
        edge-convert setup FAMILY    install the frameworks that a source needs
        edge-convert prune, distil, tune    make a network smaller, or ready for INT8, first
    """


@cli.command("model")
@click.argument("model")
@click.option("-o", "--out", type=file, help="Model directory to write.")
@click.option("--contract", type=file, help="What the numbers mean: a model.toml without weights.")
@click.option("--to", "targets", multiple=True, metavar="TARGET", help="tflite:int8, onnx:float16.")
@click.option("--for", "purpose", metavar="BOARD", help="Targets that suit a board or purpose.")
@click.option("--calibrate", metavar="DATA", help="Real inputs for INT8: NPZ, pictures, WFDB.")
@click.option("--evaluate", metavar="DATA", help="Labelled data that every file must do well on.")
@click.option("--steps", type=file, metavar="RUN.toml", help="Take the [[step]]s from this file.")
@click.option("--calibration-cases", type=click.IntRange(1), default=200, show_default=True)
@click.option("--evaluation-cases", type=click.IntRange(1), help="Default: all.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of all that is chosen.")
@click.option(
    "--calibration",
    type=click.Choice(["minmax", "percentile", "entropy"]),
    default="minmax",
    show_default=True,
    help="How ranges are taken from the calibration data (ONNX).",
)
@click.option(
    "--max-drop", type=click.FloatRange(0), default=0.5, show_default=True, help="In points."
)
@click.option(
    "--min-agreement",
    type=click.FloatRange(0, 100),
    help="Share of cases, labelled or not, that must be answered as the source does, in percent.",
)
@click.option("--weights", type=file, help="state_dict of a PyTorch module (module:callable).")
@click.option("--dynamic-batch", is_flag=True, help="Leave the batch axis open.")
@click.option("--unroll", is_flag=True, help="Unroll recurrent layers: larger, and integer.")
@click.option("--signature", help="Of a SavedModel; default: serving_default.")
@click.option("--trust", is_flag=True, help="Load a source that can run code of its author.")
@click.option("--overwrite", is_flag=True, help="Replace the directory.")
@click.option("--timeout", "timeout_s", type=seconds, default=1800, show_default=True)
@click.option("--dry-run", is_flag=True, help="Only say what would happen.")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
def model_(*, as_json: bool, dry_run: bool, **given: Any) -> None:
    """Convert MODEL, prove every file on data, and write a model directory.

    MODEL is a .keras, .h5, .pt2, .onnx or .tflite file, TorchScript, a SavedModel folder, a model
    directory, or module:callable with --weights. Nothing is written when a file falls behind the
    source by more than --max-drop points: exit code 4. Exit code 2: options, contract or data;
    3: the model cannot be converted.

    In an NPZ an array of labels is called "labels", of a network of several heads "labels/HEAD": an
    index each, or 0 and 1 for every label where any may hold; -1 or NaN where it is not known.
    "groups" names the patient of each case.

    \b
    Example:
        edge-convert net.keras -o models/net --contract net.toml --for raspberry-pi-5 \\
            --calibrate pictures/train --evaluate pictures/test
    """
    from .wish import preview, wish

    wanted = wish(**given)
    if dry_run:
        for line in preview(wanted):
            click.echo(line)
        return
    from . import convert

    with progress() as tell:
        report = convert.convert(wanted, tell)
    click.echo(json.dumps(report.facts, indent=1) if as_json else report.text())


@cli.command()
@click.argument("first", type=file, metavar="A")
@click.argument("second", type=file, metavar="B")
@click.option("--data", help="NPZ, pictures, WFDB or module:callable; else A's golden inputs.")
@click.option("--contract", type=file, help="Where neither A nor B is a model directory.")
@click.option("--steps", type=file, metavar="RUN.toml", help="Take the [[step]]s from this file.")
@click.option("--cases", "limit", type=click.IntRange(1), help="Default: all.")
@click.option("--max-drop", type=click.FloatRange(0), help="More points lost: exit code 4.")
@click.option("--json", "as_json", is_flag=True, help="The comparison as JSON.")
def compare(
    *, first: Path, second: Path, contract: Path | None, as_json: bool, **given: Any
) -> None:
    """Say how models A and B (directories or files) differ on the same data.

    \b
    Example:
        edge-convert compare models/net/net-float32.tflite models/net/net-int8.tflite \\
            --data pictures/test
    """
    from . import comparing
    from .errors import GateError

    sides = comparing.side(first, contract), comparing.side(second, contract)
    with progress() as tell:
        found = comparing.compare(*sides, **given, on_progress=tell)
    click.echo(json.dumps(found.facts(), indent=1) if as_json else found.text())
    if not found.verdict.passed:
        raise GateError("; ".join(found.verdict.reasons))


@cli.command()
@click.argument("family", required=False)
@click.option("--python", default="", help="Build it with this Python.")
def setup(family: str | None, python: str) -> None:
    """Install a FAMILY of frameworks in an environment of its own; without one, list them."""
    from . import environment

    if family is None:
        for name, one in environment.FAMILIES.items():
            click.echo(f"{name:14}{one.what:40}{environment.find(name) or 'not installed'}")
        return
    if family not in environment.FAMILIES or family == environment.OWN:
        names = ", ".join(name for name in environment.FAMILIES if name != environment.OWN)
        raise click.UsageError(f"no family '{family}'; there are {names}")
    click.echo(f"{family}: {', '.join(environment.packages(family))}", err=True)
    click.echo(environment.make(family, python))


@cli.command()
@click.argument("model")
@click.option("-o", "--out", type=file, required=True, help="The file or folder to write.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["torchscript", "pt2", "saved-model"]),
    required=True,
    help="TorchScript or .pt2 of a PyTorch model, SavedModel of a Keras one.",
)
@click.option("--contract", "contract_file", type=file, required=True, help="Its model.toml.")
@click.option("--weights", type=file, help="state_dict of a PyTorch module (module:callable).")
@click.option("--dynamic-batch", is_flag=True, help="Leave the batch axis open.")
@click.option("--trust", is_flag=True, help="Load a source that can run code of its author.")
@click.option("--timeout", "timeout_s", type=seconds, default=1800, show_default=True)
def export(*, out: Path, **given: Any) -> None:
    """Write MODEL for a server, with the contract's name, version, licence and labels inside.

    \b
    Example:
        edge-convert export nets.small:build --weights w.pt --contract net.toml \\
            --format torchscript -o net.ts
    """
    from . import serving

    with progress() as tell:
        serving.export(out=out, **given, on_progress=tell)
    click.echo(out)


@cli.command()
@click.argument("source", type=file, metavar="MODEL.onnx")
@click.option("-o", "--out", type=file, required=True, help="The engine to write.")
@click.option("--precision", type=click.Choice(["float32", "float16", "int8"]), default="float16")
@click.option("--cache", type=file, help="INT8 calibration cache (TensorRT before 11).")
def tensorrt(**given: Any) -> None:
    """Build a TensorRT engine with trtexec, on the board that will run it."""
    from . import vendors

    click.echo(vendors.tensorrt(**given))


@cli.command()
@click.argument("source", type=file, metavar="MODEL.tflite")
@click.option("-o", "--out", "folder", type=file, default=Path(), help="Folder to write into.")
def edgetpu(**given: Any) -> None:
    """Compile an INT8 TFLite file for an Edge TPU with edgetpu_compiler."""
    from . import vendors

    made = vendors.edgetpu(**given)
    click.echo(f"{made.path}: {made.on_tpu} operators on the Edge TPU")
    for left in made.on_cpu:
        click.echo(f"on the CPU: {left}")


for verb in VERBS:
    cli.add_command(verb)


@contextmanager
def progress() -> Iterator[Callable[[int, int, str], None]]:
    """A line on the terminal that says what is being done; nothing at all in a pipe."""
    if not sys.stderr.isatty():
        yield lambda done, total, what: None  # noqa: ARG005 - nobody looks
        return

    def tell(done: int, total: int, what: str) -> None:
        share = f" {done} of {total}" if total else ""
        click.echo(f"\r\033[K{what}{share}", err=True, nl=False)

    try:
        yield tell
    finally:
        click.echo("\r\033[K", err=True, nl=False)


def main() -> None:
    """The entry point. Exit codes: 0 done, 2 options or data, 3 cannot be converted, 4 gate."""
    try:
        code = cli.main(prog_name="edge-convert", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        code = 130
    except click.ClickException as exc:
        exc.show()
        code = exc.exit_code
    except EdgeRunError as exc:
        click.echo(f"edge-convert: {exc}", err=True)
        code = exc.exit_code
    except Exception:  # noqa: BLE001 - the edge: a bug ends in a traceback and an honest code
        traceback.print_exc()
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
