"""What a change of the model costs a running pipeline: frames, results, latency.

    python -m benchmarks.hot_swap

`ecg`: two hours of a generated ECG as fast as it can be read, through resampler, filters, the
beat detector and `ecg-beats`; the beats are compared with those of a run without a change.
Latencies are of three such runs together: in `idle` and `committed` one model is alone, so what
lies between these two is other programs' doing.
`camera`: a live source of 320x240 pictures at 30 a second, and `shapes`. In both the model is
changed, by a shadow and a trial, for one with the same weights and another version.
"""

from __future__ import annotations

import itertools
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

from edge_runtime import build
from edge_runtime.capture import Capture
from edge_runtime.config import ModelConfig, from_table
from edge_runtime.frame import Info, Result
from edge_runtime.interfaces import Source
from edge_runtime.lane import Limits
from edge_runtime.pipeline import Pipeline
from edge_runtime.swap.evidence import percentile
from edge_runtime.swap.probation import Rules
from edge_runtime.swap.switch import Switch
from edge_runtime.tables import parse_toml
from edge_runtime.update.desk import StoreDesk
from edge_runtime.update.store import bundle
from edge_runtime.update.store.journal import Installed
from edge_runtime.update.store.store import Store

RUNS = 3
ROOT = Path(__file__).resolve().parent.parent
RULES = Rules(shadow_s=2.0, probation_s=5.0, probation_results=50)
ECG = """\
name = "ecg"
[model]
path = "ecg-beats"
[[source]]
kind = "ecgsyn"
seconds = {seconds}
pace = "flat"
[[step]]
kind = "resample"
rate_hz = 250.0
[[step]]
kind = "bandpass"
low_hz = 0.5
high_hz = 40.0
[[step]]
kind = "beats"
[[sink]]
kind = "console"
"""
CAMERA = """\
name = "camera"
[model]
path = "shapes"
[[source]]
kind = "shapes"
count = {count}
pace = "real"
rate_hz = 30.0
[[sink]]
kind = "console"
"""


class Kept:
    """A sink that keeps results and when they came; a new candidate is offered after some."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.states: list[tuple[str, int]] = []  # state of the update, results before it

    def open(self) -> None: ...

    def publish(self, result: Result) -> None:
        self.results.append(result)

    def announce(self, info: Info) -> None:
        if info.update:
            self.states.append((info.update.state, len(self.results)))

    def ready(self) -> bool:
        return True

    def close(self) -> None: ...


def run(text: str, folder: Path, *, change: bool, live: bool) -> tuple[Kept, Pipeline]:
    """One run; with `change` a candidate is offered after a second."""
    config = from_table(parse_toml(text, str(folder / "run.toml")), {})
    (folder / "update").mkdir(parents=True)
    store = Store(folder / "update", config.model.path)
    desk = StoreDesk(store, lambda path: build.model(ModelConfig(path)), require_approval=False)
    switch = Switch(live=build.model(ModelConfig(desk.open())), desk=desk, rules=RULES, hung=exit)
    sources: tuple[Source, ...] = build.sources(config)
    for source in sources:
        source.live = live
    kept = Kept()
    pipeline = Pipeline(
        capture=Capture(sources, Limits()),
        steps={source.name: build.steps(config) for source in sources},
        model=switch,
        sinks=[kept],
    )
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    time.sleep(1.0)
    if change:
        offer(store, config.model.path, folder / "new")
    thread.join()
    return kept, pipeline


def offer(store: Store, old: Path, new: Path) -> None:
    """The same model under another version, as far as a passed gate."""
    shutil.copytree(old, new, ignore=shutil.ignore_patterns("*.py", "*.svg", "__pycache__"))
    text = (new / "model.toml").read_text()
    lines = [
        'version = "9.0.0"' if line.startswith("version =") else line for line in text.split("\n")
    ]
    (new / "model.toml").write_text("\n".join(lines))
    part = new.with_suffix(".tar")
    release = Installed(bundle.pack(new, part), "new", "9.0.0", 1)
    store.fetching(release)
    part.rename(store.part(release.digest))
    store.stage(store.part(release.digest), release)
    store.validate("same weights")


def stages(kept: Kept) -> dict[str, list[float]]:
    """Milliseconds that the model took, by stage of the update."""
    marks = [*kept.states, ("", len(kept.results))]
    found: dict[str, list[float]] = {}
    for (state, first), (_, end) in itertools.pairwise(marks):
        for result in kept.results[first:end]:
            took = result.latency_ms
            model = took.preprocess + took.inference + took.postprocess
            found.setdefault(state, []).append(model)
    return found


def show(name: str, kept: Kept, pipeline: Pipeline, *others: Kept) -> None:
    counters = pipeline.counters
    (source,) = counters.sources.values()
    print(
        f"{name}: {source.read} frames read, {source.dropped} dropped, {counters.bad} bad, "
        f"{counters.results} results"
    )
    found: dict[str, list[float]] = {}
    for one in (kept, *others):
        for state, times in stages(one).items():
            found.setdefault(state, []).extend(times)
    for state, times in found.items():
        print(
            f"  {state:10} {len(times):6} results, model p50 {percentile(times, 0.5):7.3f} ms, "
            f"p99 {percentile(times, 0.99):7.3f} ms, max {max(times):7.3f} ms"
        )


def main() -> None:
    sys.setswitchinterval(0.0002)  # as `edge-run start` has it
    seconds, count = 7200, 600
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain, _ = run(ECG.format(seconds=seconds), folder / "plain", change=False, live=False)
        (kept, pipeline), *others = (
            run(ECG.format(seconds=seconds), folder / f"ecg-{number}", change=True, live=False)
            for number in range(RUNS)
        )
        show("ecg", kept, pipeline, *(other for other, _ in others))
        same = [one.timestamp_ns - plain.results[0].timestamp_ns for one in plain.results] == [
            one.timestamp_ns - kept.results[0].timestamp_ns for one in kept.results
        ]
        print(f"  beats without a change: {len(plain.results)}, with: {len(kept.results)}, "
              f"at the same times: {same}")  # fmt: skip
        for change in (False, True):
            place = folder / f"camera-{change}"
            kept, pipeline = run(CAMERA.format(count=count), place, change=change, live=True)
            show("camera with a change" if change else "camera without", kept, pipeline)
            lateness(kept)


def lateness(kept: Kept) -> None:
    """The longest time between two results, and in which stage."""
    came = [one.monotonic_ns / 1e6 + one.latency_ms.capture_to_result for one in kept.results]
    longest, at = max(
        (after - before, at) for at, (before, after) in enumerate(itertools.pairwise(came), 1)
    )
    stage = [state for state, first in kept.states if first <= at][-1]
    seen = {one.seq for one in kept.results}
    lost = [
        f"{seq} ({[state for state, first in kept.states if first <= seq][-1]})"
        for seq in range(max(seen))
        if seq not in seen
    ]
    print(f"  longest time between two results: {longest:.1f} ms, in {stage} (33.3 are usual)")
    print(f"  pictures without a result: {', '.join(lost) or 'none'}")


if __name__ == "__main__":
    main()
