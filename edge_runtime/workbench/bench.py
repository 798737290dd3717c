"""How fast a model file runs here: a process of its own for every way to run it.

Each combination of weights file, delegate and threads is loaded in a fresh process, so that its
memory is its own and a crash ends nothing else. The processes take turns in short rounds: what
disturbs the machine for a while disturbs all of them alike.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from edge_runtime.backends import DELEGATES, Format, format_of
from edge_runtime.errors import ConfigError
from edge_runtime.manifest import Manifest

ROUNDS = 5
NEED_A_LIBRARY = frozenset({"gpu", "external"})  # whose name only a run file can give
WORKER = "edge_runtime.workbench.bench_worker"


@dataclass(frozen=True, slots=True)
class Combination:
    """One way to run a model."""

    path: Path
    delegate: str
    threads: int


@dataclass(slots=True)
class Measurement:
    """What one combination took. Times in milliseconds; empty `calls` when it could not run."""

    file: str
    delegate: str
    threads: int
    unavailable: str = ""  # why it cannot run here
    input: str = ""  # "golden" or "random"
    runtime: str = ""
    load_ms: float = 0.0
    rss_load_mb: float = 0.0  # resident memory of the whole process, after loading
    rss_run_mb: float = 0.0  # and after the last round
    calls: int = 0
    min_ms: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    cpu_ms: float = 0.0  # CPU time of all threads, per call
    _wall_ms: list[float] = field(default_factory=list, repr=False)
    _cpu_total_ms: float = 0.0

    def add(self, answer: Mapping[str, Any]) -> None:
        """Take in one round."""
        self._wall_ms += answer["wall_ms"]
        self._cpu_total_ms += answer["cpu_ms"]
        self.rss_run_mb = answer["rss_mb"]

    def summarise(self) -> None:
        """Work out the figures, once all rounds are in."""
        wall = sorted(self._wall_ms)
        self.calls = len(wall)
        if wall:
            self.min_ms, self.p50_ms = wall[0], wall[len(wall) // 2]
            self.p99_ms = wall[min(len(wall) - 1, int(len(wall) * 0.99))]
            self.cpu_ms = self._cpu_total_ms / len(wall)

    def facts(self) -> dict[str, object]:
        """For JSON: every public field."""
        return {key: value for key, value in asdict(self).items() if not key.startswith("_")}


def combinations(
    path: Path,
    manifest: Manifest | None,
    delegates: Sequence[str] = (),
    threads: Sequence[int] = (1,),
) -> list[Combination]:
    """Every way to run a bare file, or the files of a manifest. Raises ConfigError, ModelLoadError.

    Args:
        path: a model directory or a bare file.
        manifest: that of the directory; None for a bare file without one.
        delegates: only these; when empty, all of the format that need no library named.
        threads: for each delegate.
    """
    if path.is_dir() and manifest is not None:
        files = [manifest.path(entry) for entry in manifest.file]
    else:
        files = [path]
    formats = {file: format_of(file) for file in files}
    _check_names(delegates, set(formats.values()))
    return [
        Combination(file, delegate, count)
        for file, kind in formats.items()
        for delegate in DELEGATES[kind]
        if delegate in (delegates or set(DELEGATES[kind]) - NEED_A_LIBRARY)
        for count in threads
    ]


def machine() -> dict[str, object]:
    """Where the figures are from: processor, its cores, system."""
    return {"cpu": _processor(), "cores": os.cpu_count(), "system": platform.platform(terse=True)}


def _processor() -> str:
    """The name in /proc/cpuinfo (x86) or the device tree (Arm boards), else the architecture."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        for line in text.splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
        return Path("/proc/device-tree/model").read_text(encoding="utf-8").strip("\0\n ")
    except (OSError, UnicodeDecodeError):
        return platform.machine()


def _check_names(delegates: Sequence[str], formats: set[Format]) -> None:
    known = {name for kind in formats for name in DELEGATES[kind]}
    for name in delegates:
        if name not in known:
            raise ConfigError(f"no delegate '{name}' for this model; there are: {_listed(known)}")


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))


def measure(
    ways: Sequence[Combination], manifest: Manifest | None, seconds: float, rate_hz: float
) -> Iterator[Measurement | None]:
    """Load every combination, then run them in turns; gives None at each step, for progress.

    The measurements come last, in the order of `ways`: `len(ways) * (ROUNDS + 1)` times None, or
    fewer when some cannot run, and then one measurement for each.

    Args:
        ways: what to run.
        manifest: gives shapes, ranges and golden inputs.
        seconds: for each combination, over all rounds.
        rate_hz: calls per second, waiting in between as a stream does; 0 runs without a pause.
    """
    with ExitStack() as stack:
        workers: list[Worker] = []
        refused: dict[tuple[Path, str], str] = {}  # more threads change nothing about these
        for way in ways:
            worker = Worker(way, manifest)
            worker.measurement.unavailable = refused.get((way.path, way.delegate), "")
            if not worker.measurement.unavailable:
                stack.callback(worker.close)
                worker.load()
                refused[way.path, way.delegate] = worker.measurement.unavailable
            workers.append(worker)
            yield None
        for _ in range(ROUNDS):
            for worker in workers:
                if not worker.measurement.unavailable:
                    worker.run(seconds / ROUNDS, rate_hz)
                yield None
        for worker in workers:
            worker.measurement.summarise()
            yield worker.measurement


class Worker:
    """A process that holds one combination; it waits while the others run."""

    def __init__(self, way: Combination, manifest: Manifest | None) -> None:
        self.measurement = Measurement(way.path.name, way.delegate, way.threads)
        self._way = way
        self._manifest = manifest
        self._process: subprocess.Popen[str] | None = None

    def load(self) -> None:
        """Start the process and let it load the model; a refusal is kept in the measurement."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        answer = self._ask(_order(self._way, self._manifest))
        if answer:
            for key in ("load_ms", "input", "runtime"):
                setattr(self.measurement, key, answer[key])
            self.measurement.rss_load_mb = answer["rss_mb"]

    def run(self, seconds: float, rate_hz: float) -> None:
        """One round; what ends it is kept in the measurement."""
        answer = self._ask({"seconds": seconds, "rate_hz": rate_hz})
        if answer:
            self.measurement.add(answer)

    def _ask(self, order: Mapping[str, object]) -> dict[str, Any] | None:
        """Send an order, read the answer; None when there is none or it is a refusal."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise RuntimeError("the worker is not running")
        answer = _exchange(process.stdin, process.stdout, order)
        if answer is None:
            self.measurement.unavailable = _death(process.wait())
        elif "refused" in answer:
            self.measurement.unavailable = answer["refused"]
            return None
        return answer

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


def _exchange(
    orders: IO[str], answers: IO[str], order: Mapping[str, object]
) -> dict[str, Any] | None:
    try:
        orders.write(json.dumps(order) + "\n")
        orders.flush()
    except BrokenPipeError:
        return None
    line = answers.readline()
    return json.loads(line) if line.endswith("\n") else None


def _death(code: int) -> str:
    if code < 0:
        return f"its process was ended by {signal.Signals(-code).name}: the runtime crashed on it"
    return f"its process ended with code {code}"


def _order(way: Combination, manifest: Manifest | None) -> dict[str, object]:
    golden = manifest.directory / manifest.golden.file if manifest and manifest.golden else ""
    return {
        "kind": format_of(way.path),
        "path": str(way.path),
        "delegate": way.delegate,
        "threads": way.threads,
        "golden": str(golden),
        "inputs": [asdict(entry) for entry in manifest.input] if manifest else [],
    }
