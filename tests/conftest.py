"""Shared fixtures: the reference data, and one way to say what this machine lacks."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections import Counter
from pathlib import Path

import pytest

from .needs import ROOT, missing

pytest_plugins = ["tests.brokers", "tests.devices"]


@pytest.fixture(autouse=True)
def state_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test, and what it starts, keeps its state in a folder of its own."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    return folder


@pytest.fixture(scope="session")
def data() -> Path:
    """The reference models, images, video and ECG: `../shared/data`, or EDGE_RUN_TEST_DATA."""
    folder = Path(os.environ.get("EDGE_RUN_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        missing("the reference data", "point EDGE_RUN_TEST_DATA at it (see examples/README.md)")
    return folder


@pytest.fixture(scope="session")
def examples(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of examples/ in which `data` links to the reference data."""
    folder = tmp_path_factory.mktemp("examples")
    for entry in (ROOT / "examples").iterdir():
        if entry.name != "data":
            (folder / entry.name).symlink_to(entry)
    (folder / "data").symlink_to(data.resolve())
    return folder


def pytest_report_header() -> list[str]:
    packages = (
        "ai-edge-litert",
        "tflite-runtime",
        "onnxruntime",
        "opencv-python-headless",
        "numpy",
    )
    versions = []
    for package in packages:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{package} -")
    return [f"machine: {platform.machine()}, {os.cpu_count()} CPUs", "; ".join(versions)]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("hardware"):
            item.add_marker(pytest.mark.skip(reason="hardware: needs a device that is not here"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in the last lines what was skipped, how often, and what would install it."""
    reasons = Counter(
        str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        for report in terminalreporter.stats.get("skipped", [])
    )
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count} not run: {reason.removeprefix('Skipped: ')}")
