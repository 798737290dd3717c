"""`edge-run start` while models change under it: real processes, store and native faults."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_runtime import build_update, config
from edge_runtime.update.store import bundle
from edge_runtime.update.store.journal import Installed, Journal
from edge_runtime.update.store.journal_file import decoded

from ..brokers import wait_until
from ..needs import ROOT, missing
from ..runtimes import need_runtime

pytestmark = pytest.mark.alone

RUN_FILE = """\
name = "swap"
device = "test"
[model]
path = "{model}"
[[model.delegates]]
delegate = "external"
library = "{library}"
options = {{ fault = "{fault}", trigger = "{folder}/trigger" }}
[[source]]
kind = "shapes"
count = 100000
pace = "real"
rate_hz = 25.0
[[sink]]
kind = "jsonl"
path = "out.jsonl"
[[sink]]
kind = "mqtt"
url = "{url}"
[update]
repository = "releases"
state = "state"
agreement = 0.0
shadow_s = {shadow_s}
probation_s = {probation_s}
probation_results = 50
hang_s = 2.0
memory_mb = 60
"""
NAME = b"StatefulPartitionedCall_1:0"


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """A real external delegate, compiled here."""
    need_runtime("tflite")
    compiler = shutil.which("cc")
    if compiler is None:
        missing("a C compiler", "apt-get install gcc")
    built = tmp_path_factory.mktemp("delegate") / "libfaulty.so"
    source = ROOT / "tests" / "update" / "swap" / "faulty_delegate.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", built, source], check=True)
    return built


def write_model(folder: Path, version: str, name: bytes = NAME) -> Path:
    """The model `shapes` without golden vectors, for the delegate computes something else."""
    folder.mkdir()
    shapes = ROOT / "models" / "shapes"
    weights = (shapes / "shapes_int8.tflite").read_bytes()
    assert weights.count(NAME) == 1
    (folder / "model.tflite").write_bytes(weights.replace(NAME, name))
    shutil.copy(shapes / "labels.txt", folder)
    (folder / "README.md").write_text("For tests.\n")
    (folder / "model.toml").write_text(f"""\
