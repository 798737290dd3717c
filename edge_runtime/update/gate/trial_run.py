"""A model opened as the pipeline opens it, and what its runs say of it. Runs inside the sandbox."""

from __future__ import annotations

import time
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from edge_runtime import build, golden
from edge_runtime.binding import fixed, matched
from edge_runtime.config import ModelConfig
from edge_runtime.errors import ConfigError, FrameError, MissingExtraError, ModelLoadError
from edge_runtime.frame import Array
from edge_runtime.interfaces import Backend
from edge_runtime.manifest import Manifest
from edge_runtime.model import Model

from .checks import Check

_RUNS = 3
_UNREADABLE = (ConfigError, OSError, ValueError, TypeError, AttributeError, EOFError)
_DAMAGED = (zipfile.BadZipFile, zlib.error, NotImplementedError)  # an archive


@dataclass(frozen=True, slots=True)
class Opened:
    """A model on the first rung that takes it; `before` says why not on one before."""

    manifest: Manifest
    backend: Backend
    rung: int
    before: str


def opened(config: ModelConfig, board: str) -> Opened:
    """Open a model on its ladder and match its tensors with its manifest; no golden vectors yet.

    Raises ConfigError (the manifest does not describe the file), ModelLoadError.
    """
    manifest, ladder = build.candidates(config, board)
    failures: list[str] = []
    for rung, candidate in enumerate(ladder[:1] if config.required else ladder):
        model = Model(
            manifest=replace(manifest, golden=None),
            candidates=[candidate],
            prepare=build.prepare,
            postprocess=build.postprocess,
        )
        try:
            model.open()
        except (ModelLoadError, MissingExtraError) as exc:
            failures.append(f"{candidate.delegate}: {exc}")
        except UnicodeDecodeError as exc:
            failures.append(f"{candidate.delegate}: a tensor's name is no text: {exc}")
        except FrameError as exc:  # of the warm-up
            raise ConfigError(f"it does not run: {exc}") from exc
        else:
            return Opened(manifest, candidate.backend, rung, "; ".join(failures))
    raise ModelLoadError("; ".join(failures))


class Watched:
    """A backend that runs everything three times, keeps what it was given, and remembers faults."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.kind, self.delegate = backend.kind, backend.delegate
        self.inputs, self.outputs = backend.inputs, backend.outputs
        self.given: list[list[Array]] = []
        self.not_finite = self.unlike = ""

    def open(self) -> None:
        """It is open."""

    def close(self) -> None:
        """Whoever opened it closes it."""

    def reset(self) -> None:
        self._backend.reset()

    def run(self, tensors: Sequence[Array]) -> Sequence[Array]:
        case = len(self.given)
        self.given.append(list(tensors))
        runs: list[list[bytes]] = []
        for _ in range(_RUNS):
            self._backend.reset()
            found = self._backend.run(tensors)
            runs.append([array.tobytes() for array in found])
        for spec, array in zip(self.outputs, found, strict=True):
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                self.not_finite = self.not_finite or f"'{spec.name}' of case {case} is not"
        if any(run != runs[0] for run in runs):
            self.unlike = self.unlike or f"case {case} gave other bits at another run"
        return found


def proofs(model: Opened, watched: Watched) -> Iterator[Check]:
    """Golden vectors on this device, numbers that are numbers, the same bits each time."""
    rules = model.manifest.golden
    assert rules is not None  # `contract.strictness` came before
    expected = f"within {rules.tolerance:g}, agreement {rules.agreement:.0%}"
    path = model.manifest.directory / rules.file
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as arrays:
            counts = {len(arrays[name]) for name in arrays.files}
        if len(counts) > 1:
            yield Check("golden", False, "as many outputs as inputs", f"{sorted(counts)} cases")
        found = golden.replay(watched, path)
    except (*_UNREADABLE, *_DAMAGED) as exc:
        yield Check("golden", False, expected, str(exc))
        return
    yield Check("finite", not watched.not_finite, "finite outputs", watched.not_finite or "all")
    same = watched.unlike or "all"
    yield Check("deterministic", not watched.unlike, f"the same bits in {_RUNS} runs", same)
    failure = found.failure(rules.tolerance, rules.agreement)
    seen = failure or f"largest error {found.max_error:.4g} over {found.cases} cases"
    yield Check("golden", not failure, expected, seen)


def agreement(model: Opened, live_golden: Path | None, share: float) -> Check:
    """Does it find, on the live model's golden cases, the same best score on `share` of them?"""
    expected = f"the live model's best score on {share:.0%} of its golden cases"
    scores = all(entry.meaning == "scores" for entry in model.manifest.output)
    if not share or live_golden is None or not scores:
        why = "scores only" if not scores else "not asked for" if not share else "it has none"
        return Check("agreement", True, expected, f"not compared: {why}")
    try:
        found = golden.replay(model.backend, live_golden)
    except ConfigError as exc:
        return Check("agreement", True, expected, f"not compared: {exc}")
    seen = f"{found.agreement:.0%} of {found.cases} cases"
    return Check("agreement", found.agreement >= share, expected, seen)


def blank(model: Opened) -> list[Array]:
    """Zeros for every input, for a model without golden cases."""
    specs = model.backend.inputs
    entries = matched(model.manifest, specs)
    return [
        np.zeros(fixed(entry, spec), spec.dtype) for entry, spec in zip(entries, specs, strict=True)
    ]


def turn(backend: Backend, given: Sequence[Sequence[Array]], seconds: float) -> float:
    """The median time of one inference, ms, over the cases again and again; one run at least."""
    times: list[int] = []
    until = time.monotonic_ns() + int(seconds * 1e9)
    while not times or time.monotonic_ns() < until:
        tensors = given[len(times) % len(given)]
        started = time.monotonic_ns()
        backend.run(tensors)
        times.append(time.monotonic_ns() - started)
    return median(times) / 1e6
