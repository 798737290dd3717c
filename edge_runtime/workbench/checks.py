"""What `check` finds: a run file looked at part by part, without running it.

Every check yields findings and goes on. What is opened is closed again; nothing is published, and
no file is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from edge_runtime import build, config, registry
from edge_runtime.config import Component, RunConfig
from edge_runtime.errors import ConfigError, EdgeRunError
from edge_runtime.interfaces import Step
from edge_runtime.manifest import Manifest
from edge_runtime.model import Candidate, Model
from edge_runtime.tables import Table, read_toml

from . import check_ends, check_update
from .check_ends import SIGNAL_STEPS, Stream, stream_of
from .findings import Finding, fail, note, ok
from .proof import Proof, prove

# What stands for the other parts of a run file while one part is read.
_STUBS: Mapping[str, object] = {
    "model": {"path": "."},
    "source": [{"kind": "?"}],
    "sink": [{"kind": "?"}],
}


@dataclass(frozen=True, slots=True)
class _Parts:
    """The readable parts of a run file; `bad` names the others, which are stubs in `config`."""

    config: RunConfig
    bad: frozenset[str]
    findings: tuple[Finding, ...]


def check(path: Path, environment: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """Look at everything a run file names. Raises ConfigError only when it is no TOML file."""
    parts = _read(read_toml(path), environment)
    run, bad = parts.config, parts.bad
    yield from parts.findings
    if not bad:
        yield ok("run file", f"{path} is valid: pipeline {run.identity.pipeline}")
    with ExitStack() as stack:
        manifest: Manifest | None = None
        model: Model | None = None
        if "model" not in bad and "board" not in bad:
            found = _Ladder(run)
            yield from found.findings()
            manifest, model = found.manifest, found.model()
            if model is not None:
                stack.callback(model.close)
        if "step" not in bad:
            yield from _made("step", run.steps)
        if "monitor" not in bad:
            yield from _made("monitor", run.monitors)
        if "source" not in bad:
            yield from _sources(run, manifest, model, "step" in bad)
        for component in run.sinks if "sink" not in bad else ():
            yield check_ends.sink(component, run.identity)
        if run.update is not None:
            yield check_update.update(run.update)


def _read(top: Table, environment: Mapping[str, str] | None) -> _Parts:
    good = dict(_STUBS)
    bad: set[str] = set()
    findings = []
    for key in {**top.values, **_STUBS}:
        values = {name: stub for name, stub in _STUBS.items() if name != key}
        if key in top.values:
            values[key] = top.values[key]
        try:
            config.from_table(replace(top, values=values), environment)
        except ConfigError as exc:
            findings.append(fail("run file", exc))
            bad.add(key)
        else:
            good[key] = top.values[key]
    run = config.from_table(replace(top, values=good), environment)
    return _Parts(run, frozenset(bad), tuple(findings))


class _Ladder:
    """The model on each of its rungs."""

    def __init__(self, run: RunConfig) -> None:
        self.manifest: Manifest | None = None
        self._run = run
        self._chosen: Candidate | None = None

    def findings(self) -> Iterator[Finding]:
        """Prove every candidate; the first one that works is what `start` would use."""
        try:
            self.manifest, ladder = build.candidates(self._run.model, self._run.board)
        except EdgeRunError as exc:
            yield fail("model", exc)
            return
        proofs = [prove(self.manifest, candidate) for candidate in ladder]
        works = [not proof.failure for proof in proofs]
        usable = works[:1] if self._run.model.required else works
        if any(usable):
            self._chosen = ladder[usable.index(True)]
        for rank, proof in enumerate(proofs, start=1):
            yield self._finding(proof, f"rung {rank} of {len(proofs)}")
        if self._chosen is not None:
            yield ok(
                "model",
                f"{self.manifest.name} {self.manifest.version} would run on delegate "
                f"{self._chosen.delegate} from {self._chosen.path.name}",
            )

    def _finding(self, proof: Proof, rank: str) -> Finding:
        part = f"model {proof.delegate}"
        if not proof.failure:
            return ok(part, f"{rank}: {proof.file} loads with {proof.runtime}; {_golden(proof)}")
        if self._chosen is not None:
            fix = "install what it names, or leave it out of delegates"
            return note(part, f"{rank} cannot be used: {proof.failure}", fix)
        fix = "take required = true out to allow the next rung" if self._run.model.required else ""
        return fail(part, proof.failure, fix, proof.exit_code)

    def model(self) -> Model | None:
        """The chosen rung, open; None when there is none."""
        if self._chosen is None or self.manifest is None:
            return None
        model = Model(
            manifest=replace(self.manifest, golden=None),
            candidates=[self._chosen],
            prepare=build.prepare,
            postprocess=build.postprocess,
        )
        model.open()
        return model


def _golden(proof: Proof) -> str:
    if proof.report is None:
        return "no golden vectors to replay"
    return f"{proof.report.cases} golden cases agree, largest error {proof.report.max_error:.3g}"


def _made(group: registry.Group, components: Sequence[Component]) -> Iterator[Finding]:
    """One instance of every component; each that cannot be made is a finding."""
    names = [component.kind for component in components]
    failures = 0
    for component in components:
        try:
            component.options.make(registry.find(group, component.kind))
        except ConfigError as exc:
            failures += 1
            yield fail(f"{group} {component.kind}", exc)
    if names and not failures:
        yield ok(f"{group}s", " -> ".join(names) if group == "step" else ", ".join(names))


def _sources(
    run: RunConfig, manifest: Manifest | None, model: Model | None, steps_are_bad: bool
) -> Iterator[Finding]:
    if manifest is not None and manifest.stateful and len(run.sources) > 1:
        text = f"{manifest.name} keeps its state inside and can serve one source only"
        yield fail("sources", text, "start one pipeline for each source", exit_code=2)
    for name, component in run.sources:
        misfit = _misfit(run, name, component, manifest)
        chain = None if steps_are_bad or misfit else _chain(run)
        if manifest is not None:
            yield from _health(run, name, component, manifest)
        yield check_ends.source(name, component, chain or (), model if chain is not None else None)
        if misfit is not None:
            yield misfit


def _health(
    run: RunConfig, name: str, component: Component, manifest: Manifest
) -> Iterator[Finding]:
    try:
        build.health(run, component.options, manifest, live=True)
    except ConfigError as exc:
        yield fail(f"source {name}", exc)


def _chain(run: RunConfig) -> tuple[Step, ...] | None:
    try:
        return build.steps(run)
    except ConfigError:
        return None  # told by _steps


def _misfit(
    run: RunConfig, name: str, component: Component, manifest: Manifest | None
) -> Finding | None:
    """A failure when images meet a step or model for signals, or the other way round."""
    gives, wants = stream_of(component.kind), _wanted(manifest)
    part = f"source {name}"
    for step in run.steps:
        if gives == "image" and step.kind in SIGNAL_STEPS:
            text = f"kind {component.kind} gives images, step {step.kind} works on a signal"
            return fail(part, text, "take the step out, or use a source of signals", exit_code=2)
    if gives and wants and gives != wants and manifest is not None:
        text = f"kind {component.kind} gives {_words(gives)}, {manifest.name} takes {_words(wants)}"
        return fail(part, text, "use another source or another model", exit_code=2)
    return None


def _wanted(manifest: Manifest | None) -> Stream:
    kinds = {entry.kind for entry in manifest.input} if manifest else set()
    if "image" in kinds:
        return "image"
    return "signal" if "signal" in kinds else ""


def _words(stream: Stream) -> str:
    return "images" if stream == "image" else "a signal"
