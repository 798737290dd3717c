"""`edge-run check`: what would go wrong with a run file, before it does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edge_runtime.workbench.findings import Finding

PART_COLUMNS = 20
COLOURS = {"ok": "green", "note": "yellow", "fail": "red"}


@click.command("check")
@click.argument("run_file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Findings as one JSON document.")
def command(run_file: Path, as_json: bool) -> None:
    """Check RUN_FILE part by part, without running it.

    Looks at the run file, the model on each of its delegates, every source, step and sink. One
    line each, with what to do after the arrow. Nothing is published, no file is made.

    Exit code: 0 all is well, 2 the configuration, 3 the model, 1 a source or broker out of reach.

    \b
    Example:
        edge-run check examples/ecg-replay.toml
    """
    from edge_runtime.workbench import checks
    from edge_runtime.workbench.findings import worst

    found = []
    for finding in checks.check(run_file):
        found.append(finding)
        if not as_json:
            show(finding)
    if as_json:
        document = {"file": str(run_file), "findings": [finding.facts() for finding in found]}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        click.echo(verdict(found))
    raise click.exceptions.Exit(worst(found))


def show(finding: Finding) -> None:
    """One finding in one line."""
    state = click.style(f"{finding.state:<4}", fg=COLOURS[finding.state])
    fix = f"  -> {finding.fix}" if finding.fix else ""
    click.echo(f"{state}  {finding.part:<{PART_COLUMNS}}  {' '.join(finding.text.split())}{fix}")


def verdict(found: list[Finding]) -> str:
    """The last line."""
    failures = sum(finding.state == "fail" for finding in found)
    notes = sum(finding.state == "note" for finding in found)
    if not failures and not notes:
        return "all is well"
    return f"{failures} to repair, {notes} to look at"
