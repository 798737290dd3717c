"""The gate: is a candidate good on this device? Judged in a child that can harm nothing.

Its verdict stands on this device's own delegate and number of threads, beside the live model in
the same minutes: both run in turns, so that a warm or a busy board is the same for both.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

from edge_runtime import build, profile
from edge_runtime.config import ModelConfig
from edge_runtime.errors import EdgeRunError, UpdateError
from edge_runtime.manifest import MANIFEST, Manifest

from . import heard
from .budget import Budget
from .checks import Check, GateReport
from .process import Child, ChildDiedError, no_start

__all__ = ["Check", "GateReport", "judge"]

# What a machine may fail at with any model: no memory, no time, a runtime or a driver that broke.
_MACHINE = frozenset({"load", "tensors", "memory", "crash", "validation_timeout"})


def judge(
    candidate: Path, live: Path, config: ModelConfig, board: str, budget: Budget
) -> GateReport:
    """Judge a model directory; takes seconds, and never raises for anything a candidate does.

    Raises UpdateError("gate") for what is no candidate's fault: no child can be started, or the
    live model does not run here either, or cannot be compared with.

    Args:
        candidate: the slot.
        live: the model that runs now, a directory or (with `config.manifest`) a bare file.
        config: how the pipeline runs its model; its path is not looked at.
        board: the profile's name; "" detects it.
        budget: the limits.
    """
    try:
        return _Gate(candidate, replace(config, path=live), board, budget).judge()
    except OSError as exc:  # no process, no memory, no descriptor is left
        raise no_start(str(exc)) from exc


class _Gate:
    def __init__(self, candidate: Path, live: ModelConfig, board: str, budget: Budget) -> None:
        self._candidate, self._live, self._budget = candidate, live, budget
        self._board = board or profile.detect().name
        self._contract = _contract(live)
        self._compared = False  # the live model was loaded, or told to be none
        self._sandbox: dict[str, str] = {}

    def judge(self) -> GateReport:
        checks: list[Check] = []
        with ExitStack() as children:
            try:
                for check in self._judged(children):
                    checks.append(check)
                    if not check.passed:
                        break
            except ChildDiedError as died:
                checks.append(died.check)
        passed = all(check.passed for check in checks)
        if not passed and checks[-1].name in _MACHINE and not self._compared:
            self._control(checks[-1])
        return GateReport(passed, tuple(checks), self._sandbox)

    def _judged(self, children: ExitStack) -> Iterator[Check]:
        candidate = children.enter_context(closing(self._child(str(self._candidate))))
        self._sandbox = _shut_in(candidate)
        while "rung" not in (said := candidate.hear()):
            yield heard.check(said)
        live = children.enter_context(closing(self._child("")))
        self._compared = True
        try:
            beside = self._loaded(live)
        except ChildDiedError as died:
            # A live model that is broken must not keep the one out that mends it.
            if died.check.name == "validation_timeout":
                raise _unable(died) from died
            yield Check("live", True, "a live model to compare with", f"none: {died.check.seen}")
            yield from self._in_turns(candidate, None)
            return
        fits = heard.number(said, "rung") <= heard.number(beside, "rung")
        seen = f"{heard.text(said, 'delegate')} {heard.text(said, 'before')}".strip()
        yield Check("delegate", fits, f"{heard.text(beside, 'delegate')}, or one before it", seen)
        yield from self._in_turns(candidate, live)

    def _loaded(self, live: Child) -> dict[str, Any]:
        """What the live model's child says once it is loaded. Raises ChildDiedError."""
        _shut_in(live)
        while "rung" not in (said := live.hear()):
            if not (check := heard.check(said)).passed:
                raise ChildDiedError(check)
        return said

    def _control(self, failed: Check) -> None:
        """Raises UpdateError where the live model does not load either: no proof of a bad one."""
        with closing(self._child("")) as live:
            try:
                self._loaded(live)
            except ChildDiedError as died:
                seen = f"{died.check.seen} (the candidate: {failed.name}: {failed.seen})"
                raise UpdateError(
                    f"the gate cannot judge here: the live model does not load either: {seen}",
                    reason="gate",
                ) from died

    def _in_turns(self, candidate: Child, live: Child | None) -> Iterator[Check]:
        def asked(child: Child, line: str, key: str) -> float:
            child.tell(line)
            try:
                return heard.number(child.hear(), key)
            except ChildDiedError as died:
                if child is live:
                    raise _unable(died) from died
                raise

        times: dict[Child, list[float]] = {}
        models = [child for child in (live, candidate) if child is not None]
        for _ in range(self._budget.turns):
            for child in models:
                took_ms = asked(child, str(self._budget.turn_s), "turn_ms")
                times.setdefault(child, []).append(took_ms)
        took = {child: median(all_[1:] or all_) for child, all_ in times.items()}
        live_ms = took[live] if live else 0.0
        limit, seen = self._budget.latency_limit_ms(live_ms), took[candidate]
        beside = f"the live model takes {live_ms:.3f} ms" if live else "no live model beside it"
        yield Check(
            "latency", seen <= limit, f"at most {limit:.3f} ms ({beside})", f"{seen:.3f} ms"
        )
        peaks = {child: asked(child, "end", "peak_mb") for child in models}
        live_mb = peaks[live] if live else 0.0
        most, peak = self._budget.memory_limit_mb(live_mb), peaks[candidate]
        beside = f"the live model {live_mb:.0f} MB" if live else "no live model beside it"
        yield Check("memory", peak <= most, f"at most {most:.0f} MB ({beside})", f"{peak:.0f} MB")

    def _child(self, candidate: str) -> Child:
        """A child for the candidate; for the live model when that is ""."""
        judged = Path(candidate) if candidate else self._live.path
        libraries = [rung.library for rung in self._live.delegates if "/" in rung.library]
        read = [candidate, str(self._live.path), *_files(self._contract), *libraries]
        if self._live.manifest:
            read.append(str(self._live.manifest.parent))
        golden = self._contract.golden
        cpu_s = self._budget.cpu_s * (self._live.threads or profile.load(self._board).threads)
        walls = {
            "read": [os.path.abspath(path) for path in read if path],  # noqa: PTH100 - strings
            "address_bytes": self._budget.address_bytes(_weights_bytes(judged)),
            "cpu_s": cpu_s,
            "delegates": self._delegates(),
        }
        job = {
            "walls": walls,
            "candidate": candidate and os.path.abspath(candidate),  # noqa: PTH100
            "live": _facts(self._live),
            "live_golden": _place(self._contract, golden.file) if golden else "",
            "board": self._board,
            "agreement": self._budget.agreement,
        }
        return Child(job, self._budget.wall_s, cpu_s)

    def _delegates(self) -> list[str]:
        """Every delegate that may be tried."""
        if self._live.delegates:
            return [rung.delegate for rung in self._live.delegates]
        facts = profile.load(self._board)
        return [name for names in facts.delegates.values() for name in names]


