"""The child that judges, `python -I -B -m edge_runtime.update.gate.child`.

A job comes as one JSON line on standard input. It shuts itself in, then reads the candidate for
the first time. What it finds goes as JSON lines to the descriptor that the job names; afterwards
it takes turns, one line in and one out, until the parent has enough.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TextIO

from edge_runtime.config import ModelConfig, Rung
from edge_runtime.errors import ConfigError, EdgeRunError, ModelLoadError
from edge_runtime.manifest import Manifest

from . import contents, contract
from .checks import Check
from .sandbox import Walls, enter


def main(commands: TextIO) -> None:
    """Judge, then take turns."""
    job = json.loads(commands.readline())
    with open(job["report"], "w", encoding="utf-8") as report:  # noqa: PTH123 - a descriptor
        _Child(job, report).work(commands)


class _Child:
    def __init__(self, job: Mapping[str, Any], report: TextIO) -> None:
        self._job, self._report = job, report

    def work(self, commands: Iterable[str]) -> None:
        job = self._job
        walls = Walls(**{**job["walls"], "read": tuple(job["walls"]["read"])})
        self._say(sandbox=enter(walls))
        live = _config(job["live"])
        if not job["candidate"]:
            self._measure(live, commands)
            return
        candidate = replace(live, path=Path(job["candidate"]), manifest=None)
        try:
            manifest = self._before_the_loader(candidate.path, live)
            if manifest is not None:
                self._measure(candidate, commands, manifest)
        except MemoryError:
            most = f"{walls.address_bytes >> 20} MB of address space"
            self._check(Check("memory", False, f"at most {most}", "more"))

    def _before_the_loader(self, directory: Path, live: ModelConfig) -> Manifest | None:
        """Everything that can be said without a runtime; None for a refusal."""
        manifest, read = contents.read(directory)
        if not self._check(read) or manifest is None:
            return None
        if not all(map(self._check, contents.look(directory, manifest))):
            return None
        return manifest if all(map(self._check, _contract(live, manifest))) else None

    def _measure(
        self, config: ModelConfig, commands: Iterable[str], manifest: Manifest | None = None
    ) -> None:
        """Load and prove, then be timed; `manifest` is a candidate's."""
        from edge_runtime.update.gate import trial_run  # numpy and the runtimes

        expected = "a model that this device runs"
        try:
            model = trial_run.opened(config, self._job["board"])
        except (ConfigError, ModelLoadError) as exc:
            name = "tensors" if isinstance(exc, ConfigError) else "load"
            self._check(Check(name, False, expected, str(exc)))
            return
        self._check(Check("load", True, expected, f"{model.backend.kind}/{model.backend.delegate}"))
        watched = trial_run.Watched(model.backend)
        if manifest is not None:
            if not all(map(self._check, trial_run.proofs(model, watched))):
                return
            golden = self._job["live_golden"]
            share = self._job["agreement"]
            if not self._check(trial_run.agreement(model, Path(golden) if golden else None, share)):
                return
        self._say(rung=model.rung, delegate=model.backend.delegate, before=model.before)
        given = watched.given or [trial_run.blank(model)]
        for command in commands:
            if command.strip() == "end":
                break
            self._say(turn_ms=trial_run.turn(model.backend, given, float(command)))
        self._say(peak_mb=_peak_mb())

    def _check(self, check: Check) -> bool:
        self._say(check=asdict(check))
        return check.passed

    def _say(self, **facts: object) -> None:
        self._report.write(f"{json.dumps(facts)}\n")
        self._report.flush()


def _contract(live: ModelConfig, candidate: Manifest) -> Iterator[Check]:
    from edge_runtime import build

    expected = "labels and a contract that can be read"
    try:
        before, _ = build.contract(live)
        yield from contract.compare(before, candidate)
        yield contract.strictness(before, candidate)
    except EdgeRunError as exc:
        yield Check("contract", False, expected, str(exc))


def _config(facts: Mapping[str, Any]) -> ModelConfig:
    """What the parent's `_facts` made of a ModelConfig."""
    rungs = tuple(Rung(**rung) for rung in facts["delegates"])
    manifest = Path(facts["manifest"]) if facts["manifest"] else None
    return ModelConfig(
        Path(facts["path"]), manifest, rungs, required=facts["required"], threads=facts["threads"]
    )


def _peak_mb() -> float:
    """The highest resident memory so far; getrusage would tell of the parent's, before exec."""
    with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123 - PTH is no shorter
        line = next(line for line in file if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main(sys.stdin)
