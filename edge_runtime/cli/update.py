"""`edge-run update`: new models for one pipeline: look, fetch, judge, approve, take back."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_runtime.errors import ActivationError, DownloadError, RefusedError

if TYPE_CHECKING:
    from edge_runtime.update.store.journal import Journal
    from edge_runtime.update.store.store import Store

RUN_FILE = click.argument("run_file", type=click.Path(path_type=Path))
DEVICE = click.option("--device", help="Device name, if not that of the run file.")
FROM = click.option(
    "--from",
    "mirrors",
    multiple=True,
    help="This copy of the repository, such as a stick's folder.",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="As one JSON document.")

POLL_S = 0.2


@click.group("update")
def command() -> None:
    """Update the model of a pipeline over the air; its run file has a table [update].

    Exit codes: 0 done, or nothing to do; 1 later (out of reach, no space); 2 the configuration;
    3 refused by the gate; 4 not what the maker signed; 5 on trial and taken back.

    \b
    Examples:
        edge-run update check bedside.toml
        edge-run update apply bedside.toml --wait 900
        edge-run update rollback bedside.toml
    """


@command.command("check")
@RUN_FILE
@DEVICE
@FROM
@AS_JSON
def check(run_file: Path, device: str | None, mirrors: tuple[str, ...], as_json: bool) -> None:
    """Say what `apply` would do; no model changes.

    \b
    Example:
        edge-run update check bedside.toml --json
    """
    from edge_runtime import config
    from edge_runtime.update import wiring

    found = wiring.client(config.load(run_file, device=device), mirrors).check()
    release = found.choice.release
    facts = {
        "offer": None if release is None else wiring.facts_of(release),
        "why": found.why,
        "expires": found.expires,
        "refused": [
            {"version": one.version, "counter": one.counter, "reason": word}
            for one, word in found.choice.refused
        ],
        **state_of(found.journal),
    }
    show(facts, found.why, as_json=as_json)


@command.command("apply")
@RUN_FILE
@DEVICE
@FROM
@AS_JSON
@click.option("--wait", "wait_s", type=click.FloatRange(0), help="Seconds to wait for the verdict.")
def apply(
    run_file: Path,
    device: str | None,
    mirrors: tuple[str, ...],
    as_json: bool,
    wait_s: float | None,
) -> None:
    """Fetch, verify and gate the next release; the running pipeline puts it on trial.

    Without a running pipeline that happens at its next start. With --wait the verdict decides the
    exit code; where none falls in time, the exit code is 1 and the trial goes on.

    \b
    Example:
        edge-run update apply bedside.toml --wait 900
    """
    from edge_runtime import config
    from edge_runtime.update import wiring

    loaded = config.load(run_file, device=device)
    client = wiring.client(loaded, mirrors)
    done = client.apply(progress)
    journal = done.journal
    if wait_s is not None and journal.state in ("validated", "trial"):
        try:
            journal = verdict(wiring.store(loaded), wait_s)
        finally:
            client.settle()
    facts = {
        "release": None if done.release is None else wiring.facts_of(done.release),
        "why": done.why,
        "gate": None if done.report is None else wiring.report_of(done.report),
        **state_of(journal),
    }
    show(facts, f"{journal.state}: {done.why}", as_json=as_json)


@command.command("status")
@RUN_FILE
@DEVICE
@AS_JSON
def status(run_file: Path, device: str | None, as_json: bool) -> None:
    """What runs, what waits, what is not tried again; asks nobody.

    \b
    Example:
        edge-run update status bedside.toml
    """
    from edge_runtime import config
    from edge_runtime.update import wiring

    loaded = config.load(run_file, device=device)
    store = wiring.store(loaded)
    journal = store.open()
    asks = loaded.update is not None and loaded.update.require_approval
    waits = asks and journal.state == "validated" and not journal.approved
    facts = state_of(journal) | {"store": str(store.folder), "waits_for_approval": waits}
    lines = [f"{journal.state}{f': {journal.reason}' if journal.reason else ''}"]
    lines.append(f"active: {title(facts['active'])}")
    lines += [f"{key}: {title(facts[key])}" for key in ("candidate", "previous") if facts[key]]
    if waits:
        lines.append("waits for `edge-run update approve`")
    lines += [f"not tried again: {one.digest[:12]} ({one.reason})" for one in journal.quarantine]
    show(facts, "\n".join(lines), as_json=as_json)


@command.command("approve")
@RUN_FILE
@DEVICE
def approve(run_file: Path, device: str | None) -> None:
    """Let a validated candidate go on trial, where the run file says require_approval.

    \b
    Example:
        edge-run update approve bedside.toml
    """
    store, _ = looked(run_file, device)
    journal = store.approve()
    click.echo(f"approved: {title(state_of(journal)['candidate'])}")


@command.command("rollback")
@RUN_FILE
@DEVICE
def rollback(run_file: Path, device: str | None) -> None:
    """Back to the model before: of a trial, else the previous one.

    A running pipeline follows within seconds. A second rollback takes the first one back.

    \b
    Example:
        edge-run update rollback bedside.toml
    """
    store, _ = looked(run_file, device)
    journal = store.roll_back("by-hand")
    click.echo(f"active: {title(state_of(journal)['active'])}")


@command.command("history")
@RUN_FILE
@DEVICE
@AS_JSON
def history(run_file: Path, device: str | None, as_json: bool) -> None:
    """Every step of every update, verified along its chain of hashes; exit 4 when it is broken.

    \b
    Example:
        edge-run update history bedside.toml --json
    """
    from edge_runtime.update import wiring

    store, _ = looked(run_file, device)
    found = store.history()
    events = [wiring.event_of(event) for event in found.events]
    facts = {"head": found.head, "broken": found.broken, "events": events}
    lines = [
        f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(event['at']))}  {event['event']:<12}"
        f"  {event['version']:<10}  {event['reason']}".rstrip()
        for event in events
    ]
    show(facts, "\n".join(lines or ["no update yet"]), as_json=as_json)
    if found.broken:
        click.echo(f"edge-run: the history was changed: {found.broken}", err=True)
        raise click.exceptions.Exit(4)


def looked(run_file: Path, device: str | None) -> tuple[Store, Journal]:
    """The store of a run file, put in order. Raises ConfigError."""
    from edge_runtime import config
    from edge_runtime.update import wiring

    store = wiring.store(config.load(run_file, device=device))
    return store, store.open()


def verdict(store: Store, wait_s: float) -> Journal:
    """Wait until the trial is over. Raises the error that tells how it ended."""
    deadline = time.monotonic() + wait_s
    while (journal := store.refresh()).state in ("validated", "trial"):
        if not time.monotonic() <= deadline:  # also for --wait nan
            raise DownloadError(
                f"no verdict within {wait_s:g} s: still {journal.state}", reason="no-verdict"
            )
        time.sleep(POLL_S)
    if journal.state == "rolled_back":
        raise ActivationError(f"taken back: {journal.reason}", reason=journal.reason)
    if journal.state == "rejected":
        raise RefusedError(f"refused: {journal.reason}", reason=journal.reason)
    return journal


def state_of(journal: Journal) -> dict[str, Any]:
    """A journal for programs; the factory model has no digest."""
    from dataclasses import asdict

    facts = asdict(journal)
    facts["floor"] = dict(journal.floor)
    return {key: value for key, value in facts.items() if key != "told"}


def title(model: dict[str, Any] | None) -> str:
    """A model for people."""
    if not model or not model["digest"]:
        return "the factory model"
    short = model["digest"][:12]
    return f"{model['name']} {model['version']} (release {model['counter']}, {short})"


def show(facts: dict[str, Any], text: str, *, as_json: bool) -> None:
    click.echo(json.dumps(facts, indent=2) if as_json else text)


def progress(held: int, whole: int) -> None:
    """A line that grows, on a terminal alone."""
    if sys.stderr.isatty():
        end = "\n" if held == whole else ""
        click.echo(f"\r{held / 1e6:.1f} of {whole / 1e6:.1f} MB{end}", err=True, nl=False)
