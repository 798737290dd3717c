"""The built wheel in a clean environment: what `pip install edge-runtime` gives."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ..needs import ROOT

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clean") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    subprocess.run(
        [str(folder / "bin/pip"), "install", "--quiet", f"edge-runtime[all] @ {wheel.as_uri()}"],
        check=True,
    )
    return folder / "bin"


def test_the_wheel_puts_nothing_but_edge_runtime_on_the_path(wheel: Path):
    with zipfile.ZipFile(wheel) as file:
        tops = {name.partition("/")[0] for name in file.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"edge_runtime"}


def test_the_wheel_carries_models_boards_schema_and_types(wheel: Path):
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    assert {
        "edge_runtime/py.typed",
        "edge_runtime/result.schema.json",
        "edge_runtime/devices/raspberry-pi-5.toml",
        "edge_runtime/models/ecg-beats/model.toml",
        "edge_runtime/models/ecg-beats/README.md",
        "edge_runtime/models/shapes/model.toml",
    } <= names


def test_the_demo_runs_from_a_clean_environment(installed: Path, tmp_path: Path):
    done = subprocess.run(
        [str(installed / "edge-run"), "demo", "ecg", "--seconds", "8", "--plain"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lost" in done.stdout


def test_a_missing_extra_is_one_line_that_names_it(wheel: Path, tmp_path: Path):
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    binaries = tmp_path / "venv" / "bin"
    subprocess.run([str(binaries / "pip"), "install", "--quiet", str(wheel)], check=True)
    done = subprocess.run(
        [str(binaries / "edge-run"), "models", "verify", "ecg-beats"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert done.returncode in (2, 3)
    assert "pip install 'edge-runtime[tflite]'" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
