"""Runs the real command in a process of its own, and makes small model directories for it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_runtime.backends.tflite import TFLite
from edge_runtime.manifest import digest
from edge_runtime.preprocess.quantise import dequantise

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 120

VWW = """\
name = "vww96"
version = "1.0.0"
task = "classification"
summary = "Is a person in the picture?"
licence = "Apache-2.0"

[[file]]
path = "vww_96_int8.tflite"
format = "tflite"
precision = "int8"
sha256 = "{sha256}"

[[input]]
name = "input_1_int8"
kind = "image"
shape = [1, 96, 96, 3]
layout = "NHWC"
colour = "rgb"
resize = "stretch"
mean = [0.0]
std = [255.0]

[[output]]
name = "0"
meaning = "scores"

[postprocess]
kind = "classification"
labels = "labels.txt"

[golden]
tolerance = 0.02

[accuracy]
top_1 = 0.8
"""


class Outcome:
    """What a command left: exit code and lines."""

    def __init__(self, process: subprocess.CompletedProcess[str]) -> None:
        self.code = process.returncode
        self.out = process.stdout
        self.err = process.stderr

    @property
    def errors(self) -> list[str]:
        """The lines that the command itself wrote to standard error."""
        return [line for line in self.err.splitlines() if line.startswith("edge-run: ")]


def edge_run(
    *arguments: object, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> Outcome:
    """Run `edge-run` with these arguments; a traceback fails the test whatever it looks at."""
    process = subprocess.run(
        [sys.executable, "-m", "edge_runtime", *map(str, arguments)],
        cwd=cwd,
        env=_environment(environment or {}),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert "Traceback" not in process.stderr, process.stderr
    return Outcome(process)


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    import os

    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **more}


def vww_directory(data: Path, directory: Path) -> Path:
    """A whole model directory around the visual wake words model, golden vectors included."""
    directory.mkdir(parents=True)
    weights = Path(shutil.copy(data / "models" / "vww96" / "vww_96_int8.tflite", directory))
    (directory / "model.toml").write_text(VWW.format(sha256=digest(weights)), encoding="utf-8")
    (directory / "labels.txt").write_text("non_person\nperson\n", encoding="utf-8")
    (directory / "README.md").write_text("# vww96\n", encoding="utf-8")
    np.savez(directory / "golden.npz", **_golden(weights))
    return directory


def _golden(weights: Path) -> dict[str, Any]:
    backend = TFLite(path=weights, delegate="cpu", shapes={"input_1_int8": (1, 96, 96, 3)})
    backend.open()
    try:
        random = np.random.default_rng(3)
        inputs = random.integers(-128, 127, (4, 1, 96, 96, 3), np.int8, endpoint=True)
        outputs = [dequantise(backend.run([case])[0], backend.outputs[0]) for case in inputs]
    finally:
        backend.close()
    return {"input/0": inputs, "output/0": np.stack(outputs)}
