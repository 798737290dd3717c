"""Makes files: a float32 one for each format, and from it every precision that is asked for."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edge_runtime.manifest import Format

from . import child, environment, plan
from .plan import Act, Target
from .process import Facts, Progress
from .source import Given


@dataclass(frozen=True, slots=True)
class Made:
    """A file, and what the jobs that led to it say of it."""

    target: Target
    path: Path
    facts: Facts  # of the last job
    versions: Mapping[str, str]  # of the packages of all of them
    seconds: float = 0.0  # that all of them took


@dataclass(slots=True)
class Workshop:
    """Runs the jobs of one conversion, each in a child, with its files in one folder.

    `options` go to every job (batch axis, factory of a PyTorch module, trust ...); `sample` is an
    .npz of a few real cases, with which a job checks what it made.
    """

    given: Given
    folder: Path
    sample: Path
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    timeout_s: float = 1800.0
    on_progress: Progress | None = None
    _floats: dict[Format, Made] = field(default_factory=dict)

    def predict(self, cases: Path) -> Path:
        """What the source itself makes of the cases: the reference, as an .npz."""
        out = self.folder / f"reference-{cases.stem}.npz"
        self.run(plan.predict(self.given.kind), self.given.path, out, cases)
        return out

    def floats(self, format_: Format) -> Made:
        """The float32 file of a format; made once."""
        if format_ not in self._floats:
            made = Made(Target(format_, "float32"), self.given.path, {}, {})
            acts = plan.to_float(self.given.kind, format_)
            for left, act in zip(reversed(range(len(acts))), acts, strict=True):
                name = f"step-{left}.onnx" if left else f"float.{format_}"
                made = self._next(made, act, self.folder / name, self.sample)
            self._floats[format_] = made
        return self._floats[format_]

    def make(self, target: Target, cases: Path | None, **more: Any) -> Made:
        """The file of a target; `more` are options of its last job (keep_float, calibration).

        Files with more or fewer nodes in float are kept side by side.
        """
        kept = len(more.get("keep_float", ()))
        acts = plan.direct(self.given.kind, target)
        if acts and not kept:
            made = Made(target, self.given.path, {}, {})
        else:
            acts = plan.to_precision(target)
            made = replace(self.floats(target.format), target=target)
        for act in acts:
            out = self.folder / target.filename(f"made-{kept}")
            made = self._next(made, act, out, cases, **more)
        return made

    def run(self, act: Act, source: Path, out: Path, cases: Path, **more: Any) -> Facts:
        """One job in a child, with the options of all."""
        python = environment.need(act.family, act.module.replace("_", " "))
        job = plan.job(source, out, act, cases, **{**self.options, **more})
        return child.run(
            python, act.module, job, timeout_s=self.timeout_s, on_progress=self.on_progress
        )

    def _next(self, made: Made, act: Act, out: Path, cases: Path | None, **more: Any) -> Made:
        start = time.monotonic()
        facts = self.run(act, made.path, out, cases or self.sample, **more)
        seconds = made.seconds + time.monotonic() - start
        versions = {**made.versions, **facts.get("versions", {})}
        return Made(made.target, out, facts, versions, seconds)


def all_there(given: Given, targets: Sequence[Target]) -> None:
    """Raises ConfigError for the first framework that is needed and not installed."""
    for family, what in plan.families(given.kind, tuple(targets)).items():
        environment.need(family, what)
