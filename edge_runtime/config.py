"""The run file (TOML) as a RunConfig: the only reader of configuration and of the environment.

Precedence: command-line option, then environment (`EDGE_RUN_<KIND>_<KEY>`, for secrets only),
then run file, then board profile. Paths in a run file are relative to that file.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import shipped
from .errors import BadOptionError, ConfigError
from .frame import Identity
from .tables import SECRET_KEYS, Table, read_toml
from .update_config import UpdateConfig, update_config

ENVIRONMENT_KEYS = ("username", *sorted(SECRET_KEYS))

_LEVEL = re.compile(r"[^\s/+#\x00]+")


@dataclass(frozen=True, slots=True)
class Rung:
    """One delegate to try."""

    delegate: str  # "xnnpack", "cpu", "cuda", ...: `edge-run doctor` lists them
    file: str = ""  # the weights for it; else the first of the manifest that it can run
    library: str = ""  # the shared object of an external TFLite delegate
    options: Mapping[str, str] = field(default_factory=dict)  # handed to the delegate


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Which model, and how to run it."""

    path: Path  # a model directory, the name of a shipped model, or a bare weights file
    manifest: Path | None = None  # what a bare file's numbers mean; a directory has its own
    delegates: tuple[Rung, ...] = ()  # in order of preference; empty: the board profile's
    required: bool = False  # only the first delegate will do
    threads: int = 0  # 0: the board profile's

    def __post_init__(self) -> None:
        if not 0 <= self.threads <= 64:
            raise BadOptionError("threads", f"{self.threads} is not within 0..64")


@dataclass(frozen=True, slots=True)
class CaptureConfig:
    """Limits between the sources and the model."""

    mailbox: int = 4  # frames per source that may wait; a live source then drops its oldest
    backoff_s: float = 0.5  # before the first reopening of a lost source; doubles each time
    backoff_max_s: float = 30.0
    bad_frames_max: int = 10  # unusable frames in a row that end the run; a live source is reopened
    stale_s: float = 2.0  # a live source that is silent for so long is stale; 0: never

    def __post_init__(self) -> None:
        if self.stale_s < 0:
            raise BadOptionError("stale_s", f"{self.stale_s} must be 0 or above")
        for key in ("mailbox", "backoff_s", "backoff_max_s", "bad_frames_max"):
            if getattr(self, key) <= 0:
                raise BadOptionError(key, f"{getattr(self, key)} must be above 0")


@dataclass(frozen=True, slots=True)
class Component:
    """A [[source]], [[step]], [[monitor]] or [[sink]]: its kind, a table for its constructor."""

    kind: str
    options: Table


@dataclass(frozen=True, slots=True)
class RunConfig:
    """One run file: one pipeline."""

    file: Path
    identity: Identity
    board: str  # profile name; "" is detected
    model: ModelConfig
    capture: CaptureConfig
    sources: tuple[tuple[str, Component], ...]  # (name, component)
    steps: tuple[Component, ...]
    monitors: tuple[Component, ...]
    sinks: tuple[Component, ...]
    update: UpdateConfig | None = None


def load(
    path: Path,
    environment: Mapping[str, str] | None = None,
    *,
    device: str | None = None,
    extra_sinks: tuple[str, ...] = (),
) -> RunConfig:
    """Read a run file. Raises ConfigError naming file, line, key and the nearest valid key.

    Args:
        path: the run file.
        environment: where secrets come from; os.environ by default.
        device: overrides the file's device name.
        extra_sinks: kinds of sinks to add, with their defaults, where the file has none of them.
    """
    return from_table(read_toml(path), environment, device=device, extra_sinks=extra_sinks)