def _contract(live: ModelConfig) -> Manifest:
    """What the live model promises. Raises UpdateError where that cannot be read."""
    try:
        manifest, _ = build.contract(live)
        manifest.labels(), manifest.groups()
    except (EdgeRunError, ValueError) as exc:
        why = f"the gate has no live model to compare with: {exc}"
        raise UpdateError(why, reason="gate") from exc
    return manifest


def _files(manifest: Manifest) -> list[str]:
    """Those of the live model, by name: a link among them may lead anywhere."""
    rules = manifest.postprocess
    names = [MANIFEST, *(entry.path for entry in manifest.file), rules.labels, rules.groups]
    names += [manifest.golden.file] if manifest.golden else []
    return [_place(manifest, name) for name in names if name]


def _place(manifest: Manifest, name: str) -> str:
    return str((manifest.directory / name).absolute())


def _facts(config: ModelConfig) -> dict[str, Any]:
    """What `child` makes a ModelConfig of."""
    return {
        "path": str(config.path.absolute()),
        "manifest": str(config.manifest.absolute()) if config.manifest else "",
        "delegates": [{**asdict(rung), "options": dict(rung.options)} for rung in config.delegates],
        "required": config.required,
        "threads": config.threads,
    }


def _weights_bytes(path: Path) -> int:
    """The size of the largest file: what bounds how much memory a model may ask for."""
    paths = path.rglob("*") if path.is_dir() else [path]
    return max((found.lstat().st_size for found in paths if found.is_file()), default=0)


def _shut_in(child: Child) -> dict[str, str]:
    """What it says of its walls. Raises UpdateError when it does not come so far."""
    try:
        return heard.walls(child.hear())
    except ChildDiedError as died:
        raise no_start(died.check.seen) from died


def _unable(died: ChildDiedError) -> UpdateError:
    """The live model loaded, or had no time to: no broken model, a machine that is in need."""
    why = f"the gate cannot judge here: the live model beside the candidate: {died.check.seen}"
    return UpdateError(why, reason="gate")
