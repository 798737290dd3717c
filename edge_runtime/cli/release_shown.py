"""What `edge-release` says of releases and of a whole repository, to a person."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edge_runtime.release.status import Status
    from edge_runtime.update.release import Release

HEAD = ("name", "version", "counter", "share", "for", "state")


def show(found: Status) -> None:
    """For a person."""
    from .columns import table

    rows = [
        [r.name, r.version, str(r.counter), f"{r.percent:g} %", audience(r), state(r)]
        for r in found.releases
    ]
    click.echo(table(HEAD, rows, right=("counter", "share")) if rows else "no releases yet")
    for entry in found.expiries:
        click.echo(f"{entry.role} {entry.version} ends {entry.expires:%Y-%m-%d %H:%M} UTC")
    for text in found.faults:
        click.echo(f"edge-release: {text}", err=True)
    for text in found.warnings:
        click.echo(f"edge-release: warning: {text}", err=True)


def say(release: Release) -> None:
    """One release in a line."""
    click.echo(
        f"{release.name} {release.version}: {release.percent:g} % of {audience(release)}"
        f"{', ' if state(release) else ''}{state(release)}"
    )


def audience(release: Release) -> str:
    """Whom the percentage is of, and who has it besides."""
    boards = ", ".join((*release.profiles, *release.archs)) or "all boards"
    return f"{boards} + {len(release.devices)} by name" if release.devices else boards


def state(release: Release) -> str:
    """Revoked, or waiting; empty otherwise."""
    if release.revoked:
        return f"revoked: {release.revoked}"
    if release.not_before:
        return f"from {datetime.fromtimestamp(release.not_before, timezone.utc):%Y-%m-%d %H:%M} UTC"
    return ""
