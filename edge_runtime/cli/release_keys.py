"""`edge-release init`, `rotate`, `root-sign`, `root-publish`: who may sign."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tuf.api.metadata import Metadata, Root

from .release_options import (
    check_apart,
    folder,
    keys_at,
    keys_option,
    now,
    out_option,
    repo_option,
    tool_at,
)

_days = click.IntRange(1, 3650)
_draft = click.Path(path_type=Path, exists=True, dir_okay=False)
_no_passphrase = click.option(
    "--no-passphrase", is_flag=True, help="Leave new root and targets keys unlocked on the disk."
)


@click.command("init")
@click.argument("repo", type=folder, envvar="EDGE_RELEASE_REPO")
@keys_option
@click.option("--root-days", type=_days, default=365, show_default=True)
@click.option("--targets-days", type=_days, default=90, show_default=True)
@click.option(
    "--timestamp-days",
    type=_days,
    default=7,
    show_default=True,
    help="Life of timestamp and snapshot: for so long can whoever stands between you and a device "
    "keep a new release, or a revocation, from it unnoticed. Refresh well before.",
)
@_no_passphrase
def init(
    repo: Path,
    *,
    key_folders: tuple[Path, ...],
    root_days: int,
    targets_days: int,
    timestamp_days: int,
    no_passphrase: bool,
) -> None:
    """Make an empty repository in REPO, and its keys.

    Three root keys, of which two must sign, name all others; then one key each for targets,
    snapshot and timestamp. Root and targets keys are locked with a passphrase, from
    $EDGE_RELEASE_PASSPHRASE or asked for. Snapshot and timestamp keys are not: a timer signs with
    them.

    \b
    Example:
        edge-release init repo --keys keys
    """
    from edge_runtime.release import roots

    check_apart(repo, key_folders)
    days = {"root": root_days, "targets": targets_days}
    days |= dict.fromkeys(("snapshot", "timestamp"), timestamp_days)
    keys = keys_at(key_folders, locked=not no_passphrase)
    roots.create(repo, keys, days, now())
    click.echo(f"{repo}: copy it to a web server; {repo}/metadata/1.root.json goes to each device")
    click.echo(f"{key_folders[0]}: the keys. Move each root-*.pem to a stick of its own, now.")


@click.command("rotate")
@click.argument("role", type=click.Choice(["root", "targets", "snapshot", "timestamp"]))
@repo_option
@keys_option
@click.option("--key", "old", default="", help="Of root: the beginning of the id that goes.")
@out_option
@_no_passphrase
def rotate(
    role: str,
    *,
    repo: Path,
    key_folders: tuple[Path, ...],
    old: str,
    out: Path,
    no_passphrase: bool,
) -> None:
    """Replace a key of ROLE: lost, stolen, or old. Two of the root keys must sign.

    \b
    Examples:
        edge-release rotate timestamp --keys keys --keys /media/a --keys /media/b
        edge-release rotate root --key 3f2a91c0 --keys keys --keys /media/a --keys /media/b
    """
    tool = tool_at(repo, key_folders, locked=not no_passphrase)
    draft, whole = tool.draft(role, old, out)
    click.echo(f"{role}: a new key lies in {key_folders[0]}")
    tell(draft, whole, out)


@click.command("root-sign")
@click.argument("draft", type=_draft)
@keys_option
def root_sign(draft: Path, key_folders: tuple[Path, ...]) -> None:
    """Sign DRAFT with the root keys here; needs neither the repository nor a network.

    \b
    Example:
        edge-release root-sign /media/a/root.draft.json --keys /media/a
    """
    from edge_runtime.release import files, repository, roots

    found = repository.load(draft)[0]
    missing = roots.add_signatures(found, keys_at(key_folders))
    files.write(draft, found.to_bytes())
    for name, role in found.signed.roles.items():
        ids = " ".join(keyid[:8] for keyid in role.keyids)
        click.echo(f"{name}: {role.threshold} of {ids}")
    click.echo(f"root {found.signed.version}, ends {found.signed.expires:%Y-%m-%d}")
    click.echo(
        f"{missing} more must sign it" if missing else f"whole: edge-release root-publish {draft}"
    )


@click.command("root-publish")
@click.argument("draft", type=_draft)
@repo_option
@keys_option
def root_publish(draft: Path, repo: Path, key_folders: tuple[Path, ...]) -> None:
    """Put DRAFT in place, once two root keys have signed it.

    \b
    Example:
        edge-release root-publish root.draft.json
    """
    from edge_runtime.release import repository

    found = repository.load(draft)[0]
    tool_at(repo, key_folders).publish_root(found)
    click.echo(f"root {found.signed.version} is published; {draft} is of no more use")


def tell(draft: Metadata[Root], whole: bool, out: Path) -> None:
    """What became of a new root, and what is to do."""
    version = draft.signed.version
    if whole:
        click.echo(f"root {version} is published")
        return
    click.echo(f"{out}: root {version}, not published: too few root keys are here")
    click.echo(f"where they are: edge-release root-sign {out} --keys DIR")
    click.echo(f"then here: edge-release root-publish {out}")