name = "shapes"
version = "{version}"
task = "classification"
[[file]]
path = "model.tflite"
format = "tflite"
precision = "int8"
[[input]]
name = "0"
kind = "image"
shape = [1, 64, 64, 3]
layout = "NHWC"
colour = "rgb"
resize = "letterbox"
mean = [0.0]
std = [255.0]
[[output]]
name = "0"
meaning = "scores"
[postprocess]
kind = "classification"
labels = "labels.txt"
top_k = 3
""")
    return folder


class Device:
    """One run file, started again whenever it ends by itself, as a service manager does."""

    def __init__(
        self,
        folder: Path,
        library: Path,
        url: str,
        fault: str,
        *,
        probation_s: float = 60.0,
        shadow_s: float = 0.4,
    ) -> None:
        self.folder, self.out = folder, folder / "out.jsonl"
        self.run_file = folder / "run.toml"
        self.run_file.write_text(
            RUN_FILE.format(
                model=write_model(folder / "old", "1.0.0"),
                library=library,
                fault=fault,
                folder=folder,
                url=url,
                probation_s=probation_s,
                shadow_s=shadow_s,
            )
        )
        self.codes: list[int] = []
        self.start()

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "edge_runtime", "start", str(self.run_file)],
                stderr=log,
                cwd=self.folder,
            )

    def offer(self, name: bytes = NAME.replace(b"Call_1", b"FAULT_")) -> Installed:
        """A candidate, as far as a passed gate."""
        new = write_model(self.folder / "new", "2.0.0", name)
        settings = config.load(self.run_file)
        store = build_update.store(settings, settings.update)
        part = self.folder / "part"
        release = Installed(bundle.pack(new, part), "shapes", "2.0.0", 2)
        with store.lock():
            store.fetching(release)
            part.rename(store.part(release.digest))
        store.stage(store.part(release.digest), release)
        store.validate("passed")
        return release

    def keep_alive(self) -> None:
        """Start it anew if it ended."""
        if self.process.poll() is not None:
            self.codes.append(self.process.returncode)
            self.start()

    @property
    def journal(self) -> Journal:
        path = self.folder / "state" / "test" / "swap" / "update" / "journal.json"
        return decoded(path.read_bytes()) if path.exists() else Journal()

    def results(self) -> list[dict[str, object]]:
        lines = self.out.read_text().splitlines() if self.out.exists() else []
        return [json.loads(line) for line in lines if line.endswith("}")]

    def versions(self) -> list[str]:
        return [item["model"]["version"] for item in self.results()]

    def trigger(self) -> float:
        (self.folder / "trigger").touch()
        return time.monotonic()

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@pytest.fixture
def device(tmp_path, library, mosquitto, request):
    fault, times = request.param
    made = Device(tmp_path, library, mosquitto().url, fault, **times)
    yield made
    made.process.kill()
    made.process.wait()


def on_trial(device: Device) -> None:
    wait_until(lambda: len(device.results()) > 25, 60)
    device.offer()
    wait_until(lambda: device.journal.state == "trial" and device.versions()[-1] == "2.0.0", 60)


@pytest.mark.parametrize("device", [("none", {"probation_s": 2.0})], indirect=True)
def test_s14_the_model_changes_in_a_running_process_and_no_frame_is_lost(device, listen):
    heard = listen(f"mqtt://127.0.0.1:{port(device)}")
    on_trial(device)
    wait_until(lambda: device.journal.state == "committed", 60)
    count = len(device.results())
    wait_until(lambda: len(device.results()) > count + 10)
    assert device.end() == 0, (device.folder / "log").read_text()

    results = device.results()
    assert [item["seq"] for item in results] == list(range(len(results)))
    spoke = [(item["model"]["version"], item["model"]["sha256"]) for item in results]
    assert [version for version, _ in sorted(set(spoke))] == ["1.0.0", "2.0.0"]
    assert (spoke[0][0], spoke[-1][0]) == ("1.0.0", "2.0.0")
    infos = [json.loads(payload) for payload in heard.on("/info")]
    told = [item["update"]["state"] for item in infos]
    steps = [word for word, before in zip(told, [None, *told], strict=False) if word != before]
    assert steps[-3:] == ["shadow", "trial", "committed"]
    assert infos[-1]["model"]["version"] == "2.0.0"
    assert infos[-1]["update"]["shadow"]["frames"] > 0


def port(device: Device) -> int:
    return int(device.run_file.read_text().split('url = "mqtt://')[1].split('"')[0].split(":")[1])


@pytest.mark.parametrize("device", [("hang", {})], indirect=True)
def test_a_model_that_hangs_in_native_code_is_rolled_back_within_ten_seconds(device, listen):
    heard = listen(f"mqtt://127.0.0.1:{port(device)}")
    on_trial(device)
    pid, began = device.process.pid, device.trigger()
    wait_until(lambda: device.versions()[-1] == "1.0.0", 30)
    took = time.monotonic() - began
    assert took < 10
    assert device.process.poll() is None
    assert device.process.pid == pid  # the same process, executed anew
    assert device.journal.state == "rolled_back"
    assert device.journal.reason.startswith("hang")
    wait_until(lambda: heard.on("/alert"))
    assert json.loads(heard.on("/alert")[-1])["kind"] == "update-rolled-back"
    assert device.end() == 0


@pytest.mark.parametrize("device", [("hang", {})], indirect=True)
def test_a_stop_that_comes_while_a_model_hangs_is_kept_to(device):
    def hangs() -> bool:
        count = len(device.results())
        time.sleep(0.5)
        return len(device.results()) == count

    on_trial(device)
    device.trigger()
    wait_until(hangs)
    device.process.send_signal(signal.SIGTERM)
    assert device.process.wait(15) == 1
    assert device.journal.state == "rolled_back"


@pytest.mark.parametrize("device", [("segfault", {})], indirect=True)
def test_p08_a_model_that_crashes_three_times_is_rolled_back_and_the_loop_ends(device):
    on_trial(device)
    began = device.trigger()

    def is_back() -> bool:
        device.keep_alive()
        return device.journal.state == "rolled_back" and device.versions()[-1] == "1.0.0"

    wait_until(is_back, 60)
    assert time.monotonic() - began < 10
    assert device.codes == [-signal.SIGSEGV] * 3
    assert device.journal.quarantine[-1].reason == "restarts"
    assert device.end() == 0


@pytest.mark.parametrize("device", [("leak", {})], indirect=True)
def test_a_model_that_leaks_is_rolled_back_without_a_lost_frame(device):
    on_trial(device)
    began = device.trigger()
    wait_until(lambda: device.versions()[-1] == "1.0.0", 30)
    assert time.monotonic() - began < 10
    wait_until(lambda: device.journal.state == "rolled_back")
    assert device.journal.reason.startswith("memory")
    assert device.end() == 0
    results = device.results()
    assert [item["seq"] for item in results] == list(range(len(results)))


@pytest.mark.parametrize("device", [("hang", {"shadow_s": 30.0})], indirect=True)
def test_a_model_that_hangs_in_the_shadow_is_refused_and_a_stop_is_still_clean(device, listen):
    heard = listen(f"mqtt://127.0.0.1:{port(device)}")
    wait_until(lambda: len(device.results()) > 25, 60)
    device.offer()
    wait_until(lambda: b'"state":"shadow"' in heard.on("/info")[-1], 60)
    device.trigger()
    wait_until(lambda: device.journal.state == "rejected", 60)
    assert device.journal.reason.startswith("hang")
    count = len(device.results())
    wait_until(lambda: len(device.results()) > count + 10)
    assert set(device.versions()) == {"1.0.0"}
    assert device.end() == 0
