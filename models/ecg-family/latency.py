"""How long each file of a model directory takes here, by batch: warm up, N runs, the median.

    python models/ecg-family/latency.py models/ecg-edge --json models/ecg-edge/latency.json

Each file is loaded in a process of its own, with the device's own backend, on one thread unless
told. A file of batch 1 is run once for each window; one whose batch axis is open takes them at
once. The input is random.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from edge_runtime import manifest, registry
from edge_runtime.interfaces import Backend

BATCHES = (1, 8, 16, 32)


def main() -> None:
    options = _options()
    given = manifest.read(options.model)
    rows = []
    for entry in given.file:
        with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
            task = (given.path(entry), entry.format, options.threads, options.runs)
            for row in fresh.submit(measure, *task).result():
                rows.append({"file": entry.path, **row})
                print(json.dumps(rows[-1]), flush=True)
    if options.json:
        facts = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "rows": rows}
        facts |= {"threads": options.threads, "runs": options.runs}
        options.json.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def measure(path: Path, kind: str, threads: int, runs: int) -> list[dict[str, Any]]:
    """The figures of one file for each batch; resident memory is of all this process."""
    with closing(registry.find("backend", kind)(path=path, threads=threads)) as backend:
        backend.open()
        timed = [{"batch": size, **_timed(run, size, runs)} for size, run in _batches(backend)]
        memory = {"resident_mb": _resident_mb(), "size_bytes": path.stat().st_size}
    return [{**row, **memory} for row in timed]


def _batches(backend: Backend) -> Iterator[tuple[int, Callable[[], None]]]:
    """A batch's size, and what runs it."""
    random = np.random.default_rng(0)
    axis, *shape = backend.inputs[0].shape
    cases = random.normal(0, 0.3, (max(BATCHES), *shape)).astype(np.float32)
    for size in BATCHES:
        parts = [cases[:size]] if axis is None else [case[None] for case in cases[:size]]

        def run(parts: list[Any] = parts) -> None:
            for part in parts:
                backend.run([part])

        yield size, run


def _timed(run: Callable[[], None], batch: int, runs: int) -> dict[str, float]:
    """Warm up, run, and give the median, the fastest, and what the median makes a second."""
    for _ in range(max(3, runs // 10)):
        run()
    taken, busy = [], []
    for _ in range(runs):
        began, idle = time.perf_counter(), time.process_time()
        run()
        taken.append(time.perf_counter() - began)
        busy.append(time.process_time() - idle)
    median = statistics.median(taken)
    figures = {
        "median_ms": 1e3 * median,
        "fastest_ms": 1e3 * min(taken),
        "processor_ms": 1e3 * statistics.median(busy),  # without what other processes took
        "per_s": batch / median,
        "load": os.getloadavg()[0],
    }
    return {key: round(value, 3) for key, value in figures.items()}


def _resident_mb() -> float:
    """VmRSS of this process, as Linux counts."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in lines if line.startswith("VmRSS:"))
    return round(int(line.split()[1]) * 1024 / 1e6, 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="model directory")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
