"""`edge-convert` as its user: a real model in; a directory that the device takes, or a reason."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from edge_runtime.converters.jobs.tflite import file as tflite_file

from edge_runtime import manifest

from ..families import python_of
from ..needs import ROOT

CONTRACT = ROOT / "examples/contracts/resnet8.toml"


@pytest.fixture(scope="module")
def convert(data, tmp_path_factory):
    """Run edge-convert on the float ResNet8 with some words; gives the finished process."""
    python_of("convert")
    float_file = data / "models/resnet8-cifar10/resnet8_float.tflite"

    def run(*words, model=float_file, **options):
        command = [sys.executable, "-m", "edge_runtime.converters.cli", model, *words]
        return subprocess.run(
            list(map(str, command)), capture_output=True, text=True, timeout=250, **options
        )

    return run


@pytest.fixture(scope="module")
def usual(data):
    pictures = data / "images/cifar10"
    return ("--contract", CONTRACT, "--calibrate", pictures, "--evaluate", pictures)


@pytest.fixture(scope="module")
def made(convert, usual, tmp_path_factory):
    """A directory with an INT8 and an FP16 file, and what was said of it."""
    out = tmp_path_factory.mktemp("zoo") / "resnet8"
    done = convert("-o", out, *usual, "--to", "tflite:int8", "--to", "tflite:float16", "--json")
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout)


def test_the_directory_is_one_that_the_device_takes(made):
    out, _ = made
    done = subprocess.run(
        [sys.executable, "-m", "edge_runtime", "models", "verify", str(out)],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    read = manifest.read(out)
    assert [(one.precision, one.path) for one in read.file] == [
        ("int8", "resnet8-int8.tflite"),
        ("float16", "resnet8-float16.tflite"),
    ]
    assert read.labels()[0] == "airplane"


def test_its_figures_are_those_of_the_model_on_these_pictures(made):
    """72.0 % of the 200 pictures are right in float32: see golden.json of the reference data."""
    out, facts = made
    int8, float16 = facts["files"]
    assert int8["drops"][0]["before"]["value"] == pytest.approx(0.72)
    assert abs(int8["drops"][0]["points"]) < 0.51
    assert float16["agreement"]["share"] == 1
    assert int8["size_ratio"] < 0.35
    assert manifest.read(out).accuracy["source"] == pytest.approx(0.72)
    assert json.loads((out / "conversion.json").read_text()) == facts


def test_the_card_leads_with_limits_and_names_no_folder_of_this_machine(made, data):
    out, _ = made
    card = (out / "README.md").read_text()
    assert card.index("## Limits first") < card.index("## Figures")
    assert "200 of the calibration cases are evaluation cases too" in card
    assert all(
        str(data) not in file.read_text() for file in (out / "README.md", out / "model.toml")
    )


def test_a_file_that_falls_behind_is_refused_and_nothing_is_written(convert, usual, tmp_path):
    """Calibrated on noise of a hundredth of the range: every activation of a picture is clipped."""
    noise = np.random.default_rng(0).uniform(0, 2.55, (20, 32, 32, 3)).astype(np.float32)
    np.savez(tmp_path / "noise.npz", **{"0": noise})
    words = [*usual[:2], "--calibrate", tmp_path / "noise.npz", *usual[4:]]
    done = convert("-o", tmp_path / "out", *words, "--to", "tflite:int8", "--evaluation-cases", 60)
    assert done.returncode == 4, done.stderr
    assert "points of accuracy" in done.stderr
    assert "nothing was written" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["noise.npz"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--to", "tflite:int8"], "does not say what its numbers mean: give --contract"),
        (["--to", "tflite:int9"], "did you mean 'tflite:int8'"),
        ([], "what shall be made?"),
        (["--for", "raspberry-pi-55"], "did you mean 'raspberry-pi-5'"),
        (["--contract", CONTRACT, "--to", "tflite:int8"], "INT8 needs real inputs"),
        (["--contract", CONTRACT, "--to", "tflite:float16"], "nothing is believed unproven"),
    ],
)
def test_what_is_missing_is_said_before_anything_runs(convert, tmp_path, words, reason):
    done = convert("-o", tmp_path / "out", *words)
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])
    assert reason in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_dry_run_says_what_would_happen_and_does_nothing(convert, usual, tmp_path):
    done = convert("-o", tmp_path / "out", *usual, "--for", "raspberry-pi-5", "--dry-run")
    assert done.returncode == 0
    assert "tflite:int8: tflite.precision -> resnet8-int8.tflite" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_cannot_be_converted_is_exit_3(convert, usual, data, tmp_path):
    int8 = data / "models/resnet8-cifar10/resnet8_int8.tflite"
    done = convert("-o", tmp_path / "out", *usual, "--to", "tflite:int8", model=int8)
    assert done.returncode == 3, done.stderr
    assert "quantised already" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_no_numbers_are_the_sources_own_fault(convert, usual, data, tmp_path):
    model = tflite_file.read(data / "models/resnet8-cifar10/resnet8_float.tflite")
    tensors, buffers = model.subgraphs[0].tensors, model.buffers
    bias = tensors[model.subgraphs[0].operators[0].inputs[2]].buffer
    weights = np.frombuffer(bytes(buffers[bias].data), np.float32).copy()
    weights[0] = np.nan
    buffers[bias].data = weights.view(np.uint8)
    tflite_file.write(model, tmp_path / "diverged.tflite")
    words = [*usual, "--evaluation-cases", 20, "--to", "tflite:float16"]
    done = convert("-o", tmp_path / "out", *words, model=tmp_path / "diverged.tflite")
    assert done.returncode == 3, done.stderr
    assert "diverged.tflite: gives NaN or infinity itself" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["diverged.tflite"]


def test_a_contract_of_another_layout_is_told_with_both_shapes(convert, usual, tmp_path):
    text = CONTRACT.read_text().replace("NHWC", "NCHW").replace("[1, 32, 32, 3]", "[1, 3, 32, 32]")
    (tmp_path / "contract.toml").write_text(text)
    (tmp_path / "cifar10.txt").write_bytes(CONTRACT.with_name("cifar10.txt").read_bytes())
    words = ["--contract", tmp_path / "contract.toml", *usual[2:], "--evaluation-cases", 4]
    done = convert("-o", tmp_path / "out", *words, "--to", "tflite:float16")
    assert done.returncode == 2, done.stderr
    assert "is (-1, 32, 32, 3), and a case (1, 3, 32, 32)" in done.stderr


def test_a_full_disk_is_told_and_leaves_nothing(convert, usual, tmp_path):
    """A limit on the size of files stands for the disk: writes end with an error of the system."""
    import resource

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    done = convert("-o", tmp_path / "out", *usual, "--to", "tflite:float16", preexec_fn=limit)
    assert done.returncode in (2, 3), done.stderr
    assert "File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_in_the_middle_leaves_nothing(data, usual, tmp_path):
    python_of("convert")
    model = data / "models/resnet8-cifar10/resnet8_float.tflite"
    words = [model, "-o", tmp_path / "out", *usual, "--to", "tflite:int8"]
    running = subprocess.Popen(
        list(map(str, [sys.executable, "-m", "edge_runtime.converters.cli", *words])),
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    until = time.monotonic() + 60
    while not any(tmp_path.glob("edge-convert-*/reference-*")) and time.monotonic() < until:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert (running.returncode, said.strip()) == (130, b"")
    assert list(tmp_path.iterdir()) == []


def test_any_two_models_are_compared(data):
    folder = data / "models/resnet8-cifar10"
    words = [folder / "resnet8_float.tflite", folder / "resnet8_int8.tflite"]
    words += ["--contract", CONTRACT, "--data", data / "images/cifar10", "--max-drop", 0.1]
    done = subprocess.run(
        list(map(str, [sys.executable, "-m", "edge_runtime.converters.cli", "compare", *words])),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 4
    assert "190 of 200" in done.stdout
    assert "loses 0.50 points of accuracy" in done.stderr


def test_the_families_are_listed():
    done = subprocess.run(
        [sys.executable, "-m", "edge_runtime.converters.cli", "setup"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "convert",
        "keras",
        "torch",
        "litert-torch",
        "onnx2tf",
    ]
    assert Path(sys.executable).name in done.stdout
