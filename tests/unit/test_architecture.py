"""What a newcomer may rely on: light imports, small modules, and who may catch everything."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..needs import ROOT

HEAVY = ("numpy", "cv2", "paho", "serial", "tflite_runtime", "ai_edge_litert", "onnxruntime")
BROAD_HANDLERS = {
    "edge_runtime/cli/main.py",
    "edge_runtime/lane.py",
    "edge_runtime/swap/shadow.py",  # a model on trial
    "converters/cli.py",
    "converters/data/arrays.py",  # a generator of the user's
}
DEVICE = sorted((ROOT / "edge_runtime").rglob("*.py"))
CONVERTERS = sorted((ROOT / "converters").rglob("*.py"))
SOURCES = DEVICE + CONVERTERS


def loaded_after(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_the_package_loads_no_heavy_module():
    assert not loaded_after("import edge_runtime").intersection(HEAVY)


def test_the_help_of_the_program_and_of_every_verb_loads_no_heavy_module():
    from edge_runtime.cli.main import VERBS

    asked = [["--help"], *([verb, "--help"] for verb in VERBS)]
    code = (
        "from edge_runtime.cli.main import cli\n"
        "import contextlib, io\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        f"    for words in {asked!r}:\n"
        "        try: cli.main(words)\n"
        "        except SystemExit as exit: assert exit.code == 0\n"
    )
    assert not loaded_after(code).intersection(HEAVY)


@pytest.mark.alone
def test_help_is_there_before_one_wonders():
    bare = min(seconds("pass") for _ in range(5))
    help_ = min(
        seconds(
            "import sys; sys.argv[1:] = ['--help']; from edge_runtime.cli.main import main; main()"
        )
        for _ in range(5)
    )
    assert help_ - bare < 0.3


def seconds(code: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def test_the_core_fits_in_fifteen_minutes_of_reading():
    core = ("frame", "outcome", "interfaces", "errors", "pipeline", "capture", "lane", "model")
    lines = sum(
        len((ROOT / "edge_runtime" / f"{name}.py").read_text().splitlines()) for name in core
    )
    assert lines <= 1500


def test_no_module_is_longer_than_a_chapter():
    long = {
        str(path.relative_to(ROOT)): count
        for path in SOURCES
        if (count := len(path.read_text().splitlines())) > 260
    }
    assert not long


def test_only_the_edges_may_catch_everything():
    broad = set()
    for path in SOURCES:
        if "jobs" in path.parts:  # frameworks raise what they like
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler) and _catches_everything(node):
                broad.add(str(path.relative_to(ROOT)))
    assert broad <= BROAD_HANDLERS


def _catches_everything(handler: ast.ExceptHandler) -> bool:
    names = (
        {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}
        if (handler.type)
        else {"BaseException"}
    )
    return bool(names & {"Exception", "BaseException"})


def test_only_the_command_line_prints():
    printing = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        if "cli" not in path.parts and path.name != "cli.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    }
    assert not printing


def test_the_device_package_never_imports_a_converter():
    importing = {
        str(path.relative_to(ROOT))
        for path in DEVICE
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom) and "converters" in ast.unparse(node)
    }
    assert not importing


def test_a_job_runs_where_edge_run_is_not_installed():
    asking = {
        f"{path.relative_to(ROOT)}: {ast.unparse(node)}"
        for path in CONVERTERS
        if (depth := _depth_in_jobs(path)) or path.name == "worker.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        and ("edge_runtime" in ast.unparse(node) or getattr(node, "level", 0) > max(depth, 1))
    }
    assert not asking


def test_the_help_of_the_converters_loads_no_framework():
    code = (
        "from edge_runtime.converters.cli import cli\n"
        "import contextlib, io\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    for words in (['--help'], *([verb, '--help'] for verb in cli.commands)):\n"
        "        try: cli.main(words)\n"
        "        except SystemExit as exit: assert exit.code == 0\n"
    )
    frameworks = {"numpy", "tensorflow", "keras", "torch", "onnx", "onnxruntime"}
    assert not loaded_after(code) & frameworks


def _depth_in_jobs(path: Path) -> int:
    """How far below `converters/` a file of `jobs/` lies; 0 for any other."""
    parts = path.relative_to(ROOT / "converters").parts
    return len(parts) - 1 if parts[0] == "jobs" else 0
