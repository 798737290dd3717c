"""The process that `bench` starts for one combination: loads it, then runs rounds when told.

Orders come as JSON lines on standard input, answers go as JSON lines to standard output; the end
of the orders ends the process. The first order says what to load, each further one is a round.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime import registry
from edge_runtime.errors import BadOptionError, EdgeRunError, ModelLoadError
from edge_runtime.frame import Array
from edge_runtime.interfaces import Backend, TensorSpec
from edge_runtime.preprocess.quantise import quantise

WARM_UP = 3  # the first runs allocate and fill caches
MAX_CALLS = 20_000  # in a round: keeps an answer below a megabyte
SEED = 20


def main() -> None:
    """Serve orders until there are no more."""
    order = json.loads(sys.stdin.readline())
    try:
        backend, tensors, facts = load(order)
    except (EdgeRunError, BadOptionError) as exc:
        _answer({"refused": str(exc)})
        return
    _answer(facts)
    for line in sys.stdin:
        order = json.loads(line)
        try:
            _answer(play(backend, tensors, order["seconds"], order["rate_hz"]))
        except EdgeRunError as exc:
            _answer({"refused": str(exc)})


def _answer(facts: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def load(order: Mapping[str, Any]) -> tuple[Backend, list[list[Array]], dict[str, object]]:
    """An open, warm backend, the inputs to give it in turn, and what loading took."""
    shapes = {  # an input named by its position is shaped by what it is given
        item["name"]: tuple(item["shape"])
        for item in order["inputs"]
        if item["shape"] and not item["name"].isdigit()
    }
    make = registry.find("backend", order["kind"])
    started = time.perf_counter()
    backend: Backend = make(
        path=Path(order["path"]),
        delegate=order["delegate"],
        threads=order["threads"],
        shapes=shapes,
    )
    backend.open()
    load_ms = (time.perf_counter() - started) * 1e3
    tensors, kind = _inputs(backend, order)
    for turn in range(WARM_UP):
        backend.run(tensors[turn % len(tensors)])
    facts: dict[str, object] = {
        "load_ms": load_ms,
        "rss_mb": rss_mb(),
        "input": kind,
        "runtime": getattr(backend, "runtime", ""),
    }
    return backend, tensors, facts


def play(
    backend: Backend, tensors: Sequence[list[Array]], seconds: float, rate_hz: float
) -> dict[str, object]:
    """One round: wall time of each call in ms, CPU time of all, memory after."""
    wall_ns: list[int] = []
    pause = threading.Event()  # never set: waits without burning time
    clock, run, count = time.perf_counter_ns, backend.run, len(tensors)
    cpu_started, started = time.process_time_ns(), clock()
    end = started + int(seconds * 1e9)
    while (now := clock()) < end and len(wall_ns) < MAX_CALLS:
        run(tensors[len(wall_ns) % count])
        wall_ns.append(clock() - now)
        if rate_hz:
            due = started + int(len(wall_ns) * 1e9 / rate_hz)
            pause.wait(max(0.0, (due - clock()) / 1e9))
    cpu_ns = time.process_time_ns() - cpu_started
    return {
        "wall_ms": [round(value / 1e6, 5) for value in wall_ns],
        "cpu_ms": cpu_ns / 1e6,
        "rss_mb": rss_mb(),
    }


def rss_mb() -> float:
    """Resident memory of this process in MB (10^6 bytes), as Linux counts it."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def _inputs(backend: Backend, order: Mapping[str, Any]) -> tuple[list[list[Array]], str]:
    """Golden inputs when there are any that fit, else seeded random ones in each one's range."""
    if order["golden"] and (cases := _golden(backend, Path(order["golden"]))):
        return cases, "golden"
    random = np.random.default_rng(SEED)
    entries = {item["name"]: item for item in order["inputs"]}
    row = [
        _random(spec, entries.get(spec.name) or entries.get(str(position)) or {}, random)
        for position, spec in enumerate(backend.inputs)
    ]
    return [row], "random"


def _golden(backend: Backend, path: Path) -> list[list[Array]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = [_array(file, spec, position) for position, spec in enumerate(backend.inputs)]
    except (OSError, ValueError, EOFError, KeyError):
        return []
    return [
        [
            case if str(case.dtype) == spec.dtype else quantise(case, spec)
            for case, spec in zip(row, backend.inputs, strict=True)
        ]
        for row in zip(*arrays, strict=False)
    ]


def _array(file: Mapping[str, Array], spec: TensorSpec, position: int) -> Array:
    name = f"input/{spec.name}"
    array: Array = file[name if name in file else f"input/{position}"]
    return array


def _random(spec: TensorSpec, entry: Mapping[str, Any], random: np.random.Generator) -> Array:
    shape = tuple(entry.get("shape") or [size or 1 for size in spec.shape])
    if None in spec.shape[1:] and not entry.get("shape"):
        raise ModelLoadError(
            f"input '{spec.name}' has open dimensions {spec.shape}: give its `shape` in a manifest"
        )
    kind = entry.get("kind", "")
    if kind == "constant":
        constant: Array = np.zeros(shape, spec.dtype)
        constant[...] = entry["value"] if shape else entry["value"][0]
        return constant
    if kind == "state":
        return np.zeros(shape, spec.dtype)
    if spec.quantisation or spec.dtype in ("int8", "uint8"):
        limits = np.iinfo(np.dtype(spec.dtype))
        whole = random.integers(limits.min, limits.max, shape, spec.dtype, endpoint=True)
        return np.asarray(whole, spec.dtype)
    if kind == "image":
        pixels = random.integers(0, 255, shape, endpoint=True)
        mean, std = _per_channel(entry, "mean", len(shape)), _per_channel(entry, "std", len(shape))
        return np.asarray((pixels - mean) / std, dtype=spec.dtype)
    if np.issubdtype(np.dtype(spec.dtype), np.floating):
        return random.standard_normal(shape).astype(spec.dtype)
    return np.zeros(shape, spec.dtype)


def _per_channel(entry: Mapping[str, Any], key: str, dimensions: int) -> Array:
    """Mean or std, shaped to meet the channel axis."""
    values = np.asarray(entry[key], dtype=np.float64)
    channels = 1 if entry["layout"] == "NCHW" else dimensions - 1
    return values.reshape([-1 if axis == channels else 1 for axis in range(dimensions)])


if __name__ == "__main__":
    main()
