"""Many lives on several cores, until enough different states were checked; can be interrupted.

    python -m tests.crash.campaign --states 1000000 --report crash-states.jsonl

Exit 1 when any state broke a promise. A report of the same code is continued.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from .recorder import build, environment

ROOT = Path(__file__).resolve().parents[2]
CHUNK = 2  # seeds of one process


class Campaign:
    """Explores seeds from 0 on until `wanted` states are seen; `lines` are the tallies by seed."""

    explorer = "tests.crash.explore"

    def __init__(
        self, wanted: int, words: tuple[str, ...] = (), report: Path | None = None
    ) -> None:
        self.wanted = wanted
        self.seconds = 0.0
        self._words = words
        self._report = report
        self._lock = threading.Lock()
        self.lines = self._known()
        self._chunks = itertools.count(0, CHUNK)
        self._error = ""

    @staticmethod
    def fingerprint() -> str:
        """Of the outbox and of what tries it."""
        here, outbox = Path(__file__).parent, ROOT / "edge_runtime" / "outbox"
        files = sorted([*outbox.glob("*.py"), *here.glob("*.py"), here / "recorder.c"])
        return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()

    def total(self, what: str) -> int:
        with self._lock:
            return sum(line[what] for line in self.lines.values())

    @property
    def violations(self) -> list[str]:
        return [text for line in self.lines.values() for text in line["violations"]]

    def run(self, jobs: int) -> None:
        """Raises RuntimeError when a process of it ended with an error."""
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            shim = build(Path(folder))
            lanes = [threading.Thread(target=self._lane, args=(shim,)) for _ in range(jobs)]
            for lane in lanes:
                lane.start()
            for lane in lanes:
                lane.join()
        self.seconds = time.monotonic() - started
        if self._error:
            raise RuntimeError(self._error)

    def summary(self) -> str:
        rate = self.total("states") / self.seconds if self.seconds else 0.0
        return (
            f"{self.total('states'):,} states after {self.total('points'):,} operations, "
            f"{self.total('checks'):,} checks, {len(self.violations):,} violations, {rate:,.0f} "
            "states/s"
        )

    def _lane(self, shim: Path) -> None:
        while not self._error and self.total("states") < self.wanted:
            with self._lock:
                first = next(self._chunks)
            if all(seed in self.lines for seed in range(first, first + CHUNK)):
                continue
            command = [sys.executable, "-m", self.explorer,
                       "--seeds", f"{first}:{first + CHUNK}", *self._words]  # fmt: skip
            done = subprocess.run(
                command, cwd=ROOT, env=environment(shim), capture_output=True, text=True
            )
            if done.returncode:
                self._error = f"seeds {first} to {first + CHUNK - 1}: {done.stderr[-2000:]}"
            self._keep([json.loads(line) for line in done.stdout.splitlines()])

    def _keep(self, lines: list[dict[str, Any]]) -> None:
        with self._lock:
            self.lines |= {line["seed"]: line for line in lines}
            if self._report:
                with self._report.open("a") as file:
                    file.writelines(json.dumps(line) + "\n" for line in lines)
        if self._report:
            print(f"\r{self.total('states'):,} of {self.wanted:,} states, "
                  f"{len(self.violations)} violations", end="", flush=True)  # fmt: skip

    def _known(self) -> dict[int, dict[str, Any]]:
        """What a report of the same code and words holds already; otherwise it is begun anew."""
        if self._report is None:
            return {}
        head = json.dumps({"code": self.fingerprint(), "words": self._words})
        text = self._report.read_text().splitlines() if self._report.exists() else []
        if not text or text[0] != head:
            self._report.write_text(head + "\n")
            return {}
        return {line["seed"]: line for line in map(json.loads, text[1:])}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--states", type=int, default=1_000_000)
    parser.add_argument("--report", type=Path, default=Path("crash-states.jsonl"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--faults", action="store_true", help="operations fail, too")
    options = parser.parse_args()
    campaign = Campaign(options.states, ("--faults",) * options.faults, options.report)
    campaign.run(options.jobs)
    print(f"\n{campaign.summary()}")
    print("\n".join(campaign.violations[:20]))
    return 1 if campaign.violations else 0


if __name__ == "__main__":
    sys.exit(main())
