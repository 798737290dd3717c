"""The child's side: run one file over all cases on a backend of the device, and time it.

    python -m edge_runtime.converters.gate.run_file < JOB.json

Answers go to standard output as JSON lines: progress, then facts or an error. What runtimes print
goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime import golden, registry
from edge_runtime.backends import format_of
from edge_runtime.errors import BadOptionError, ConfigError, DelegateError, EdgeRunError
from edge_runtime.frame import Array
from edge_runtime.interfaces import Backend, Quantisation, TensorSpec
from edge_runtime.preprocess.quantise import dequantise, quantise

WARM_UP = 10  # calls before any is timed
BLOCK = 10  # calls of one file before the other has its turn
_TELL_S = 0.2

Tell = Callable[[Mapping[str, Any]], None]
Row = list[Array]  # the tensors of one call


def main() -> None:
    """Read the job, run it, answer."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(what: Mapping[str, Any]) -> None:
        answers.write(json.dumps(what) + "\n")
        answers.flush()

    try:
        tell({"facts": run(json.load(sys.stdin), tell)})
    except (EdgeRunError, BadOptionError) as exc:
        tell({"error": str(exc), "misfit": isinstance(exc, ConfigError)})


def run(job: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    """Load the file, run every case, replay golden vectors, time it: what the job asks for."""
    facts: dict[str, Any] = {"base_rss_mb": memory_mb("VmRSS")}
    started = time.perf_counter()
    backend = _opened(job)
    facts["load_ms"] = (time.perf_counter() - started) * 1e3
    facts["runtime"] = getattr(backend, "runtime", "")
    facts["inputs"] = [asdict(spec) for spec in backend.inputs]
    if job["golden"]:
        facts["golden"] = asdict(golden.replay(backend, Path(job["golden"])))
    if not job["cases"]:
        return facts
    specs = _stated(backend.outputs, job["output_quantisation"])
    facts["outputs"] = [asdict(spec) for spec in specs]
    few = Rows(backend, Path(job["few"]), job["input_quantisation"])
    _block(backend, few, len(few))
    facts["peak_rss_mb"] = memory_mb("VmHWM")  # before all the cases are in memory
    rows = Rows(backend, Path(job["cases"]), job["input_quantisation"])
    facts["batched"] = _run_all(backend, specs, rows, Path(job["out"]), tell)
    if job["calls"]:
        facts["latency"] = _timed(backend, few, job, tell)
    return facts


class Rows:
    """The tensors of each case, in the order and the types of a backend's inputs."""

    def __init__(self, backend: Backend, path: Path, quantisation: Mapping[str, Any]) -> None:
        self._specs = _stated(backend.inputs, quantisation)
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        self._arrays = ordered(arrays, self._specs, str(path))

    def __len__(self) -> int:
        return len(self._arrays[0])

    def __getitem__(self, case: int) -> Row:
        pairs = zip(self._arrays, self._specs, strict=True)
        return [quantise(_shaped(array[case], spec), spec) for array, spec in pairs]


def ordered(arrays: Mapping[str, Array], specs: Sequence[TensorSpec], where: str) -> list[Array]:
    """The array of each input: by its name, else its position, else as the arrays stand.

    A converted file keeps the order of the source's inputs, not always their names. Raises
    ConfigError when there are not as many arrays as inputs.
    """
    if len(arrays) != len(specs):
        has = ", ".join(f"'{name}'" for name in arrays)
        wants = ", ".join(f"'{spec.name}'" for spec in specs)
        raise ConfigError(f"{where}: has inputs {has}, the file takes {wants}")
    for keys in ([spec.name for spec in specs], [str(at) for at in range(len(specs))]):
        if set(keys) == set(arrays):
            return [arrays[key] for key in keys]
    return list(arrays.values())


def _opened(job: Mapping[str, Any]) -> Backend:
    """On the delegate that is asked for; else, as on a board, plain where XNNPACK takes nothing."""
    kind = format_of(Path(job["path"]))
    if kind == "tflite" and not job["delegate"]:
        with suppress(DelegateError):
            return _on(job, kind, "xnnpack")
    return _on(job, kind, job["delegate"] or "cpu")


def _on(job: Mapping[str, Any], kind: str, delegate: str) -> Backend:
    backend: Backend = registry.find("backend", kind)(
        path=Path(job["path"]), delegate=delegate, threads=job["threads"]
    )
    backend.open()
    return backend


def _stated(specs: Sequence[TensorSpec], given: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
    """The specs with the quantisation that the manifest states, where the file has none."""
    made = []
    for position, spec in enumerate(specs):
        pair = given.get(spec.name) or given.get(str(position))
        if pair and spec.quantisation is None:
            made.append(replace(spec, quantisation=Quantisation((pair[0],), (pair[1],))))
        else:
            made.append(spec)
    return tuple(made)


def _shaped(case: Array, spec: TensorSpec) -> Array:
    """One case in the tensor's shape, its batch axis back; open dimensions take the case's."""
    if None not in spec.shape:
        wanted = tuple(size or 0 for size in spec.shape)
        if case.size != np.prod(wanted, dtype=int) or _axes(case.shape) != _axes(wanted):
            raise ConfigError(f"input '{spec.name}' is {wanted}, the cases have {case.shape}")
        return case.reshape(wanted)
    whole = case[None] if len(spec.shape) == case.ndim + 1 else case
    if len(spec.shape) != whole.ndim or any(
        size not in (None, given) for size, given in zip(spec.shape, whole.shape, strict=True)
    ):
        raise ConfigError(f"input '{spec.name}' is {spec.shape}, the cases have {case.shape}")
    return whole


def _axes(shape: tuple[int, ...]) -> list[int]:
    """The dimensions that hold more than one value: NHWC must not pass for NCHW."""
    return [size for size in shape if size != 1]


def _run_all(
    backend: Backend, specs: Sequence[TensorSpec], rows: Rows, out: Path, tell: Tell
) -> list[bool]:
    """Run every case from a fresh state, and write the real outputs by position.

    A batch axis of 1 is left away; gives which outputs have one.
    """
    held: list[Array] = []
    batched: list[bool] = []
    told = time.monotonic()
    for case in range(len(rows)):
        backend.reset()
        found = backend.run(rows[case])
        for position, (raw, spec) in enumerate(zip(found, specs, strict=True)):
            real = dequantise(raw, spec)
            if case == 0:
                batched.append(real.shape[:1] == (1,))
                shape = real.shape[1:] if batched[position] else real.shape
                held.append(np.empty((len(rows), *shape), np.float32))
            shape = held[position].shape[1:]
            if real.shape != ((1, *shape) if batched[position] else shape):
                raise ConfigError(
                    f"output '{spec.name}' is {real.shape} for case {case}, it was {shape} before"
                )
            held[position][case] = real.reshape(shape)
        if time.monotonic() - told > _TELL_S:
            told = time.monotonic()
            tell({"progress": [case + 1, len(rows), "cases run"]})
    with out.open("wb") as file:
        np.savez(file, *held)
    return batched


def _timed(backend: Backend, few: Rows, job: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    """Milliseconds of every timed call, and those of the other file in turns with it."""
    turns = [(backend, few)]
    if job["beside"]:
        other = {**job, **job["beside"]}
        second = _opened(other)
        turns.append((second, Rows(second, Path(other["few"]), other["input_quantisation"])))
    blocks: list[list[list[float]]] = [[] for _ in turns]
    for one, rows in turns:
        _block(one, rows, WARM_UP)
    end = time.monotonic() + job["seconds"]
    told = time.monotonic()
    while len(blocks[0]) * BLOCK < job["calls"] and (not blocks[0] or time.monotonic() < end):
        for place, (one, rows) in enumerate(turns):
            blocks[place].append(_block(one, rows, BLOCK))
        if time.monotonic() - told > _TELL_S:
            told = time.monotonic()
            tell({"progress": [len(blocks[0]) * BLOCK, job["calls"], "calls timed"]})
    return {"own": blocks[0], "beside": blocks[1] if job["beside"] else []}


def _block(backend: Backend, rows: Rows, calls: int) -> list[float]:
    """Milliseconds of each call; what readies a row is not timed."""
    clock, took = time.perf_counter_ns, []
    for call in range(calls):
        row = rows[call % len(rows)]
        started = clock()
        backend.run(row)
        took.append((clock() - started) / 1e6)
    return took


def memory_mb(key: str) -> float:
    """VmRSS (resident now) or VmHWM (the most so far) of this process in MB, as Linux counts."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


if __name__ == "__main__":
    main()
