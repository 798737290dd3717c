"""RunConfig -> Pipeline: the only wiring."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from . import manifest as manifests
from . import registry
from .backends import DELEGATES, Format, format_of
from .capture import Capture
from .config import Component, ModelConfig, RunConfig, Rung
from .errors import BadOptionError, ConfigError
from .interfaces import (
    Backend,
    Health,
    Monitor,
    Postprocess,
    Prepare,
    Sink,
    Source,
    Step,
    TensorSpec,
)
from .lane import Limits
from .manifest import FileEntry, InputEntry, Manifest
from .model import Candidate, Model
from .pipeline import Pipeline
from .tables import Table

if TYPE_CHECKING:
    from .swap.switch import Switch


def pipeline(config: RunConfig, hung: Callable[[], None] = os.abort) -> Pipeline:
    """Wire everything a run file names; opens nothing but the store of updates.

    `hung` ends the process when a model that came by an update never returns. Raises ConfigError.
    """
    built_model = _speaker(config, hung)
    built_sources = sources(config)
    if built_model.manifest.stateful and len(built_sources) > 1:
        raise ConfigError(
            f"{config.file}: model {built_model.manifest.name} keeps its state inside: it can "
            "serve one source only; start one pipeline for each"
        )
    healths = {
        name: judge
        for made, (name, component) in zip(built_sources, config.sources, strict=True)
        if (judge := health(config, component.options, built_model.manifest, live=made.live))
    }
    limits = Limits(
        mailbox=config.capture.mailbox,
        backoff_s=config.capture.backoff_s,
        backoff_max_s=config.capture.backoff_max_s,
        bad_frames_max=config.capture.bad_frames_max,
        stale_s=config.capture.stale_s,
    )
    return Pipeline(
        capture=Capture(built_sources, limits, healths),
        steps={source.name: steps(config) for source in built_sources},
        model=built_model,
        sinks=sinks(config),
        monitors={source.name: monitors(config) for source in built_sources if config.monitors},
        bad_frames_max=config.capture.bad_frames_max,
    )


def sources(config: RunConfig) -> tuple[Source, ...]:
    """One instance of each [[source]]."""
    return tuple(source(name, component) for name, component in config.sources)


def source(name: str, component: Component) -> Source:
    """A source; its [source.mask] is painted before anything else sees a picture of it."""
    options = component.options
    made: Source = options.without("health", "mask").make(
        registry.find("source", component.kind), name=name
    )
    if "mask" not in options.values:
        return made
    from .preprocess.mask import Mask
    from .sources.cameras.masked import Masked

    return Masked(made, options.child("mask").make(Mask))


def health(config: RunConfig, options: Table, manifest: Manifest, *, live: bool) -> Health | None:
    """What judges the frames of a source that is live, or whose [source.health] asks for it.

    What the model takes says whether the frames are images.
    """
    given = "health" in options.values
    table = options.child("health") if given else Table({}, "")
    on = table.values.get("on", live or given)
    if not isinstance(on, bool):
        raise table.error("on", "must be true or false")
    if not on:
        return None
    image = any(entry.kind == "image" for entry in manifest.input)
    fixed = {} if image or "leads" in table.values else {"leads": _used_leads(config)}
    kind = registry.load(_IMAGE_HEALTH if image else _SIGNAL_HEALTH)
    made: Health = table.without("on").make(kind, **fixed)
    return made


def _used_leads(config: RunConfig) -> tuple[str, ...]:
    """The leads that the first steps choose; empty for all of them."""
    for component in config.steps:
        values = component.options.values
        if values.get("absent") == "zero":
            return ()  # the source need not have them
        names = values.get("names" if component.kind == "leads" else "lead")
        if isinstance(names, str) and names:
            return (names,)
        if isinstance(names, list):
            return tuple(map(str, names))
    return ()


_IMAGE_HEALTH = "edge_runtime.health.image:ImageHealth"
_SIGNAL_HEALTH = "edge_runtime.health.signal:SignalHealth"


def steps(config: RunConfig) -> tuple[Step, ...]:
    """A fresh chain of [[step]]s: each source has its own, for they keep samples."""
    return tuple(
        component.options.make(registry.find("step", component.kind)) for component in config.steps
    )


def monitors(config: RunConfig) -> tuple[Monitor, ...]:
    """A fresh set of [[monitor]]s: each source has its own."""
    return tuple(
        component.options.make(registry.find("monitor", component.kind))
        for component in config.monitors
    )


def sinks(config: RunConfig) -> tuple[Sink, ...]:
    """One instance of each [[sink]]."""
    return tuple(
        component.options.make(registry.find("sink", component.kind), identity=config.identity)
        for component in config.sinks
    )


def _speaker(config: RunConfig, hung: Callable[[], None]) -> Model | Switch:
    """The model, or where the run file has [update] the switch that changes it."""
    if config.update is None:
        return model(config.model, config.board)
    from . import build_update

    return build_update.switch(config, config.update, model, hung)


def model(config: ModelConfig, board: str = "") -> Model:
    """The model with its ladder of candidates. Raises ConfigError, ModelLoadError."""
    manifest, ladder = candidates(config, board)
    return Model(
        manifest=manifest,
        candidates=ladder,
        prepare=prepare,
        postprocess=postprocess,
        required=config.required,
    )


def candidates(config: ModelConfig, board: str = "") -> tuple[Manifest, list[Candidate]]:
    """The manifest, and one candidate for each rung. Raises ConfigError, ModelLoadError.

    What the configuration leaves open is the board profile's: `board` names it, "" detects it.
    """
    manifest, override = contract(config)
    rungs, threads = config.delegates, config.threads
    if not rungs or not threads:
        from . import profile as profiles

        facts = profiles.load(board) if board else profiles.detect()
        format_ = format_of(override) if override else manifest.file[0].format
        rungs = rungs or tuple(Rung(name) for name in facts.delegates[format_])
        threads = threads or facts.threads
    return manifest, [_candidate(manifest, override, rung, threads) for rung in rungs]


def contract(config: ModelConfig) -> tuple[Manifest, Path | None]:
    """The manifest, and the weights file when the configuration names a bare one."""
    if not config.path.exists():
        raise ConfigError(f"{config.path}: no such model directory or file")
    if config.path.is_dir():
        return manifests.read(config.path), None
    if config.manifest is None:
        raise ConfigError(
            f"{config.path}: a bare file does not say what its numbers mean; write a manifest "
            f"(`edge-run models show {config.path}` prints a start) and name it: "
            'manifest = "model.toml"'
        )
    return manifests.read(config.manifest), config.path


def _candidate(manifest: Manifest, override: Path | None, rung: Rung, threads: int) -> Candidate:
    entry = _entry(manifest, override, rung)
    path = override or manifest.path(entry)
    # Inputs that the manifest names by position need no fixing before the load.
    shapes = {
        item.name: item.shape for item in manifest.input if item.shape and not item.name.isdigit()
    }
    kind = format_of(path) if path.exists() else entry.format
    try:
        backend: Backend = registry.find("backend", kind)(
            path=path,
            delegate=rung.delegate,
            threads=threads,
            library=rung.library or None,
            options=dict(rung.options),
            shapes=shapes,
        )
    except BadOptionError as exc:
        raise ConfigError(f"[model] delegates: {rung.delegate}: {exc}") from exc
    return Candidate(rung.delegate, path, entry.sha256, backend)


def _entry(manifest: Manifest, override: Path | None, rung: Rung) -> FileEntry:
    """The weights for a rung: those it names, the bare file's, or the first that it can run."""
    wanted = rung.file or (override.name if override else "")
    for entry in manifest.file:
        if wanted in (entry.path, Path(entry.path).name):
            return entry
        if not wanted and _runs(rung, entry.format):
            return entry
    what = f"lists no file '{wanted}'" if wanted else f"has no file for '{rung.delegate}'"
    known = ", ".join(sorted({name for names in DELEGATES.values() for name in names}))
    raise ConfigError(f"{manifest.name}: the manifest {what}; delegates are: {known}")


def _runs(rung: Rung, format_: Format) -> bool:
    """Whether a rung is a delegate of this format; a library is always a TFLite one."""
    if rung.library:
        return format_ == "tflite"
    return rung.delegate in DELEGATES[format_]


def prepare(entry: InputEntry, spec: TensorSpec) -> Prepare:
    """What fills one input tensor from a frame."""
    target = {
        "image": "edge_runtime.preprocess.image:ImageInput",
        "signal": "edge_runtime.preprocess.signal:SignalInput",
        "feature": "edge_runtime.preprocess.feature:FeatureInput",
    }[entry.kind]
    made: Prepare = registry.load(target)(entry, spec)
    return made


def postprocess(manifest: Manifest, outputs: tuple[TensorSpec, ...]) -> Postprocess:
    """What reads the outputs, as the manifest says."""
    made: Postprocess = registry.find("postprocess", manifest.postprocess.kind)(manifest, outputs)
    return made
