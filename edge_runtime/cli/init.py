"""`edge-run init`: write a run file to begin with."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edge_runtime.config import Component

SHIPPED = {"image": "shapes", "signal": "ecg-beats"}  # the model that comes along, by stream


@click.command("init")
@click.option("--source", "kind", metavar="KIND", help="camera, images, serial, wfdb, ecgsyn, ...")
@click.option("--input", "place", default="", help="Path, device or port of the source.")
@click.option("--model", help="Model directory, shipped model, or bare file; default: a shipped.")
@click.option("--manifest", help="Contract of a bare file; default: model.toml beside it.")
@click.option("--broker", default="", metavar="URL", help="Publish here, mqtt://HOST:PORT.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("run.toml"),
    show_default=True,
    help="The file to write.",
)
@click.option("--force", is_flag=True, help="Overwrite it.")
def command(
    *,
    kind: str | None,
    place: str,
    model: str | None,
    manifest: str | None,
    broker: str,
    output: Path,
    force: bool,
) -> None:
    """Write a run file with every option of its parts explained.

    What is not said by an option is asked on a terminal, and takes its default elsewhere.

    \b
    Examples:
        edge-run init --source camera --model models/vww96
        edge-run init --source serial --input /dev/ttyUSB0 --broker mqtt://localhost:1883
    """
    from edge_runtime import profile
    from edge_runtime.workbench import run_file
    from edge_runtime.workbench.check_ends import stream_of

    refuse_to_overwrite(output, force=force)
    asks = sys.stdin.isatty() and sys.stdout.isatty()
    kind = known_source(kind or asked_source(asks=asks))
    if asks and not place and kind in run_file.PLACES:
        key = run_file.PLACES[kind]
        place = click.prompt(key, default=str(run_file.EXAMPLES.get((kind, key), "")))
    if model is None:
        model = SHIPPED.get(stream_of(kind), "")
        model = click.prompt("model", default=model or None) if asks else model
    path, contract = located(required(model), manifest, output.parent)
    board = profile.detect()
    draft = run_file.Draft(
        name=re.sub(r"[\s/+#]+", "-", output.stem) or "run",
        source=kind,
        model=path,
        place=relative(place, output.parent) if place and Path(place).exists() else place,
        manifest=contract,
        broker=broker,
        board=board.name,
        delegates=board.delegates["onnx" if path.endswith((".onnx", ".ort")) else "tflite"],
        steps=steps_of(required(model)),
    )
    write(output, run_file.render(draft))
    tell(output, contract, model=required(model))


def refuse_to_overwrite(output: Path, *, force: bool) -> None:
    """Raises ConfigError."""
    from edge_runtime.errors import ConfigError

    if output.is_dir():
        raise ConfigError(f"{output}: is a directory; name a file in it")
    if output.exists() and not force:
        raise ConfigError(f"{output}: is there already; --force overwrites it, -o names another")


def asked_source(*, asks: bool) -> str:
    """Which kind of source. Raises ConfigError where nobody can be asked."""
    from edge_runtime import registry
    from edge_runtime.errors import ConfigError

    kinds = registry.names("source")
    if not asks:
        raise ConfigError(f"say which source: --source {'|'.join(kinds)}")
    kind: str = click.prompt("source", type=click.Choice(kinds), default="camera")
    return kind


def known_source(kind: str) -> str:
    """Raises ConfigError naming the nearest kind."""
    from edge_runtime import registry

    registry.find("source", kind)
    return kind


def required(model: str | None) -> str:
    """Raises ConfigError when no model is named and none comes along for the source."""
    from edge_runtime.errors import ConfigError

    if not model:
        raise ConfigError("say which model: --model PATH")
    return model


def located(model: str, manifest: str | None, base: Path) -> tuple[str, str]:
    """Path and manifest as they stand in a run file in `base`. Raises ConfigError."""
    from edge_runtime import shipped
    from edge_runtime.errors import ConfigError

    path = shipped.resolve(model)
    if not path.exists():
        raise ConfigError(f"{model}: no such model directory, file or shipped model")
    if not Path(model).exists():
        return model, ""  # by its name, which holds on every device
    contract = ""
    if not path.is_dir():
        contract = relative(manifest or str(path.with_name("model.toml")), base)
    return relative(model, base), contract


def relative(path: str, base: Path) -> str:
    """A path as the run file must say it."""
    if Path(path).is_absolute():
        return path
    return os.path.relpath(path, base)


def steps_of(model: str) -> tuple[Component, ...]:
    """The steps that the model's own run file has. Raises ConfigError when that is not valid."""
    from edge_runtime import config, shipped

    from .predict import STEPS_FILE

    own = shipped.resolve(model) / STEPS_FILE
    return config.load(own, {}).steps if own.is_file() else ()


def write(output: Path, text: str) -> None:
    """Raises ConfigError."""
    from edge_runtime.errors import ConfigError

    try:
        output.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"{output}: {exc.strerror}") from exc


def tell(output: Path, contract: str, model: str) -> None:
    """What was written, and what comes next."""
    click.echo(f"wrote {output}")
    manifest = output.parent / contract
    if contract and not manifest.exists():
        show = shlex.join(["edge-run", "models", "show", model])
        click.echo(f"  {show} > {shlex.quote(str(manifest))}   then answer what is marked FILL")
    click.echo(f"  {shlex.join(['edge-run', 'check', str(output)])}")
    click.echo(f"  {shlex.join(['edge-run', 'start', str(output)])}")
