from __future__ import annotations

import subprocess
import sys

import pytest

RUN = [sys.executable, "-m", "edge_runtime", "ecg", "report"]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RUN, *words], capture_output=True, text=True)


def test_a_record_becomes_one_page(tmp_path):
    page = tmp_path / "night.html"
    done = run("ecgsyn:20", "--model", "none", "-o", str(page))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{page}: ")
    assert page.read_text().startswith("<!doctype html>")
    again = run("ecgsyn:20", "--model", "none", "-o", str(page))
    assert again.returncode == 2
    assert "is there already; give -o another name, or --force" in again.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere/100"], "nowhere/100"),
        (["ecgsyn:5", "--lead", "V9"], "has no lead V9"),
        (["ecgsyn:5", "--model", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_2(tmp_path, words, told):
    done = run(*words, "-o", str(tmp_path / "page.html"))
    assert done.returncode == 2, done.stderr
    assert told in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "page.html").exists()
