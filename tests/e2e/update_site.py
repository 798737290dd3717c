"""A maker with keys and a repository, and one board: the commands as their users type them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

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
seconds = 600.0
mean_bpm = 160.0
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
        self.clock: tuple[str, ...] = ()  # `faketime` and a moment, before every command
        self._running: list[subprocess.Popen[str]] = []
        self.maker("init", "--no-passphrase")
        shutil.copyfile(folder / "repo/metadata/1.root.json", folder / "root.json")
        self.write()

    def write(self, more: str = "", repository: str = "repo", results: int = 3) -> None:
        text = RUN_FILE.format(repository=repository, more=more, results=results)
        (self.folder / "ward.toml").write_text(text)

    def maker(self, *words: str, code: int = 0) -> str:
        call = "from edge_runtime.cli.release import main; main()"
        return self.run(("-c", call), *words, code=code).stdout

    def device(self, verb: str, *words: str, code: int = 0) -> str:
        """What is said: standard output, or standard error of what fails."""
        program = ("-m", "edge_runtime", "update", verb, "ward.toml")
        done = self.run(program, *words, code=code)
        return done.stdout if code == 0 else done.stderr

    def run(
        self, program: tuple[str, ...], *words: str, code: int
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self.clock, sys.executable, *program, *words],
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


def stopped(process: subprocess.Popen[str]) -> str:
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    return told
