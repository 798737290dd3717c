"""`edge-release add`, `rollout`, `promote`, `revoke`, `remove`, `refresh`, `status`: releases."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import click

from .release_options import folder, keys_option, now, out_option, repo_option, tool_at
from .release_shown import say, show

_days = click.IntRange(1, 3650)


@click.command("add")
@click.argument("paths", type=folder, nargs=-1, required=True, metavar="[REPO] DIR")
@repo_option
@keys_option
@click.option("--arch", "archs", multiple=True, help="Only for this `uname -m`; several times.")
@click.option("--min-memory-mb", type=click.IntRange(0), default=0, help="That a board must have.")
@click.option("--min-version", default="", help="Of edge-runtime on the device.")
def add(
    paths: tuple[Path, ...],
    *,
    repo: Path,
    key_folders: tuple[Path, ...],
    archs: tuple[str, ...],
    min_memory_mb: int,
    min_version: str,
) -> None:
    """Release the model directory DIR, for no device yet.

    Only the files that its model.toml names are packed. What was packed is proven here: hashes,
    loading, golden vectors. The same directory gives the same bytes, on any machine.

    \b
    Example:
        edge-release add models/ecg-beats
    """
    from edge_runtime.errors import ConfigError
    from edge_runtime.release.candidate import Terms

    if len(paths) > 2:
        raise ConfigError("add takes one model directory at a time")
    where = paths[0] if len(paths) == 2 else repo
    tool = tool_at(where, key_folders)
    made, packed, is_new = tool.add(paths[-1], Terms(archs, min_memory_mb, min_version))
    for line in packed.proofs:
        click.echo(f"  {line}")
    if packed.left_out:
        click.echo(f"  left out, not named by model.toml: {', '.join(packed.left_out)}")
    if not is_new:
        click.echo(f"{made.name} {made.version} is released already, with these bytes")
        return
    click.echo(
        f"{made.name} {made.version} is release {made.counter}, {made.length} bytes, "
        f"sha256 {made.digest[:12]}..."
    )
    click.echo(f"next: edge-release rollout {made.name} {made.version} --percent 10")


@click.command("rollout")
@click.argument("name")
@click.argument("version")
@repo_option
@keys_option
@click.option("--percent", type=click.FloatRange(0, 100), help="Of all devices; only ever raised.")
@click.option("--profile", "profiles", multiple=True, help="Only this board; several; or 'any'.")
@click.option("--devices", help="Names that get it at any percentage: a,b,c or a file of them.")
@click.option("--not-before", metavar="TIME", help="As 2026-12-01T06:00Z; UTC where it says none.")
@click.option("--allow-downgrade", is_flag=True, help="Also where a later one was committed.")
def rollout(
    name: str,
    version: str,
    *,
    repo: Path,
    key_folders: tuple[Path, ...],
    percent: float | None,
    profiles: tuple[str, ...],
    devices: str | None,
    not_before: str | None,
    allow_downgrade: bool,
) -> None:
    """Let more devices have a release. Each decides by a hash of its own name and the release.

    \b
    Example:
        edge-release rollout ecg-beats 1.1.0 --percent 10 --profile raspberry-pi-5
    """
    from edge_runtime.release.rollout import Rollout, read_devices

    told = Rollout(
        percent,
        profiles,
        read_devices(devices) if devices is not None else (),
        None if not_before is None else moment(not_before),
        allow_downgrade,
    )
    say(tool_at(repo, key_folders).rollout(name, version, told))


@click.command("promote")
@click.argument("name")
@click.argument("version")
@repo_option
@keys_option
def promote(name: str, version: str, repo: Path, key_folders: tuple[Path, ...]) -> None:
    """Let every device have a release that it is made for: 100 %.

    \b
    Example:
        edge-release promote ecg-beats 1.1.0
    """
    from edge_runtime.release.rollout import Rollout

    say(tool_at(repo, key_folders).rollout(name, version, Rollout(percent=100)))


@click.command("revoke")
@click.argument("name")
@click.argument("version")
@click.option("--reason", required=True, help="Why; devices publish it.")
@repo_option
@keys_option
def revoke(name: str, version: str, reason: str, repo: Path, key_folders: tuple[Path, ...]) -> None:
    """Take a release back, for ever: devices that run it go to the model before.

    \b
    Example:
        edge-release revoke ecg-beats 1.1.0 --reason "misses ventricular beats"
    """
    say(tool_at(repo, key_folders).revoke(name, version, reason))


@click.command("remove")
@click.argument("name")
@click.argument("version")
@repo_option
@keys_option
def remove(name: str, version: str, repo: Path, key_folders: tuple[Path, ...]) -> None:
    """Drop a release and its bundle: a revoked one, or one that was never out.

    Where it was revoked, let every device look once before: one that still runs it does not learn
    of the revocation any more.

    \b
    Example:
        edge-release remove ecg-beats 1.0.0
    """
    gone = tool_at(repo, key_folders).remove(name, version)
    click.echo(f"{gone.name} {gone.version} is removed, {gone.length} bytes")


@click.command("refresh")
@repo_option
@keys_option
@click.option("--targets", is_flag=True, help="Sign targets anew too, with the targets key.")
@click.option("--root", is_flag=True, help="Sign root anew too, with two root keys.")
@click.option("--timestamp-days", type=_days, help="New life of timestamp and snapshot.")
@click.option("--targets-days", type=_days, help="New life of targets.")
@out_option
def refresh(
    *,
    repo: Path,
    key_folders: tuple[Path, ...],
    targets: bool,
    root: bool,
    timestamp_days: int | None,
    targets_days: int | None,
    out: Path,
) -> None:
    """Sign timestamp and snapshot anew before they end, from a timer: devices refuse what ended.

    \b
    Example, daily:
        17 5 * * *  edge-release refresh --repo /srv/models --keys /etc/edge-release
    """
    from edge_runtime.release import repository

    from .release_keys import tell

    told = {"targets": targets_days, "snapshot": timestamp_days, "timestamp": timestamp_days}
    days = {role: count for role, count in told.items() if count is not None}
    tool = tool_at(repo, key_folders)
    seen = tool.refresh(days, targets=targets or targets_days is not None)
    if root:  # last: devices wait for the timestamp, whatever becomes of the root
        tell(*tool.draft("", "", out), out)
        seen = repository.read(repo)
    signed = seen.timestamp.signed
    click.echo(f"timestamp {signed.version}, ends {signed.expires:%Y-%m-%d %H:%M} UTC")


@click.command("status")
@repo_option
@click.option("--json", "as_json", is_flag=True, help="As one JSON document.")
def status(repo: Path, as_json: bool) -> None:
    """What is released, how far, and when which signature ends. Needs no key.

    Exit code: 0, or 1 when something that has ended or is missing stops devices now.

    \b
    Example:
        edge-release status --json
    """
    from edge_runtime.release import repository
    from edge_runtime.release.status import look

    found = look(repository.read(repo), now())
    if as_json:
        click.echo(json.dumps(found.facts(), indent=2, ensure_ascii=False))
    else:
        show(found)
    raise click.exceptions.Exit(1 if found.faults else 0)


def moment(text: str) -> int:
    """Seconds since 1970 of an ISO 8601 time. Raises ConfigError."""
    from edge_runtime.errors import ConfigError

    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
        found = found if found.tzinfo else found.replace(tzinfo=timezone.utc)
        return max(0, int(found.astimezone(timezone.utc).timestamp()))
    except (ValueError, OverflowError) as exc:
        raise ConfigError(f"--not-before {text}: write it as 2026-12-01T06:00Z") from exc
