"""The table [update] of a run file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import ConfigError
from .swap.probation import Rules
from .tables import Table

_ENGINES = ("hawkbit", "aws")


@dataclass(frozen=True, slots=True)
class UpdateConfig(Rules):
    """Where new models come from, and how they are tried: [update]."""

    repository: tuple[str, ...] = ()  # https://..., mirrors in order, or a folder
    root_file: str = "root.json"  # whom to trust first; comes with the device
    state: str = ""  # the folder for what must outlive the process; "" is the usual one
    require_approval: bool = False  # a person says yes before a candidate is tried
    ca_file: str = ""  # PEM; the repository's authority, if the system does not know it
    hawkbit: Table | None = None  # a fleet server that says which release is wanted
    aws: Table | None = None


def update_config(top: Table, base: Path, environment: Mapping[str, str]) -> UpdateConfig:
    """From the top of a run file in the folder `base`. Raises ConfigError.

    The token of [update.hawkbit] may come from the environment, EDGE_RUN_HAWKBIT_TOKEN.
    """
    table = top.child("update")
    given = table.values.get("repository", [])
    mirrors = given if isinstance(given, list) else [given]
    if not mirrors or "" in mirrors:
        raise table.error("repository", "is missing: say where models come from")
    values = {"root_file": "root.json", **table.values}
    for key in ("root_file", "state", "ca_file"):
        values[key] = _place(base, values.get(key, ""))
    values["repository"] = [_mirror(table, base, item) for item in mirrors]
    engines = {
        name: _engine(table.child(name), base, environment.get(f"EDGE_RUN_{name.upper()}_TOKEN"))
        for name in _ENGINES
        if name in values
    }
    if len(engines) > 1:
        raise table.error("aws", "one fleet server is enough: take out [update.hawkbit] or this")
    whole = Table(values, table.file, table.label, table.path, table.lines).without(*_ENGINES)
    return whole.make(UpdateConfig, **engines)


def _engine(table: Table, base: Path, token: str | None) -> Table:
    """With files found from the run file's folder, and the secret of the environment."""
    values = {
        key: _place(base, value) if key.endswith("_file") else value
        for key, value in table.values.items()
    }
    if token:
        values["token"] = token
    return Table(values, table.file, table.label, table.path, table.lines)


def _mirror(table: Table, base: Path, mirror: object) -> object:
    """An address of a repository, checked; or a folder."""
    if not isinstance(mirror, str) or "://" not in mirror:
        return _place(base, mirror)
    from .update.remote.mirrors import address

    try:
        address(mirror)
    except ConfigError as exc:
        raise table.error("repository", str(exc)) from exc
    return mirror


def _place(base: Path, path: object) -> object:
    """A path as it is from the run file; what is none, or empty, as it is."""
    return str(base / path) if isinstance(path, str) and path else path
