"""A day of ECG through a real pipeline in minutes: does it stay flat, true and complete?

    python benchmarks/endurance.py --hours 24 --json build/endurance.json

`edge-run replay` serves an ECG over TCP with a gap and a fallen electrode every hour and a sample
clock that swings by 0.5 %. A pipeline (source `tcp`, resample, bandpass, beats, the shipped model,
monitor `rhythm`, sink `jsonl`) takes it as fast as it can. Its process has a clock of its own,
which stands at the time of the last sample that has arrived, with the jitter of a network: 2 ms
in the mean, 0.1 to 0.4 s once in two hundred times. So every time that it publishes is one of a
whole day, and does not hang on how busy this machine is. What arrives is held back while more
than 32 frames wait, as it never would be at real speed.

Measured: memory, descriptors and threads by the hour; the time of every beat against the truth
file, by ten minutes; which true beats have no result, and whether a fault explains it; whether
every fault was told. Exit 1 when one of the limits below is not kept.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from time import process_time, sleep

import numpy as np

MATCH_S = 0.15
AFTER_FAULT_S = 8.0  # filters settle, the detector learns
BEFORE_FAULT_S = 1.5  # a beat whose window the fault cuts off
BIN_S = 600.0
MOST_WAITING = 32
START_NS = 1_800_000_000_000_000_000  # when the day begins
WRAP_US = 1 << 32
# What must hold.
MOST_RSS_GROWTH_KB_PER_HOUR = 100.0
MOST_DRIFT_MS_PER_HOUR = 1.0
MOST_MEDIAN_MS = 15.0
MOST_UNEXPLAINED = 0.001  # of all beats
FAULTS = ("gap@700+2/3600", "lead-off@1900+5/3600", "drift=0.5%")
RUN_FILE = """\
name = "endurance"
device = "bench"
[model]
path = "ecg-beats"
[capture]
mailbox = 64
[[source]]
kind = "tcp"
name = "chest"
port = {port}
rate_hz = 360.0
mv_per_count = 0.001
t_us_column = 0
silence_s = 0.0
[[step]]
kind = "resample"
rate_hz = 250.0
[[step]]
kind = "bandpass"
low_hz = 0.5
high_hz = 40.0
[[step]]
kind = "beats"
[[monitor]]
kind = "rhythm"
evidence_s = 0.0
[[sink]]
kind = "jsonl"
path = "{results}"
"""


# --- the pipeline, in a process whose time is that of the signal


class Clock:
    """Stands at the arrival of the last line that was handed over."""

    def __init__(self) -> None:
        self.elapsed_ns = 0
        self._t_us = self._signal_us = 0
        self._random = np.random.default_rng(1)

    def arrived(self, line: bytes) -> None:
        """A line "t_us,..." has come, a little late."""
        t_us = int(line.partition(b",")[0])
        self._signal_us += (t_us - self._t_us) % WRAP_US
        self._t_us = t_us
        late_s = self._random.exponential(0.002)
        if self._random.random() < 0.005:
            late_s += self._random.uniform(0.1, 0.4)
        self.elapsed_ns = max(self.elapsed_ns, self._signal_us * 1000 + round(late_s * 1e9))

    def install(self) -> None:
        """For everything in this process that asks for the time."""
        time.monotonic_ns = lambda: 1_000_000_000 + self.elapsed_ns
        time.monotonic = lambda: time.monotonic_ns() / 1e9
        time.time_ns = lambda: START_NS + self.elapsed_ns
        time.time = lambda: time.time_ns() / 1e9


class Slices:
    """Hands over what a connection has in pieces of 20 to 60 lines, and moves the clock."""

    def __init__(self, clock: Clock, receive: Callable, busy: Callable[[], bool]) -> None:
        self._clock, self._receive, self._busy = clock, receive, busy
        self._held = b""
        self._random = np.random.default_rng(2)

    def __call__(self, client: object, timeout_s: float) -> list[bytes]:
        """What `TcpClient.receive` gives."""
        while self._busy():
            sleep(0.0005)
        if self._held.count(b"\n") < 60:
            pieces = self._receive(client, timeout_s)
            self._held += b"".join(pieces)
        lines = self._held.split(b"\n", int(self._random.integers(20, 60)))
        *whole, self._held = lines
        if not whole:
            return []
        self._clock.arrived(whole[-1])
        return [b"\n".join(whole) + b"\n"]


def run_pipeline(run_file: str) -> None:
    """Run until SIGTERM; a line of JSON about the process twice a second."""
    clock = Clock()
    clock.install()
    from edge_runtime import build, config
    from edge_runtime.cli.start import SWITCH_INTERVAL_S, stop_on_signals, summary
    from edge_runtime.sources.streams.network import TcpClient

    sys.setswitchinterval(SWITCH_INTERVAL_S)
    pipeline = build.pipeline(config.load(Path(run_file)))
    (lane,) = pipeline.capture.lanes
    slices = Slices(clock, TcpClient.receive, lambda: len(lane.mailbox) > MOST_WAITING)
    TcpClient.receive = lambda client, timeout_s: slices(client, timeout_s)  # noqa: PLW0108
    stop_on_signals(pipeline)
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            print(json.dumps(facts(clock.elapsed_ns / 1e9)), flush=True)

    threading.Thread(target=watch, daemon=True).start()
    pipeline.run()
    over.set()
    print(summary(pipeline), file=sys.stderr)


def facts(signal_s: float) -> dict[str, float]:
    """Memory, descriptors, threads and processor time of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "signal_s": signal_s,
        "rss_kb": pages * os.sysconf("SC_PAGE_SIZE") / 1000,
        "descriptors": len(list(Path("/proc/self/fd").iterdir())) - 1,
        "threads": threading.active_count(),
        "cpu_s": process_time(),
    }


