"""From `edge-release` to a model that runs: the commands as their users type them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.commands.verbs import Verb, standard

from ..brokers import wait_until
from ..needs import ROOT

RUN_FILE = """\
name = "ward"
device = "bed-1"
[model]
path = "ecg-beats"
[update]
repository = "{repository}"
root_file = "root.json"
state = "state"
shadow_s = 0.5
probation_s = 5
probation_results = {results}
{more}
[[source]]
kind = "ecgsyn"
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
kind = "jsonl"
path = "out.jsonl"
"""
FILES = ("model.toml", "labels.txt", "golden.npz", "README.md")


class Site:
    """A maker with keys and a repository, and one board."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[subprocess.Popen[str]] = []
        self.maker("init", "--no-passphrase")
        shutil.copyfile(folder / "repo/metadata/1.root.json", folder / "root.json")
        self.write()

    def write(self, more: str = "", repository: str = "repo", results: int = 3) -> None:
        text = RUN_FILE.format(repository=repository, more=more, results=results)
        (self.folder / "ward.toml").write_text(text)

    def maker(self, *words: str, code: int = 0) -> str:
        call = "from edge_runtime.cli.release import main; main()"
        return self._run(("-c", call), *words, code=code).stdout

    def device(self, verb: str, *words: str, code: int = 0) -> str:
        """What is said: standard output, or standard error of what fails."""
        program = ("-m", "edge_runtime", "update", verb, "ward.toml")
        done = self._run(program, *words, code=code)
        return done.stdout if code == 0 else done.stderr

    def _run(
        self, program: tuple[str, ...], *words: str, code: int
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *program, *words],
            cwd=self.folder,
            env={**os.environ, "EDGE_RELEASE_REPO": "repo", "EDGE_RELEASE_KEYS": "keys"},
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def released(self, version: str, percent: int = 100, change=lambda folder: None) -> None:
        made = self.folder / f"model-{version}"
        shutil.copytree(ROOT / "models/ecg-beats", made)
        for path in made.iterdir():
            if path.name not in FILES and path.suffix not in (".tflite", ".onnx"):
                path.unlink()
        manifest = made / "model.toml"
        text = re.sub(r"(?m)^version = .*", f'version = "{version}"', manifest.read_text())
        manifest.write_text(text)
        change(made)
        self.maker("add", str(made))
        if percent:
            self.maker("rollout", "ecg-beats", version, "--percent", str(percent))

    def status(self) -> dict:
        return json.loads(self.device("status", "--json"))

    def started(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "edge_runtime", "start", "ward.toml"],
            cwd=self.folder,
            stderr=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        self._running.append(process)
        return process

    def close(self) -> None:
        for process in self._running:
            process.kill()
            process.communicate()

    def versions(self) -> list[str]:
        """Of the models of the results, in order, each once."""
        lines = (self.folder / "out.jsonl").read_text().splitlines()
        return list(dict.fromkeys(json.loads(line)["model"]["version"] for line in lines))


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.close()


def stopped(process: subprocess.Popen[str]) -> str:
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    return told


def test_a_release_comes_from_the_maker_to_the_results_and_back_by_hand(site):
    site.released("9.1.0", percent=0)
    assert "9.1.0: not-in-cohort" in site.device("check")
    site.maker("promote", "ecg-beats", "9.1.0")
    assert "9.1.0 is for this device" in site.device("check")
    process = site.started()
    done = json.loads(site.device("apply", "--wait", "90", "--json"))
    assert (done["state"], done["active"]["version"]) == ("committed", "9.1.0")
    assert done["gate"]["passed"]
    assert site.versions()[-1] == "9.1.0"
    assert "9.1.0: current" in site.device("apply")

    assert "the factory model" in site.device("rollback")
    own = re.search('version = "(.*)"', (ROOT / "models/ecg-beats/model.toml").read_text())[1]
    wait_until(lambda: site.versions()[-1] == "9.1.0" and len(site.versions()) == 2, 1)
    count = (site.folder / "out.jsonl").stat().st_size
    wait_until(lambda: (site.folder / "out.jsonl").stat().st_size > count + 5000, 60)
    last = json.loads((site.folder / "out.jsonl").read_text().splitlines()[-1])
    assert last["model"]["version"] == own
    stopped(process)

    told = json.loads(site.device("history", "--json"))
    events = [event["event"] for event in told["events"]]
    assert events[-1] == "rolled_back"
    assert events.index("validated") < events.index("trial") < events.index("committed")
    assert not told["broken"]


def test_a_person_says_yes_before_a_candidate_is_tried(site):
    site.write("require_approval = true")
    site.released("9.1.0")
    site.device("apply")
    process = site.started()
    wait_until(lambda: (site.folder / "out.jsonl").exists(), 60)
    assert site.status()["waits_for_approval"]
    assert "approve" in site.device("status")
    assert "9.1.0" in site.device("approve")
    wait_until(lambda: site.status()["state"] == "committed", 60)
    stopped(process)


def test_what_the_gate_refuses_is_exit_3_and_is_not_tried_again(site):
    def mislabelled(folder):
        labels = (folder / "labels.txt").read_text().split()
        (folder / "labels.txt").write_text("\n".join(reversed(labels)) + "\n")

    site.released("9.1.0", change=mislabelled)
    assert "labels" in site.device("apply", code=3)
    assert site.status()["state"] == "rejected"
    assert "quarantined" in site.device("apply")


def test_an_altered_bundle_is_exit_4_and_the_right_one_comes_all_the_same(site):
    site.released("9.1.0")
    bundle = next((site.folder / "repo/targets").rglob("*.tar"))
    good = bundle.read_bytes()
    bundle.write_bytes(good[:-2000] + bytes(np.frombuffer(good[-2000:], np.uint8) ^ 1))
    assert "edge-run: " in site.device("apply", code=4)
    bundle.write_bytes(good)
    assert "validated" in site.device("apply")


def test_a_revoked_model_goes_at_the_next_look(site):
    site.released("9.1.0")
    process = site.started()
    site.device("apply", "--wait", "90")
    stopped(process)
    site.maker("revoke", "ecg-beats", "9.1.0", "--reason", "misses beats")
    done = json.loads(site.device("apply", "--json"))
    assert done["state"] == "rolled_back"
    assert not done["active"]["digest"]
    assert "misses beats" in done["reason"]


def test_out_of_reach_is_exit_1_and_a_run_file_without_update_exit_2(site):
    site.write(repository="https://127.0.0.1:9")
    assert "127.0.0.1" in site.device("apply", code=1)
    text = (site.folder / "ward.toml").read_text()
    (site.folder / "ward.toml").write_text(re.sub(r"\[update\][^[]*", "", text))
    assert "has no table [update]" in site.device("apply", code=2)
    site.write('[update.hawkbit]\nurl = "https://h"\n[update.aws]\nurl = "mqtts://a"')
    assert "one fleet server is enough" in site.device("check", code=2)


def test_a24_a_command_only_makes_the_pipeline_look_and_at_most_once_a_minute(site):
    verb = standard(lambda: None, dict)["update"]
    assert isinstance(verb, Verb)
    assert verb.args == frozenset()  # no address, no version: nothing that anybody could choose
    site.released("9.1.0")
    process = site.started()
    wait_until(lambda: (site.folder / "out.jsonl").exists(), 60)
    for _ in range(200):
        process.send_signal(signal.SIGUSR1)
    wait_until(lambda: site.status()["state"] == "committed", 90)
    told = stopped(process)
    assert told.count("INFO update: ") == 1, told