def from_table(
    top: Table,
    environment: Mapping[str, str] | None = None,
    *,
    device: str | None = None,
    extra_sinks: tuple[str, ...] = (),
) -> RunConfig:
    """A run file from its table; see `load`. Raises ConfigError."""
    path = Path(top.file)
    top.check_keys(_KEYS)
    environment = os.environ if environment is None else environment
    pipeline = _level(top, "name", str(top.values.get("name", path.stem)))
    device = _level(top, "device", device or str(top.values.get("device", socket.gethostname())))
    sinks = _components(top, "sink", environment)
    there = {sink.kind for sink in sinks}
    sinks += tuple(Component(kind, Table({}, "")) for kind in extra_sinks if kind not in there)
    for key, found in (("source", top.values.get("source")), ("sink", sinks)):
        if not found:
            raise ConfigError(f"{path}: [[{key}]] is missing: a pipeline needs at least one")
    return RunConfig(
        file=path,
        identity=Identity(device, pipeline),
        board=str(top.values.get("board", "")),
        model=_model(top, path.parent),
        capture=top.child("capture").make(CaptureConfig) if "capture" in top.values else _CAPTURE,
        sources=_sources(top, environment),
        steps=_components(top, "step", environment),
        monitors=_components(top, "monitor", environment),
        sinks=sinks,
        update=update_config(top, path.parent, environment) if "update" in top.values else None,
    )


_CAPTURE = CaptureConfig()
_KEYS = {
    "name",
    "device",
    "board",
    "model",
    "capture",
    "source",
    "step",
    "monitor",
    "sink",
    "update",
}


def _model(top: Table, base: Path) -> ModelConfig:
    if "model" not in top.values:
        raise ConfigError(f"{top.file}: [model] is missing: say which model to run")
    table = top.child("model")
    rungs = tuple(_rung(table, item) for item in _as_list(table, "delegates"))
    given = table.without("delegates", "path", "manifest").values
    paths = {}
    if "path" in table.values:
        paths["path"] = str(shipped.resolve(str(table.values["path"]), base))
    if "manifest" in table.values:
        paths["manifest"] = str(base / str(table.values["manifest"]))
    whole = Table({**given, **paths}, table.file, table.label, table.path, table.lines)
    return whole.make(ModelConfig, delegates=rungs)


def _as_list(table: Table, key: str) -> list[object]:
    value = table.values.get(key, [])
    if not isinstance(value, list):
        raise table.error(key, 'must be a list, for example ["xnnpack", "cpu"]')
    return value


def _rung(table: Table, item: object) -> Rung:
    if isinstance(item, str):
        return Rung(item)
    if not isinstance(item, dict):
        raise table.error("delegates", "each is a name or a table such as {delegate = 'cpu'}")
    return Table(item, table.file, table.label, (*table.path, "delegates"), table.lines).make(Rung)


def _sources(top: Table, environment: Mapping[str, str]) -> tuple[tuple[str, Component], ...]:
    named: dict[str, Component] = {}
    for component in _components(top, "source", environment):
        name = _level(
            component.options, "name", str(component.options.values.get("name", component.kind))
        )
        if name == "command":
            raise component.options.error("name", "commands arrive under that name: take another")
        if name in named:
            raise component.options.error("name", f"'{name}' is taken: give each source its own")
        named[name] = Component(component.kind, component.options.without("name"))
    return tuple(named.items())


def _components(top: Table, key: str, environment: Mapping[str, str]) -> tuple[Component, ...]:
    components = []
    for table in top.children(key):
        kind = table.values.get("kind")
        if not isinstance(kind, str):
            raise table.error("kind", f"is missing: which kind of {key}?")
        options = table.without("kind")
        secrets = {
            name: environment[variable]
            for name in ENVIRONMENT_KEYS
            if (variable := f"EDGE_RUN_{kind}_{name}".upper()) in environment
        }
        values = _resolved({**options.values, **secrets}, Path(top.file).parent)
        components.append(
            Component(kind, Table(values, table.file, table.label, table.path, table.lines))
        )
    return tuple(components)


def _resolved(values: dict[str, object], base: Path) -> dict[str, object]:
    """Options that name a file are relative to the run file."""
    for key, value in values.items():
        if isinstance(value, dict):
            values[key] = _resolved({**value}, base)
        elif isinstance(value, str) and value not in ("", "-") and _names_a_file(key, value):
            values[key] = str(base / value)
    return values


def _names_a_file(key: str, value: str) -> bool:
    if key == "frontend":  # a declared one, or a file of one's own
        return value.endswith(".toml")
    return key in ("path", "state") or key.endswith("_file")


def _level(table: Table, key: str, value: str) -> str:
    if not _LEVEL.fullmatch(value):
        raise table.error(
            key, f"'{value}' becomes a topic level: no space, '/', '+' or '#', and not empty"
        )
    return value