# --- what came out


def judge(results: Path, truth: Path) -> dict:
    """Hold the beats of the results against those of the truth."""
    lines = [json.loads(line) for line in truth.read_text().splitlines()]
    true = np.array([line["time_s"] for line in lines if line["what"] == "beat"])
    faults = spans([line for line in lines if line["what"] == "fault"])
    found, silences = read_results(results)
    nearest = np.clip(np.searchsorted(true, found), 1, len(true) - 1)
    nearest -= found - true[nearest - 1] < true[nearest] - found
    error = found - true[nearest]
    right = np.abs(error) <= MATCH_S
    missed = np.setdiff1d(np.arange(len(true)), nearest[right])
    near = [
        any(b - BEFORE_FAULT_S <= true[at] <= e + AFTER_FAULT_S for _, b, e in faults)
        or true[at] < AFTER_FAULT_S
        or true[at] > true[-1] - BEFORE_FAULT_S
        for at in missed
    ]
    bins = (found[right] / BIN_S).astype(int)
    medians = [1000 * float(np.median(error[right][bins == b])) for b in np.unique(bins)]
    hours = (np.unique(bins) + 0.5) * BIN_S / 3600
    slope = float(np.polyfit(hours, medians, 1)[0]) if len(hours) > 2 else 0.0
    told = sum(any(b - 1 <= at <= e + 3 for at in silences) for _, b, e in faults)
    return {
        "beats_true": len(true),
        "beats_found": len(found),
        "beats_right": int(right.sum()),
        "beats_missed": len(missed),
        "beats_missed_unexplained": len(missed) - sum(near),
        "beats_extra": int((~right).sum()),
        "error_median_ms": 1000 * float(np.median(error[right])),
        "error_sd_ms": 1000 * float(error[right].std()),
        "bin_medians_ms": [min(medians), max(medians)],
        "drift_ms_per_hour": slope,
        "faults": len(faults),
        "faults_told": told,
    }


def spans(lines: list[dict]) -> list[tuple[str, float, float]]:
    """Faults that come and go: kind, begin, end."""
    begun: dict[str, float] = {}
    made = []
    for line in lines:
        if line["phase"] == "begin":
            begun[line["fault"]] = line["time_s"]
        elif line["fault"] in begun:
            made.append((line["fault"], begun.pop(line["fault"]), line["time_s"]))
    return made


def read_results(path: Path) -> tuple[np.ndarray, list[float]]:
    """Times of beats, and of what tells a fault: a state, a rule that cannot judge; seconds."""
    from edge_runtime.parse_outcome import time_ns

    beats, silences = [], []
    with path.open() as file:
        for line in file:
            whole = json.loads(line)
            result = whole["result"]
            if whole.get("source_state"):  # a result from just after a fault says so
                silences.append(whole["timestamp"])
            beats += [beat["timestamp"] for beat in result.get("beats", ())]
            events = result.get("events", ())
            silences += [one["onset"] for one in events if one["phase"] == "cannot-say"]
    seconds = [[(time_ns(stamp) - START_NS) / 1e9 for stamp in of] for of in (beats, silences)]
    return np.sort(seconds[0]), seconds[1]


