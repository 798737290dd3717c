"""`edge-run doctor`: what this board can run and accelerate, why not, and the fix."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edge_runtime.workbench.doctor import Finding

_COLOURS = {"ok": "green", "warn": "yellow", "missing": None, "fail": "red"}
_NO_BACKEND = 3


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
def command(as_json: bool) -> None:
    """Look at this machine: runtimes, delegates, cameras, ports, clock, space, sandbox.

    Every delegate is tried with a small model, in a process of its own; so are the walls behind
    which a new model is judged (`edge-run update`). Exit code 0 when at least one delegate works,
    else 3.

    \b
    Example:
        edge-run doctor
    """
    from edge_runtime.workbench import doctor, facts

    gathered = facts.gather()
    findings = doctor.examine(gathered)
    able = doctor.can_run_models(gathered)
    if as_json:
        listed = [asdict(finding) for finding in findings]
        click.echo(json.dumps({"can_run_models": able, "findings": listed}, indent=2))
    else:
        show(findings)
        click.echo("\nThis machine can run models." if able else "\nNo model can run here yet.")
    if not able:
        raise SystemExit(_NO_BACKEND)


def show(findings: Sequence[Finding]) -> None:
    """A line per finding, and one below it for the fix."""
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        state = click.style(f"{finding.state:<8}", fg=_COLOURS[finding.state])
        click.echo(f"{state}{finding.name:<{width}}  {finding.detail}")
        if finding.fix:
            click.echo(f"{'':<8}{'':<{width}}  -> {finding.fix}")
