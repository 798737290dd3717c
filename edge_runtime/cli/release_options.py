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

    return Keys(folders, passphrase, locked=locked)


def tool_at(repo: Path, folders: tuple[Path, ...], *, locked: bool = True) -> Tool:
    """What does the work, now. Raises ConfigError."""
    from edge_runtime.release.tool import Tool

    if (repo / "metadata").is_dir():  # or else there is none, which `Tool` says better
        check_apart(repo, folders)
    return Tool(repo, keys_at(folders, locked=locked), now())


def check_apart(repo: Path, folders: tuple[Path, ...]) -> None:
    """Raises ConfigError for keys that whoever reads the repository could read."""
    from edge_runtime.errors import ConfigError

    for path in folders:
        if path.resolve().is_relative_to(repo.resolve()):
            raise ConfigError(f"--keys {path}: must not lie in {repo}, which is published")


def now() -> datetime:
    """The moment in which all is signed."""
    return datetime.now(timezone.utc)


def passphrase(fresh: bool) -> str:
    """From the environment, else from a person; "" when neither is there.

    Raises ConfigError for a new key that nobody gives one for.
    """
    from edge_runtime.errors import ConfigError

    if given := os.environ.get(PASSPHRASE):
        return given
    if sys.stdin.isatty():
        what = "New passphrase of the root and targets keys" if fresh else "Passphrase of the keys"
        asked: str = click.prompt(what, hide_input=True, confirmation_prompt=fresh, err=True)
        return asked
    if fresh:
        raise ConfigError(f"new keys need a passphrase: set {PASSPHRASE}, or say --no-passphrase")
    return ""
