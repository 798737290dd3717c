"""`edge-run outbox`: what waits in a pipeline's outbox, while the pipeline is stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_runtime.errors import ConfigError

if TYPE_CHECKING:
    from edge_runtime.outbox.store import Store


@click.command("outbox")
@click.argument("run_file", type=click.Path(path_type=Path))
@click.option("--device", help="Device name, if not that of the run file.")
@click.option("--retry", is_flag=True, help="Put the dead letters back in line.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(run_file: Path, device: str | None, retry: bool, as_json: bool) -> None:
    """Show what waits to be sent, and the dead letters: what the broker refused for good.

    Only while the pipeline is stopped: a running one has its outbox to itself. Exit codes: 0 done;
    2 the run file is wrong, it has no outbox on disk, or the pipeline runs.

    \b
    Examples:
        edge-run outbox bedside.toml
        edge-run outbox bedside.toml --retry
    """
    found = [look(path, retry=retry) for path in paths_of(run_file, device)]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for facts in found:
        click.echo(f"{facts['path']}: {facts['rows']} results wait, {facts['bytes'] / 1e6:.1f} MB")
        for letter in facts["dead_letters"]:
            click.echo(f"dead letter {letter['id']} to {letter['topic']}: {letter['reason']}")
        if facts["revived"]:
            click.echo(f"{facts['revived']} dead letters are sent again at the next start")


def paths_of(run_file: Path, device: str | None) -> list[Path]:
    """The files of the run file's mqtt sinks. Raises ConfigError when there is none."""
    from edge_runtime import build, config
    from edge_runtime.sinks.mqtt import Mqtt

    sinks = build.sinks(config.load(run_file, device=device))
    found = [sink.outbox_path for sink in sinks if isinstance(sink, Mqtt) and sink.outbox_path]
    if not found:
        raise ConfigError(f"{run_file}: has no sink mqtt with an outbox on disk")
    return found


def look(path: Path, *, retry: bool) -> dict[str, Any]:
    """What one file holds. Raises ConfigError when a running pipeline has it, or it is damaged."""
    import sqlite3

    from edge_runtime.outbox.store import DamagedError, Store

    if not path.exists():
        return {"path": str(path), "rows": 0, "bytes": 0, "dead_letters": [], "revived": 0}
    store = Store(path)
    try:
        return facts_of(store, retry=retry)
    except (sqlite3.Error, DamagedError) as exc:
        raise ConfigError(f"{path}: {exc}; the next start sets it aside if it is damaged") from exc
    finally:
        store.close()


def facts_of(store: Store, *, retry: bool) -> dict[str, Any]:
    """What an outbox holds; with `retry`, after its dead letters were put back in line."""
    end_id = store.open().end_id
    letters = [
        {"id": row.key, "topic": row.topic, "bytes": len(row.payload), "reason": reason}
        for row, reason in store.dead_letters()
    ]
    revived = store.revive(end_id) if retry else 0
    return {
        "path": str(store.path),
        "rows": store.rows,
        "bytes": store.bytes,
        "dead_letters": [] if retry else letters,
        "revived": revived,
    }
