"""F19: damaged models by the thousand, loaded and run in the gate's sandbox.

    python -m tests.update.gate.mutants --count 100000 --state /tmp/mutants

Each mutant has the right hash (the manifest states none here), so that the loaders see it. A child
takes a batch of them in turn; one that dies or hangs is counted, and a new child goes on behind
it. The state folder holds the tally: the same command again goes on where it stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from . import hostile

BASES = (
    (hostile.HALF, "half_plus_two.tflite", "xnnpack"),
    (hostile.HALF, "half_plus_two.onnx", "cpu"),
    (hostile.SHAPES, "shapes_int8.tflite", "xnnpack"),
    (hostile.SHAPES, "shapes_int8.onnx", "cpu"),
    (hostile.BEATS, "ecg-beats-int8.tflite", "cpu"),
    (hostile.BEATS, "ecg-beats-int8.onnx", "cpu"),
)
BATCH = 200
PATIENCE_S = 15.0  # for one mutant, on a busy machine
_EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutant(data: bytes, seed: int) -> bytes:
    """The same bytes, damaged in one of seven ways, as the seed says."""
    chance = random.Random(seed)
    out, size = bytearray(data), len(data)
    at = chance.randrange(size if chance.random() < 0.5 else min(size, 512))
    length = min(chance.choice((1, 2, 4, 16, 64, 256)), size - at)
    kind = chance.randrange(7)
    if kind == 0:
        for _ in range(chance.choice((1, 1, 2, 8, 64))):
            out[chance.randrange(size)] ^= 1 << chance.randrange(8)
    elif kind == 1:
        out[at : at + length] = chance.randbytes(length)
    elif kind == 2:
        at -= at % 4
        out[at : at + 4] = chance.choice(_EXTREMES).to_bytes(4, "little")
    elif kind == 3:
        out[at : at + length] = bytes(length)
    elif kind == 4:
        del out[at : at + length]
    elif kind == 5:
        out[at:at] = out[chance.randrange(size) :][:length]
    else:
        del out[at:]
    return bytes(out)


class Hunt:
    """Runs mutants first to last - 1, and counts what became of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for number, (base, _, _) in enumerate(BASES):
            place = folder / str(number)
            shutil.copytree(base, place, ignore=shutil.ignore_patterns("*.py", "*.svg", "*.md"))
            manifest = (place / "model.toml").read_text().splitlines()
            kept = [line for line in manifest if not line.startswith("sha256")]
            (place / "model.toml").write_text("\n".join(kept))
        self._data = [(base / name).read_bytes() for base, name, _ in BASES]

    def run(self, first: int, last: int) -> Counter[str]:
        tally: Counter[str] = Counter()
        while first < last:
            for seed, outcome in self._batch(first, min(first + BATCH, last)):
                tally[outcome] += 1
                first = seed + 1
        return tally

    def _batch(self, first: int, last: int) -> Iterator[tuple[int, str]]:
        """Outcomes in order; the last one may be the death of the child."""
        jobs = [self._job(seed) for seed in range(first, last)]
        child = subprocess.Popen(
            [sys.executable, "-B", "-m", "tests.update.gate.mutants", "--child", str(self._folder)],
            cwd=hostile.ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert child.stdin
        assert child.stdout
        try:
            child.stdin.write("".join(f"{job}\n" for job in jobs).encode())
            child.stdin.close()
            if _line(child.stdout.fileno()) != "ready":
                raise RuntimeError(f"the child does not start: {_death(child)}")
            for seed in range(first, last):
                if not select.select([child.stdout], [], [], PATIENCE_S)[0]:
                    yield seed, "time-out"
                    return
                line = _line(child.stdout.fileno())
                yield seed, line or _death(child)
                if not line:
                    return
        finally:
            with contextlib.suppress(ProcessLookupError):  # it died
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            child.stdout.close()

    def _job(self, seed: int) -> str:
        number = seed % len(BASES)
        path = self._folder / str(number) / str(seed % BATCH) / BASES[number][1]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(mutant(self._data[number], seed))
        return json.dumps([str(path), BASES[number][2]])


def _line(descriptor: int) -> str:
    """One line, read without a buffer so that select sees the next; "" at the end."""
    line = b""
    while (byte := os.read(descriptor, 1)) and byte != b"\n":
        line += byte
    return line.decode() if byte else ""


def _death(child: subprocess.Popen[bytes]) -> str:
    code = child.wait()
    return f"died: {signal.Signals(-code).name if code < 0 else f'exit {code}'}"


def child(folder: str) -> None:
    """Judge the mutants named on standard input, in the gate's sandbox."""
    from edge_runtime.update.gate.sandbox import Walls, enter

    jobs = sys.stdin.readlines()
    enter(Walls((folder, str(hostile.ROOT)), address_bytes=768 << 20, cpu_s=300))
    from edge_runtime.update.gate import trial_run  # noqa: F401 - so that only mutants can fail

    print("ready", flush=True)
    for job in jobs:
        path, delegate = json.loads(job)
        print(verdict(Path(path), delegate), flush=True)


def verdict(path: Path, delegate: str) -> str:
    """The check that refuses a mutant, or "harmless" when it computes what it should."""
    from edge_runtime.config import ModelConfig, Rung
    from edge_runtime.errors import ConfigError, ModelLoadError
    from edge_runtime.update.gate import trial_run

    config = ModelConfig(path, path.parents[1] / "model.toml", (Rung(delegate),), threads=1)
    try:
        model = trial_run.opened(config, "generic-x86-64")
    except (ConfigError, ModelLoadError):
        return "load"
    except MemoryError:
        return "memory"
    try:
        found = trial_run.proofs(model, trial_run.Watched(model.backend))
        return next((check.name for check in found if not check.passed), "harmless")
    finally:
        model.backend.close()


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--count", type=int, default=2000)
    asked.add_argument("--state", type=Path, default=Path("mutants"))
    asked.add_argument("--child", default="")
    words = asked.parse_args()
    if words.child:
        child(words.child)
        return
    words.state.mkdir(parents=True, exist_ok=True)
    record = words.state / "tally.json"
    tally = Counter(json.loads(record.read_text()) if record.exists() else {})
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=words.state) as folder:
        hunt = Hunt(Path(folder))
        while (done := tally.total()) < words.count:
            tally += hunt.run(done, min(done + BATCH, words.count))
            fresh = record.with_suffix(".new")
            fresh.write_text(json.dumps(tally))
            fresh.replace(record)
            print(f"{tally.total()} {dict(tally)} {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
