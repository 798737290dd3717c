"""RunConfig -> Store, Client: what the CLI asks for."""

from __future__ import annotations

import importlib.util
import os
import platform
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_runtime import __version__, profile
from edge_runtime import manifest as manifests
from edge_runtime.backends import DELEGATES, Format
from edge_runtime.config import ModelConfig, RunConfig
from edge_runtime.errors import ConfigError
from edge_runtime.update_config import UpdateConfig

from .choose import Device
from .client import Client, Progress
from .engines.patient import Patient
from .gate import judging
from .gate.budget import Budget
from .release import Release
from .remote import metadata
from .remote.fetch import Fetcher
from .remote.metadata import Metadata
from .store.store import Store

if TYPE_CHECKING:
    from edge_runtime.tables import Table

    from .engines.engine import Engine
    from .gate.checks import GateReport
    from .store.history import Event

_RUNTIMES: dict[Format, tuple[str, ...]] = {
    "tflite": ("ai_edge_litert", "tflite_runtime"),
    "onnx": ("onnxruntime",),
}


def store(config: RunConfig) -> Store:
    """The store of a run file's pipeline, not open. Raises ConfigError."""
    from edge_runtime import build_update

    return build_update.store(config, _update(config))


def client(config: RunConfig, mirrors: tuple[str, ...] = ()) -> Client:
    """Everything that an update needs; `mirrors` stand in for those of the run file.

    Raises ConfigError, MissingExtraError.
    """
    update, kept = _update(config), store(config)
    board = profile.load(config.board) if config.board else profile.detect()
    known = device(config, board.name)
    ca_file = Path(update.ca_file) if update.ca_file else None
    fetcher = Fetcher(ca_file=ca_file, waits=kept.folder / "waits.json")
    repository = Repository(
        kept.folder / "tuf", _root(update), mirrors or update.repository, fetcher
    )
    budget = Budget(latency_ratio=update.latency_ratio)

    def judge(candidate: Path, live: Path) -> GateReport:
        return judging.judge(candidate, live, config.model, board.name, budget)

    return Client(kept, repository, known, judge, engine(update, known, kept))


def device(config: RunConfig, board: str) -> Device:
    """What this device is, for the choice of a release. Raises ConfigError."""
    path = config.model.manifest or config.model.path
    manifest = manifests.read(path)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    return Device(
        name=config.identity.device,
        model=manifest.name,
        task=manifest.task,
        profile=board,
        arch=platform.machine(),
        formats=formats(config.model),
        memory_mb=memory,
        version=__version__,
    )


def formats(model: ModelConfig) -> tuple[Format, ...]:
    """What runs here: its runtime is installed, and a delegate of the run file takes it."""
    wanted = [rung for rung in model.delegates if not rung.library]
    libraries = len(wanted) < len(model.delegates)  # those are for TFLite
    return tuple(
        name
        for name, modules in _RUNTIMES.items()
        if any(importlib.util.find_spec(module) for module in modules)
        and (
            not model.delegates
            or any(rung.delegate in DELEGATES[name] for rung in wanted)
            or (libraries and name == "tflite")
        )
    )


def engine(update: UpdateConfig, known: Device, kept: Store) -> Engine | None:
    """The fleet server of [update.hawkbit] or [update.aws], if there is one. Raises ConfigError."""
    made: Engine
    if update.hawkbit is not None:
        from .engines.hawkbit import HawkBit

        active = kept.open().active
        facts = {"profile": known.profile, "arch": known.arch, "edge-runtime": known.version}
        facts |= {"model": known.model, "version": active.version, "sw_version": active.version}
        given = _named(update.hawkbit, "controller", known.name)
        made = update.hawkbit.make(HawkBit, model=known.model, attributes=facts, **given)
    elif update.aws is not None:
        from .engines.aws import AwsJobs

        given = _named(update.aws, "thing", known.name)
        made = update.aws.make(AwsJobs, model=known.model, **given)
    else:
        return None
    return Patient(made, kept.folder / "engine.json")


def _named(table: Table, key: str, name: str) -> dict[str, str]:
    """The device's own name where the table gives no other."""
    return {} if key in table.values else {key: name}


class Repository:
    """Of python-tuf metadata in one folder; see `metadata` and `client.Repository`."""

    def __init__(
        self, folder: Path, root: bytes, mirrors: tuple[str, ...], fetcher: Fetcher
    ) -> None:
        self._folder, self._root, self._mirrors, self._fetcher = folder, root, mirrors, fetcher
        self._found: Metadata | None = None

    def refresh(self, time_floor: int) -> Metadata:
        now = int(time.time())
        self._found = metadata.refresh(
            self._folder, self._root, self._mirrors, self._fetcher, now=now, time_floor=time_floor
        )
        return self._found

    def download(self, release: Release, part: Path, progress: Progress) -> None:
        found = self._found or self.refresh(0)
        metadata.download(found, release, part, fetcher=self._fetcher, progress=progress)


def facts_of(release: Release) -> dict[str, Any]:
    """A release for programs."""
    return asdict(release)


def report_of(report: GateReport) -> dict[str, Any]:
    """A gate's report for programs."""
    checks = [asdict(check) for check in report.checks]
    return {"passed": report.passed, "checks": checks, "sandbox": dict(report.sandbox)}


def event_of(event: Event) -> dict[str, Any]:
    """A line of the history for programs and people."""
    about = event.journal and (event.journal.candidate or event.journal.active)
    return {
        "at": event.at,
        "event": event.event,
        "version": about.version if about else "",
        "digest": about.digest if about else "",
        "reason": event.reason or (event.journal.reason if event.journal else ""),
    }


def _update(config: RunConfig) -> UpdateConfig:
    if config.update is None:
        raise ConfigError(
            f"{config.file}: has no table [update]: say there which repository to look at"
        )
    return config.update


def _root(update: UpdateConfig) -> bytes:
    try:
        return Path(update.root_file).read_bytes()
    except OSError as exc:
        raise ConfigError(
            f"{update.root_file}: {exc.strerror}: the first root metadata comes with the device; "
            "it is metadata/1.root.json of the repository, brought by a way that you trust"
        ) from exc
