"""`edge-run ecg score`: compare found beats with reference annotations, by ANSI/AAMI EC57."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_runtime.errors import ConfigError

if TYPE_CHECKING:
    from edge_runtime.config import ModelConfig
    from edge_runtime.holter.score import Failure, Plan, RecordScore
    from edge_runtime.holter.score_tables import Report

_ANNOTATOR = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,19}", re.ASCII)
STEPS_FILE = "run.toml"


@click.command("score")
@click.argument("records", nargs=-1, required=True, metavar="RECORD_OR_DIR...")
@click.option(
    "--detector", type=click.Choice(["qrs"]), help="Score the QRS detector; this is the default."
)
@click.option("--model", metavar="MODEL", help="Score a beat model, with the steps before it.")
@click.option("--delegate", help="Use this one for the model; default: the board's.")
@click.option("--existing", metavar="NAME", default="", help="Run nothing: score RECORD.NAME.")
@click.option("--annotator", default="atr", show_default=True, help="Suffix of the reference.")
@click.option("--lead", default="", help="Default: the model's; MLII; else the first.")
@click.option("--split", type=click.Choice(["ds1", "ds2"]), help="Of mitdb: only these records.")
@click.option("--without", multiple=True, metavar="NAME", help="Leave this record out; repeatable.")
@click.option("--from", "begin", default="5:00", show_default=True, help="Nothing before counts.")
@click.option("--write", "folder", type=click.Path(path_type=Path), help="Write annotations here.")
@click.option("--as", "name", default="test", show_default=True, help="Suffix of what is written.")
@click.option("--leak", is_flag=True, help="Score on patients that the model was trained on.")
@click.option("--matrices", is_flag=True, help="Print the matrix of each record too.")
@click.option(
    "--chunk",
    "chunk_ms",
    type=click.FloatRange(1, 60_000),
    default=40,
    show_default=True,
    help="Milliseconds of signal in a frame.",
)
@click.option("--jobs", type=click.IntRange(1, 64), help="Processes; default: one for each core.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON document.")
def score(
    *,
    records: tuple[str, ...],
    detector: str | None,
    model: str | None,
    delegate: str | None,
    existing: str,
    annotator: str,
    lead: str,
    split: str | None,
    without: tuple[str, ...],
    begin: str,
    folder: Path | None,
    name: str,
    leak: bool,
    matrices: bool,
    chunk_ms: float,
    jobs: int | None,
    as_json: bool,
) -> None:
    """Score the QRS detector or a beat model on WFDB records with reference annotations.

    A folder stands for its annotated records. Pairs, classes and counts are those of the program
    bxb (ANSI/AAMI EC57): beats match within 150 ms, the first five minutes are for learning,
    ventricular flutter is left out. What --write writes, bxb reads.

    A model is not scored on patients that it was trained on, unless --leak says so; every table
    is then marked.

    Exit codes: 0 scored; 1 a record could not be used; 2 an option is wrong, or the records leak
    into the test; 3 the model cannot be used.

    \b
    Examples:
        edge-run ecg score data/mitdb
        edge-run ecg score data/mitdb --split ds2 --without 202 --model ecg-beats
        edge-run ecg score data/mitdb/100 --write out --as test
    """
    from edge_runtime.holter.records import find_records
    from edge_runtime.holter.score import Plan, subject
    from edge_runtime.holter.score_tables import Report
    from edge_runtime.holter.score_tables import as_json as as_document

    check_names(annotator, name if folder else "", existing)
    if sum(map(bool, (detector, model, existing))) > 1:
        raise ConfigError("--detector, --model, --existing: give one of them")
    found = find_records(records, annotator, split or "", without)
    chosen, steps, leaked = model_of(model, delegate, [path.name for path in found], leak=leak)
    plan = Plan(
        annotator=annotator,
        existing=existing,
        model=chosen,
        steps=steps,
        lead=lead,
        chunk_s=chunk_ms / 1e3,
        start_s=seconds(begin),
    )
    scored = subject(plan)
    scores, failures = run(found, plan, jobs or os.cpu_count() or 1)
    if folder:
        write(folder, name, scores)
    report = Report(scored, plan, scores, failures, split or "", leaked)
    if as_json:
        click.echo(json.dumps(as_document(report), indent=2))
    else:
        show(report, matrices=matrices)
    conclude(failures, len(found))


def check_names(annotator: str, written: str, existing: str) -> None:
    """Raises ConfigError for a suffix that no annotation file has, or that would be lost."""
    options = (("--annotator", annotator), ("--as", written), ("--existing", existing))
    for option, name in options:
        if name and (not _ANNOTATOR.fullmatch(name) or name in ("hea", "dat")):
            raise ConfigError(f"{option} {name}: must be a short name of letters, such as test")
    if written and written in (annotator, existing):
        raise ConfigError(f"--as {written}: would overwrite the annotations that are compared")


def seconds(text: str) -> float:
    """A time as "90", "1:30" or "0:01:30". Raises ConfigError."""
    parts = text.split(":")
    try:
        values = [float(part) for part in parts]
    except ValueError:
        values = []
    if not 0 < len(values) <= 3 or not all(0 <= value < 1e6 for value in values):
        raise ConfigError(f"{text}: is no time; write seconds, m:s or h:m:s, such as 5:00")
    total = 0.0
    for value in values:
        total = 60 * total + value
    return total


def model_of(
    model: str | None, delegate: str | None, names: Sequence[str], *, leak: bool
) -> tuple[ModelConfig | None, Path | None, list[str]]:
    """The model, the run file with its steps, and which of the records it was trained on.

    Raises ConfigError when there are any and nobody said `leak`.
    """
    if model is None:
        return None, None, []
    from edge_runtime import shipped
    from edge_runtime.config import ModelConfig, Rung
    from edge_runtime.holter import leak as leaks

    path = shipped.resolve(model)
    training = leaks.trained_on(path)
    if training is None:
        click.echo(
            f"edge-run: {model} does not say what it was trained on (model.toml, [training] "
            "records): whether these patients were among them is not known",
            err=True,
        )
    leaked = leaks.leaked(names, training or ())
    if leaked and not leak:
        raise ConfigError(
            f"{model} was trained on patients of {len(leaked)} of these records "
            f"({', '.join(leaked[:5])}{', ...' if len(leaked) > 5 else ''}): leave them out with "
            "--split ds2 or --without, or say --leak"
        )
    chosen = ModelConfig(path=path, delegates=(Rung(delegate),) if delegate else ())
    steps = path / STEPS_FILE
    return chosen, steps if steps.is_file() else None, leaked


def run(records: Sequence[Path], plan: Plan, jobs: int) -> tuple[list[RecordScore], list[Failure]]:
    """Score every record, in the order given; a bar moves on a terminal."""
    from edge_runtime.holter.score import Failure
    from edge_runtime.holter.score import score as score_all

    from .columns import progress

    done: dict[Path, RecordScore | Failure] = {}
    with progress(len(records), "scoring") as step:
        for one in score_all(records, plan, jobs):
            done[one.path] = one
            step()
    ordered = [done[path] for path in records]
    failures = [one for one in ordered if isinstance(one, Failure)]
    return [one for one in ordered if not isinstance(one, Failure)], failures


def write(folder: Path, name: str, scores: Sequence[RecordScore]) -> None:
    """Write RECORD.name for every record. Raises ConfigError."""
    from edge_runtime.holter.wfdb_files import plain_marks, write_annotations

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(f"{folder}: {exc.strerror}") from exc
    for one in scores:
        marks = plain_marks(
            [mark.sample for mark in one.found], [mark.symbol for mark in one.found]
        )
        write_annotations(folder / f"{one.path.name}.{name}", marks)


def show(report: Report, *, matrices: bool) -> None:
    """Print the tables."""
    from edge_runtime.holter.score_tables import tables

    from .columns import table

    blocks = [
        f"{title}\n{table(head, rows, right=head[1:])}"
        for title, head, rows in tables(report, matrices=matrices)
    ]
    click.echo("\n\n".join(blocks))


def conclude(failures: Sequence[Failure], count: int) -> None:
    """Name the records that failed. Raises FrameError, for exit code 1, when there are any."""
    from edge_runtime.errors import FrameError

    for failure in failures:
        click.echo(f"edge-run: {failure.reason}", err=True)
    if failures:
        raise FrameError(f"{len(failures)} of {count} records could not be scored")
