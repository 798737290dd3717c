"""The README's commands run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_runtime.cli.main import VERBS
from edge_runtime.sinks.mqtt import Mqtt

from ..messages import IDENTITY, result
from ..needs import ROOT

README = (ROOT / "README.md").read_text()

# Run by others: the demo by tests/e2e/test_demo.py, the install by tests/e2e/test_wheel.py.
ELSEWHERE = ("make ", "python3 -m venv", "pip install")


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith(ELSEWHERE)]


def test_the_commands_of_the_readme_work_in_order(tmp_path: Path):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    assert len(commands()) >= 3
    for line in commands():
        done = subprocess.run(
            line,
            shell=True,
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def test_the_subscriber_of_the_readme_prints_what_is_published(mosquitto, tmp_path: Path):
    broker, out = mosquitto(), tmp_path / "out.txt"
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    words = [sys.executable, "-u", "-c", code.replace("mqtt://localhost", broker.url)]
    sink = Mqtt(identity=IDENTITY, url=broker.url)
    sink.open()
    with out.open("w") as file, subprocess.Popen(words, cwd=ROOT, stdout=file) as child:
        for seq in range(100):
            sink.publish(result(seq))
            if "person" in out.read_text():
                break
            time.sleep(0.1)
        child.kill()
    sink.close()

    assert "Result" in out.read_text()
    assert "person" in out.read_text()


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example_and_a_place_in_the_docs(verb: str):
    done = subprocess.run(
        [sys.executable, "-m", "edge_runtime", verb, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Example" in done.stdout
    assert f"edge-run {verb}" in (ROOT / "docs/cli.md").read_text()


def test_links_to_files_lead_somewhere():
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