def growth(samples: list[dict], seconds: float) -> dict:
    """What the process held, after the first tenth; memory as a line fitted to it."""
    kept = [one for one in samples if 0.1 * seconds < one["signal_s"] < seconds - 60]
    hours = np.array([sample["signal_s"] for sample in kept]) / 3600
    rss = np.array([sample["rss_kb"] for sample in kept])
    return {
        "rss_mb": [float(rss.min()) / 1000, float(rss.max()) / 1000],
        "rss_growth_kb_per_hour": float(np.polyfit(hours, rss, 1)[0]) if len(kept) > 2 else 0.0,
        "descriptors": sorted({sample["descriptors"] for sample in kept}),
        "threads": sorted({sample["threads"] for sample in kept}),
        "cpu_share_of_signal": kept[-1]["cpu_s"] / kept[-1]["signal_s"],
    }


def verdict(found: dict) -> list[str]:
    """What does not hold."""
    worst = max(map(abs, found["bin_medians_ms"]))
    unexplained = found["beats_missed_unexplained"] / found["beats_true"]
    checks = (
        ("memory grows", found["rss_growth_kb_per_hour"] > MOST_RSS_GROWTH_KB_PER_HOUR),
        ("descriptors change", len(found["descriptors"]) > 1),
        ("beat times drift", abs(found["drift_ms_per_hour"]) > MOST_DRIFT_MS_PER_HOUR),
        ("beat times are off", worst > MOST_MEDIAN_MS),
        ("beats are lost without a reason", unexplained > MOST_UNEXPLAINED),
        ("a fault was not told", found["faults_told"] < found["faults"]),
        ("bytes were lost by the bench", found["lost_bytes"] > 0),
    )
    return [name for name, broken in checks if broken]


# --- the bench


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--keep", type=Path, help="folder for results and truth")
    parser.add_argument("--pipeline", metavar="RUN.toml", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.pipeline:
        run_pipeline(options.pipeline)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        found = bench(folder, options.hours)
    broken = verdict(found)
    for name, value in found.items():
        print(f"{name:26} {value}")
    print("FAILED: " + "; ".join(broken) if broken else "all limits hold")
    if options.json:
        options.json.write_text(json.dumps({**found, "broken": broken}, indent=2, default=float))
    sys.exit(bool(broken))


def bench(folder: Path, hours: float) -> dict:
    """Run the replay and the pipeline; give every figure."""
    truth, results = folder / "truth.jsonl", folder / "results.jsonl"
    results.unlink(missing_ok=True)
    replay = subprocess.Popen(
        [
            *(sys.executable, "-m", "edge_runtime", "--log", "warning", "replay"),
            *(f"ecgsyn:{hours * 3600:g}", "--to", "tcp://127.0.0.1:0", "--as", "timed-lines"),
            *("--speed", "max", "--truth", str(truth)),
            *(word for fault in FAULTS for word in ("--fault", fault)),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    port = replay.stdout.readline().strip().rpartition(":")[2]
    run_file = folder / "run.toml"
    run_file.write_text(RUN_FILE.format(port=port, results=results))
    began = time.monotonic()
    command = [sys.executable, __file__, "--pipeline", str(run_file)]
    pipeline = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    samples: list[dict] = []
    reader = threading.Thread(target=lambda: samples.extend(map(json.loads, pipeline.stdout)))
    reader.start()
    threading.Thread(target=stop_at_end, args=(results, replay, pipeline), daemon=True).start()
    try:
        if pipeline.wait() or replay.wait(60):
            raise SystemExit("the pipeline or the replay failed")
    finally:
        pipeline.kill()
        replay.kill()
    reader.join()
    end = json.loads(truth.read_text().splitlines()[-1])
    wall_s = time.monotonic() - began
    found = {"hours": hours, "wall_s": wall_s, "speed": 3600 * hours / wall_s}
    found |= {"samples": end["samples"], "lost_bytes": end["lost_bytes"]}
    return found | growth(samples, 3600 * hours) | judge(results, truth)


def stop_at_end(results: Path, replay: subprocess.Popen, pipeline: subprocess.Popen) -> None:
    """Stop the pipeline once the replay waits for it to close and nothing more is written."""
    size, still = -1, 0
    while pipeline.poll() is None:
        time.sleep(1.0)
        now = results.stat().st_size if results.exists() else 0
        still = still + 1 if now == size and now else 0
        size = now
        if still >= 5 or replay.poll() is not None:
            pipeline.send_signal(signal.SIGTERM)
            return


if __name__ == "__main__":
    main()
