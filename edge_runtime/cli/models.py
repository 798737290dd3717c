"""`edge-run models`: which models are here, what they want, and whether they still work."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_runtime.manifest import Manifest
    from edge_runtime.workbench.describe import ModelFacts

HEAD = ("name", "version", "task", "format", "precision", "kB", "where")


@click.group("models")
def command() -> None:
    """List, show and verify models.

    \b
    Examples:
        edge-run models list
        edge-run models show ecg-beats
        edge-run models verify ecg-beats
    """


@command.command("list")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path), metavar="[DIR]...")
@click.option("--json", "as_json", is_flag=True, help="As one JSON document.")
def list_models(folders: tuple[Path, ...], as_json: bool) -> None:
    """List the models in each DIR; default: those in ./models and those that came along.

    \b
    Example:
        edge-run models list /opt/models
    """
    from edge_runtime import shipped

    from .columns import table

    found: dict[Path, Path] = {}
    for folder in folders or (Path("models"),):
        require_folder(folder, optional=not folders)
        found |= {path.resolve(): path for path in shipped.model_directories(folder).values()}
    if not folders:
        for path in shipped.directories().values():
            found.setdefault(path.resolve(), path)
    rows, broken = read_all(list(found.values()))
    if as_json:
        click.echo(json.dumps([dict(zip(HEAD, row, strict=True)) for row in rows], indent=2))
    else:
        click.echo(table(HEAD, rows, right=("kB",)) if rows else "no models here")
    for message in broken:
        click.echo(f"edge-run: {message}", err=True)
    raise click.exceptions.Exit(2 if broken else 0)


def require_folder(folder: Path, *, optional: bool) -> None:
    """Raises ConfigError for a folder that was asked for and is not there."""
    from edge_runtime.errors import ConfigError

    if not optional and not folder.is_dir():
        raise ConfigError(f"{folder}: no such directory")


def read_all(directories: list[Path]) -> tuple[list[list[str]], list[str]]:
    """A row for each weights file, and what is wrong with the manifests that cannot be read."""
    from edge_runtime import manifest
    from edge_runtime.errors import ConfigError

    rows: list[list[str]] = []
    broken: list[str] = []
    for directory in directories:
        try:
            rows += list(entries(manifest.read(directory)))
        except ConfigError as exc:
            broken.append(str(exc))
    return rows, broken


def entries(found: Manifest) -> Iterator[list[str]]:
    """One row for each weights file of a model."""
    for entry in found.file:
        path = found.path(entry)
        size = f"{path.stat().st_size / 1000:.0f}" if path.is_file() else "missing"
        yield [
            *(found.name, found.version, found.task, entry.format, entry.precision, size),
            str(path),
        ]


@command.command("show")
@click.argument("model", metavar="MODEL")
@click.option("--labels", is_flag=True, help="The label list only; also one packed into a file.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON document.")
def show_model(model: str, labels: bool, as_json: bool) -> None:
    """Show the contract of MODEL: a model directory, a shipped model's name, or a bare file.

    For a bare file it prints the start of a manifest, valid TOML, with the tensors as comments
    and FILL where only a person knows.

    \b
    Examples:
        edge-run models show ecg-beats
        edge-run models show model.tflite > model.toml
        edge-run models show model.tflite --labels > labels.txt
    """
    from edge_runtime import manifest, shipped
    from edge_runtime.errors import ConfigError
    from edge_runtime.workbench import describe

    path = shipped.resolve(model)
    if not path.exists():
        raise ConfigError(f"{model}: no such model directory, file or shipped model")
    if path.is_dir() or path.suffix == ".toml":
        contract = manifest.read(path)
        click.echo("\n".join(contract.labels()) if labels else contract_text(contract, as_json))
    elif labels:
        click.echo(describe.packed_labels(path)[1], nl=False)
    else:
        facts = describe.read(path)
        click.echo(facts_json(facts) if as_json else describe.skeleton(facts), nl=as_json)


def facts_json(facts: ModelFacts) -> str:
    """A bare file as JSON."""
    return json.dumps(dataclasses.asdict(facts), indent=2, default=str, ensure_ascii=False)


def contract_text(found: Manifest, as_json: bool) -> str:
    """A manifest as JSON, or for a reader."""
    if as_json:
        facts = dataclasses.asdict(dataclasses.replace(found, accuracy=dict(found.accuracy)))
        return json.dumps(facts, indent=2, default=str, ensure_ascii=False)
    return "\n".join(contract_lines(found))


def contract_lines(found: Manifest) -> Iterator[str]:
    """What a person wants to know of a model before using it."""
    yield f"{found.name} {found.version}  {found.task}"
    for text in (found.summary, found.source and f"from {found.source}", found.licence):
        if text:
            yield f"  {text}"
    yield "files, in order of preference"
    for row in entries(found):
        yield f"  {Path(row[-1]).name}  {row[3]} {row[4]}  {row[5]} kB"
    yield "inputs"
    for entry in found.input:
        yield f"  {entry.name}: {said(entry, 'name')}"
    yield "outputs"
    for output in found.output:
        yield f"  {output.name}: {said(output, 'name')}"
    yield f"postprocess\n  {said(found.postprocess)}"
    yield from (f"  head {head.name}: {said(head, 'name')}" for head in found.head)
    if not found.head and (labels := found.labels()):
        shown = ", ".join(labels[:12])
        yield f"  {len(labels)} labels: {shown}{', ...' if len(labels) > 12 else ''}"
    if found.golden is not None:
        yield f"golden vectors\n  {said(found.golden)}"
    yield from accuracy_lines(found)
    card = found.directory / "README.md"
    yield f"card\n  {card if card.is_file() else 'none'}"


def accuracy_lines(found: Manifest) -> Iterator[str]:
    """The measured figures, one line each; a table of tables is flattened."""
    if found.accuracy:
        yield "accuracy"
    stack: list[tuple[str, object]] = list(found.accuracy.items())[::-1]
    while stack:
        name, value = stack.pop()
        if isinstance(value, dict):
            stack += [(f"{name}.{key}", item) for key, item in list(value.items())[::-1]]
        else:
            yield f"  {name:<28} {value}"


def said(entry: object, *without: str) -> str:
    """The fields of an entry that were set, as key=value."""
    fields = dataclasses.fields(entry)  # type: ignore[arg-type]
    texts = []
    for field in fields:
        value = getattr(entry, field.name)
        if field.name not in without and value != field.default and value not in ("", ()):
            texts.append(f"{field.name}={plain(value)}")
    return "  ".join(texts)


def plain(value: object) -> str:
    """A value without Python's punctuation."""
    if isinstance(value, tuple):
        return ",".join(plain(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


@command.command("verify")
@click.argument("model", metavar="MODEL")
@click.option("--json", "as_json", is_flag=True, help="As one JSON document.")
def verify_model(model: str, as_json: bool) -> None:
    """Verify MODEL on this machine: digests, every delegate, golden vectors, labels.

    A delegate that this machine does not have is told and is no failure. Exit code 3 when a file
    is not the one that the manifest states, computes something else, or runs nowhere here.

    \b
    Example:
        edge-run models verify ecg-beats
    """
    from edge_runtime import manifest, shipped
    from edge_runtime.workbench import findings, verification

    from .check import show, verdict

    found = []
    for finding in verification.verify(manifest.read(shipped.resolve(model))):
        found.append(finding)
        if not as_json:
            show(finding)
    if as_json:
        facts = [finding.facts() for finding in found]
        click.echo(json.dumps({"model": model, "findings": facts}, indent=2, ensure_ascii=False))
    else:
        click.echo(verdict(found))
    raise click.exceptions.Exit(findings.worst(found))
