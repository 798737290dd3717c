"""Run a file over cases with the device's own backend, in a process of its own."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.frame import Array
from edge_runtime.golden import GoldenReport
from edge_runtime.interfaces import Quantisation, TensorSpec
from edge_runtime.manifest import Manifest

from .. import process
from ..data.cases import write_arrays
from ..errors import ConversionError, MisfitError
from ..process import Progress

_FEW = 16

_CHILD = "edge_runtime.converters.gate.run_file"


@dataclass(frozen=True, slots=True)
class How:
    """How a file is run. The delegate "" is the usual choice: for ONNX cpu, for TFLite xnnpack, and
    cpu for a file of which that takes nothing (INT16x8).
    """

    delegate: str = ""
    threads: int = 1
    calls: int = 300  # timed, at most; 0: none
    seconds: float = 3.0  # spent on timing, about
    timeout_s: float = 900.0  # then the process is ended


@dataclass(frozen=True, slots=True)
class Latency:
    """Wall time of one call, after a warm-up."""

    median_ms: float
    p95_ms: float
    calls: int


@dataclass(frozen=True, slots=True)
class Run:
    """What a file gave for all cases. `values` are real, (cases, ...) for each output.

    A batch axis of 1 is left away; `batched` says which outputs have one. `latency` is None when
    it was not timed. `ratio` is its time over that of the file beside it: the median over blocks
    of calls that took turns; None without one. Memory is that of the process, before the file is
    loaded and at its peak over the first cases.
    """

    path: Path
    size_bytes: int
    runtime: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    values: tuple[Array, ...]
    batched: tuple[bool, ...]
    latency: Latency | None
    beside: Latency | None
    ratio: float | None
    load_ms: float
    base_rss_mb: float
    peak_rss_mb: float

    def tensors(self, values: Sequence[Array]) -> list[Array]:
        """Such values as the file itself gives them: (cases, *output shape)."""
        pairs = zip(values, self.batched, strict=True)
        return [array[:, None] if batched else array for array, batched in pairs]

    @property
    def finite(self) -> bool:
        """Whether no output is NaN or infinite."""
        return all(bool(np.isfinite(array).all()) for array in self.values)


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A weights file with the cases in the form that it takes.

    `manifest` adds the quantisation that a file does not say itself.
    """

    path: Path
    inputs: Mapping[str, Array]
    manifest: Manifest | None = None


def measure(
    file: ModelFile,
    how: How | None = None,
    *,
    beside: ModelFile | None = None,
    on_progress: Progress | None = None,
) -> Run:
    """Run all cases, then time the file, in turns with `beside` when that is given.

    Raises ConversionError when the file does not load or run here, takes its process along, or
    takes too long; MisfitError when the cases, made by the contract, are not of its inputs.
    """
    how = how or How()
    with tempfile.TemporaryDirectory(prefix="edge-convert-") as folder:
        out = Path(folder, "out.npz")
        cases = Path(folder, "cases.npz")
        write_arrays(cases, file.inputs)
        job = {**_job(file, how), **_few(file, Path(folder, "few.npz"))}
        job |= {"cases": str(cases), "out": str(out)}
        if beside is not None:
            job["beside"] = {"path": str(beside.path), **_few(beside, Path(folder, "beside.npz"))}
        facts = _ask(job, how, on_progress)
        with np.load(out, allow_pickle=False) as held:
            values = tuple(held[f"arr_{at}"] for at in range(len(facts["outputs"])))
    return _run(file.path, facts, values)


def replay(path: Path, golden: Path, how: How | None = None) -> GoldenReport:
    """Replay golden vectors as a device does, in another process. Raises ConversionError."""
    how = how or How()
    facts = _ask({**_job(ModelFile(path, {}), how), "golden": str(golden)}, how)
    return GoldenReport(**facts["golden"])


def _ask(job: Mapping[str, Any], how: How, on_progress: Progress | None = None) -> dict[str, Any]:
    name = Path(job["path"]).name
    try:
        answer = process.ask([sys.executable, "-m", _CHILD], job, how.timeout_s, on_progress)
    except ConversionError as exc:
        raise ConversionError(f"{name}: does not run here: {exc}") from exc
    if "error" in answer:
        kind = MisfitError if answer["misfit"] else ConversionError
        raise kind(f"{name}: does not run here: {answer['error']}")
    facts: dict[str, Any] = answer["facts"]
    return facts


def _job(file: ModelFile, how: How) -> dict[str, Any]:
    return {
        "path": str(file.path),
        "delegate": how.delegate,
        "threads": how.threads,
        "calls": how.calls,
        "seconds": how.seconds,
        "golden": "",
        "cases": "",
        "beside": None,
    }


def _few(file: ModelFile, path: Path) -> dict[str, Any]:
    """The first cases: what memory and time are measured on."""
    write_arrays(path, {name: array[:_FEW] for name, array in file.inputs.items()})
    manifest = file.manifest
    return {
        "few": str(path),
        "input_quantisation": _quantisation(manifest.input if manifest else ()),
        "output_quantisation": _quantisation(manifest.output if manifest else ()),
    }


def _quantisation(entries: Sequence[Any]) -> dict[str, list[float]]:
    return {
        entry.name: [entry.quantisation.scale, entry.quantisation.zero_point]
        for entry in entries
        if entry.quantisation
    }


def _run(path: Path, facts: Mapping[str, Any], values: tuple[Array, ...]) -> Run:
    timed = facts.get("latency", {"own": [], "beside": []})
    own, beside = timed["own"], timed["beside"]
    pairs = zip(own, beside, strict=False)
    ratios = [statistics.median(one) / statistics.median(other) for one, other in pairs]
    return Run(
        path=path,
        size_bytes=path.stat().st_size,
        runtime=facts["runtime"],
        inputs=tuple(map(_spec, facts["inputs"])),
        outputs=tuple(map(_spec, facts["outputs"])),
        values=values,
        batched=tuple(facts["batched"]),
        latency=_latency(own) if own else None,
        beside=_latency(beside) if beside else None,
        ratio=statistics.median(ratios) if ratios else None,
        load_ms=facts["load_ms"],
        base_rss_mb=facts["base_rss_mb"],
        peak_rss_mb=facts["peak_rss_mb"],
    )


def _latency(blocks: Sequence[Sequence[float]]) -> Latency:
    took = [call for block in blocks for call in block]
    return Latency(float(np.median(took)), float(np.percentile(took, 95)), len(took))


def _spec(facts: Mapping[str, Any]) -> TensorSpec:
    stored = facts["quantisation"]
    quantisation = stored and Quantisation(
        tuple(stored["scale"]), tuple(stored["zero_point"]), stored["axis"]
    )
    return TensorSpec(facts["name"], tuple(facts["shape"]), facts["dtype"], quantisation)
