"""The gate: is a candidate good on this device? Judged in a child that can harm nothing.

Its verdict stands on this device's own delegate and number of threads, beside the live model in
the same minutes: both run in turns, so that a warm or a busy board is the same for both.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

from edge_runtime import build, profile
from edge_runtime.config import ModelConfig
from edge_runtime.errors import EdgeRunError, UpdateError

from .budget import Budget
from .checks import Check, GateReport
from .process import Child, ChildDiedError

__all__ = ["Check", "GateReport", "judge"]

_TEXT_MAX = 500


def judge(
    candidate: Path, live: Path, config: ModelConfig, board: str, budget: Budget
) -> GateReport:
    """Judge a model directory; takes seconds, and never raises for anything a candidate does.

    Raises UpdateError("gate") when the child cannot even start: that is no candidate's fault.

    Args:
        candidate: the slot.
        live: the model that runs now, a directory or (with `config.manifest`) a bare file.
        config: how the pipeline runs its model; its path is not looked at.
        board: the profile's name; "" detects it.
        budget: the limits.
    """
    return _Gate(candidate, replace(config, path=live), board, budget).judge()


class _Gate:
    def __init__(self, candidate: Path, live: ModelConfig, board: str, budget: Budget) -> None:
        self._candidate, self._live, self._budget = candidate, live, budget
        self._board = board or profile.detect().name
        self._checks: list[Check] = []
        self._sandbox: dict[str, str] | None = None  # until the child has shut itself in
        self._deadline = time.monotonic() + budget.wall_s

    def judge(self) -> GateReport:
        with ExitStack() as children:
            try:
                for check in self._judged(children):
                    self._checks.append(check)
                    if not check.passed:
                        break
            except ChildDiedError as died:
                if self._sandbox is None:
                    why = f"the gate's child does not start: {died.check.seen}"
                    raise UpdateError(why, reason="gate") from died
                self._checks.append(died.check)
        passed = all(check.passed for check in self._checks)
        return GateReport(passed, tuple(self._checks), self._sandbox or {})

    def _judged(self, children: ExitStack) -> Iterator[Check]:
        candidate = children.enter_context(closing(self._child(str(self._candidate))))
        self._sandbox = _walls(candidate.hear())
        while "rung" not in (heard := candidate.hear()):
            yield _check(heard)
        live = children.enter_context(closing(self._child("")))
        try:
            beside = self._loaded(live)
        except ChildDiedError as died:
            # A live model that is broken must not keep the one out that mends it.
            yield Check("live", True, "a live model to compare with", f"none: {died.check.seen}")
            yield from self._in_turns(candidate, None)
            return
        fits = _number(heard, "rung") <= _number(beside, "rung")
        seen = _text(f"{heard.get('delegate')} {heard.get('before')}")
        yield Check("delegate", fits, f"{_text(beside.get('delegate'))}, or one before it", seen)
        yield from self._in_turns(candidate, live)

    def _loaded(self, live: Child) -> dict[str, Any]:
        """What the live model's child says once it is loaded. Raises ChildDiedError."""
        live.hear()  # of its walls, which are the same
        while "rung" not in (heard := live.hear()):
            if not (check := _check(heard)).passed:
                raise ChildDiedError(check)
        return heard

    def _in_turns(self, candidate: Child, live: Child | None) -> Iterator[Check]:
        times: dict[Child, list[float]] = {}
        models = [child for child in (live, candidate) if child is not None]
        for _ in range(self._budget.turns):
            for child in models:
                child.tell(str(self._budget.turn_s))
                times.setdefault(child, []).append(_number(child.hear(), "turn_ms"))
        took = {child: median(all_[1:] or all_) for child, all_ in times.items()}
        live_ms = took[live] if live else 0.0
        limit, seen = self._budget.latency_limit_ms(live_ms), took[candidate]
        beside = f"the live model takes {live_ms:.3f} ms" if live else "no live model beside it"
        yield Check(
            "latency", seen <= limit, f"at most {limit:.3f} ms ({beside})", f"{seen:.3f} ms"
        )
        peaks = {}
        for child in models:
            child.tell("end")
            peaks[child] = _number(child.hear(), "peak_mb")
        live_mb = peaks[live] if live else 0.0
        most, peak = self._budget.memory_limit_mb(live_mb), peaks[candidate]
        beside = f"the live model {live_mb:.0f} MB" if live else "no live model beside it"
        yield Check("memory", peak <= most, f"at most {most:.0f} MB ({beside})", f"{peak:.0f} MB")

    def _child(self, candidate: str) -> Child:
        """A child for the candidate; for the live model when that is ""."""
        judged = Path(candidate) if candidate else self._live.path
        golden = self._live_golden()
        libraries = [rung.library for rung in self._live.delegates if "/" in rung.library]
        read = [candidate, str(self._live.path), golden, *libraries]
        if self._live.manifest:
            read.append(str(self._live.manifest.parent))
        walls = {
            "read": [os.path.abspath(path) for path in read if path],  # noqa: PTH100 - strings
            "address_bytes": self._budget.address_bytes(_weights_bytes(judged)),
            "cpu_s": self._budget.cpu_s,
            "delegates": self._delegates(),
        }
        job = {
            "walls": walls,
            "candidate": candidate and os.path.abspath(candidate),  # noqa: PTH100
            "live": _facts(self._live),
            "live_golden": golden,
            "board": self._board,
            "agreement": self._budget.agreement,
        }
        return Child(job, self._deadline, self._budget.cpu_s)

    def _delegates(self) -> list[str]:
        """Every delegate that may be tried."""
        if self._live.delegates:
            return [rung.delegate for rung in self._live.delegates]
        facts = profile.load(self._board)
        return [name for names in facts.delegates.values() for name in names]

    def _live_golden(self) -> str:
        """The live model's golden vectors; "" for a model that has none or cannot be read."""
        try:
            manifest, _ = build.contract(self._live)
        except EdgeRunError:
            return ""
        rules = manifest.golden
        return str((manifest.directory / rules.file).absolute()) if rules else ""


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


# A child that was taken over may say anything; only what has the right form is believed.


def _check(heard: Mapping[str, Any]) -> Check:
    """A check as a child said it. Raises ChildDiedError for what is none."""
    facts = heard.get("check")
    if not isinstance(facts, dict) or set(facts) != {"name", "passed", "expected", "seen"}:
        raise _nonsense("a check")
    texts = {key: _text(facts[key]) for key in ("name", "expected", "seen")}
    return Check(passed=facts["passed"] is True, **texts)


def _walls(heard: Mapping[str, Any]) -> dict[str, str]:
    walls = heard.get("sandbox")
    if not isinstance(walls, dict):
        raise _nonsense("its walls")
    return {_text(name): _text(told) for name, told in walls.items()}


def _number(heard: Mapping[str, Any], key: str) -> float:
    value = heard.get(key)
    if not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise _nonsense(f"a number ({key})")
    return float(value)


def _text(value: object) -> str:
    """One line, and not too long a one."""
    plain = "".join(letter if letter.isprintable() else " " for letter in str(value)[:_TEXT_MAX])
    return " ".join(plain.split())


def _nonsense(expected: str) -> ChildDiedError:
    return ChildDiedError(Check("crash", False, expected, "something else"))
