"""What the verbs of `edge-release` share: where repository and keys are, and the passphrase."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from edge_runtime.release.keys import Keys
    from edge_runtime.release.tool import Tool

PASSPHRASE = "EDGE_RELEASE_PASSPHRASE"  # noqa: S105 - its name
_Command = TypeVar("_Command", bound=Callable[..., None])

folder = click.Path(path_type=Path, file_okay=False)

repo_option = click.option(
    "--repo",
    type=folder,
    default=Path(),
    envvar="EDGE_RELEASE_REPO",
    show_default="$EDGE_RELEASE_REPO or here",
    help="The repository.",
)
out_option = click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("root.draft.json"),
    show_default=True,
    help="Where a new root goes when too few root keys are here to publish it.",
)
_keys_option = click.option(
    "--keys",
    "key_folders",
    type=folder,
    multiple=True,
    required=True,
    envvar="EDGE_RELEASE_KEYS",
    help="Folder of private keys, several times for several sticks; new keys go into the first. "
    "Default: $EDGE_RELEASE_KEYS.",
)


def keys_option(command: _Command) -> _Command:
    """The option --keys."""
    return _keys_option(command)


def keys_at(folders: tuple[Path, ...], *, locked: bool = True) -> Keys:
    """The keys of some folders; new ones get a passphrase unless `locked` is False."""
    from edge_runtime.release.keys import Keys

    return Keys(folders, lambda fresh: passphrase(fresh=fresh, locked=locked))


def tool_at(repo: Path, folders: tuple[Path, ...], *, locked: bool = True) -> Tool:
    """What does the work, now."""
    from edge_runtime.release.tool import Tool

    return Tool(repo, keys_at(folders, locked=locked), now())


def now() -> datetime:
    """The moment in which all is signed."""
    return datetime.now(timezone.utc)


def passphrase(*, fresh: bool, locked: bool) -> str:
    """From the environment, else from a person; "" when neither is there or none is wanted.

    Raises ConfigError for a new key that nobody gives one for.
    """
    from edge_runtime.errors import ConfigError

    if fresh and not locked:
        return ""
    if given := os.environ.get(PASSPHRASE):
        return given
    if sys.stdin.isatty():
        what = "New passphrase of the root and targets keys" if fresh else "Passphrase of the keys"
        asked: str = click.prompt(what, hide_input=True, confirmation_prompt=fresh, err=True)
        return asked
    if fresh:
        raise ConfigError(f"new keys need a passphrase: set {PASSPHRASE}, or say --no-passphrase")
    return ""
