"""The whole way through `edge-convert`, from every kind of source to a directory that verifies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import manifest

from ..families import python_of
from ..needs import ROOT

HERE = Path(__file__).parent
CONTRACT = """
name = "net"
version = "1.0.0"
task = "classification"
licence = "Apache-2.0"
[[input]]
name = "{name}"
kind = "feature"
feature = "made up"
shape = {shape}
dtype = "float32"
[[output]]
name = "0"
meaning = "scores"
[postprocess]
kind = "classification"
labels = "labels.txt"
"""
SOURCES = {  # model and what goes beside it; family of the networks
    "keras": (["image.keras"], "keras"),
    "torch": (["torch_nets:Signal", "--weights", "Signal.pt"], "torch"),
    "exported-program": (["Signal.pt2"], "torch"),
    "torchscript": (["Signal.ts"], "torch"),
}


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    """Folders of small networks by family, each with cases, labels and a contract."""
    made = {}

    def folder(family):
        if family not in made:
            nets = tmp_path_factory.mktemp(family)
            fill(family, nets)  # which skips where there is no environment, every time
            made[family] = nets
        return made[family]

    return folder


def fill(family, folder):
    script = HERE / f"{family}_nets.py"
    subprocess.run([python_of(family), "-W", "ignore", script, folder], check=True, timeout=200)
    name, shape = ("picture", (16, 16, 3)) if family == "keras" else ("signal", (2, 64))
    random = np.random.default_rng(3)
    array = (
        random.uniform(0, 1, (40, *shape))
        if family == "keras"
        else random.standard_normal((40, *shape))
    )
    for file, key in (("net", name), ("place", "0")):  # an input by its name, or by its position
        np.savez(folder / f"{file}.npz", **{key: array.astype(np.float32)})
        (folder / f"{file}.toml").write_text(CONTRACT.format(name=key, shape=[1, *shape]))
    (folder / "labels.txt").write_text("a\nb\nc\nd\n" if family == "keras" else "a\nb\nc\n")


def edge_convert(folder, *words, **options):
    command = [sys.executable, "-m", "edge_runtime.converters.cli", *map(str, words)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE)}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=280, cwd=folder, env=env, **options
    )


@pytest.mark.parametrize(
    ("kind", "contract", "targets"),
    [
        ("keras", "place", ("tflite:int8", "tflite:int16x8", "onnx:int8")),
        ("torch", "net", ("tflite:float16", "onnx:int8")),
        ("exported-program", "net", ("tflite:int8",)),
        ("torchscript", "place", ("onnx:float16",)),
    ],
)
def test_every_kind_of_source_becomes_a_directory_that_verifies(
    nets, tmp_path, kind, contract, targets
):
    words, family = SOURCES[kind]
    folder, out = nets(family), tmp_path / "net"
    for one in targets:
        python_of("litert-torch" if family == "torch" and one.startswith("tflite") else family)
        words = [*words, "--to", one]
    done = edge_convert(
        folder,
        *words,
        "-o",
        out,
        "--contract",
        f"{contract}.toml",
        "--calibrate",
        f"{contract}.npz",
        "--max-drop",
        5,
        "--json",
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["source"]["kind"] == kind
    assert [one["target"] for one in facts["files"]] == list(targets)
    for one in facts["files"]:
        assert one["agreement"]["share"] >= 0.95
        assert one["versions"]
    verified = subprocess.run(
        [sys.executable, "-m", "edge_runtime", "models", "verify", str(out)],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert len(manifest.read(out).file) == len(targets)


@pytest.mark.parametrize(
    ("kind", "has", "said"),
    [
        ("keras", ("sound", 16, 16, 3), "cases are for sound; the model takes picture"),
        ("keras", ("picture", 16, 8, 3), "a case is (16, 8, 3), the model wants (16, 16, 3)"),
        ("exported-program", ("signal", 2, 32), "is (2, 64) in the program and (2, 32) in the"),
    ],
)
def test_a_contract_that_is_not_the_models_is_exit_2(nets, tmp_path, kind, has, said):
    words, family = SOURCES[kind]
    name, *shape = has
    folder = nets(family)
    np.savez(tmp_path / "other.npz", **{name: np.zeros((4, *shape), np.float32)})
    (tmp_path / "other.toml").write_text(CONTRACT.format(name=name, shape=[1, *shape]))
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    given = ("--contract", tmp_path / "other.toml", "--evaluate", tmp_path / "other.npz")
    done = edge_convert(folder, *words, *given, "--to", "onnx:float32", "-o", tmp_path / "net")
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert not (tmp_path / "net").exists()


def test_a_way_that_does_not_exist_names_one_that_does(nets, tmp_path):
    folder = nets("torch")
    done = edge_convert(
        folder,
        "Signal.ts",
        "-o",
        tmp_path / "net",
        "--contract",
        "net.toml",
        "--evaluate",
        "net.npz",
        "--to",
        "tflite:float32",
    )
    assert done.returncode == 2
    assert "save the model with torch.export.save (.pt2)" in done.stderr


def test_a_pickle_is_refused_before_anything_reads_it(nets, tmp_path):
    folder = nets("torch")
    done = edge_convert(
        folder,
        "runs.pt",
        "-o",
        tmp_path / "net",
        "--contract",
        "net.toml",
        "--evaluate",
        "net.npz",
        "--to",
        "onnx:float32",
    )
    assert done.returncode == 2
    assert "a pickle that runs code when it is read" in done.stderr
    assert not (folder / "ran-pickle").exists()


@pytest.mark.parametrize(("format_", "name"), [("torchscript", "net.ts"), ("pt2", "net.pt2")])
def test_a_server_gets_an_archive_that_says_what_it_is(nets, tmp_path, format_, name):
    folder = nets("torch")
    done = edge_convert(
        folder,
        "export",
        *SOURCES["torch"][0],
        "--contract",
        "net.toml",
        "--format",
        format_,
        "-o",
        tmp_path / name,
    )
    assert done.returncode == 0, done.stderr
    assert b"Apache-2.0" in (tmp_path / name).read_bytes()


def test_an_onnx_file_with_open_sides_becomes_tflite_at_the_size_of_the_contract(data, tmp_path):
    """Its pooling over an open height and width is what onnx2tf alone cannot convert."""
    python_of("onnx2tf")
    lines = np.random.default_rng(0).uniform(-1, 1, (12, 3, 48, 192)).astype(np.float32)
    np.savez(tmp_path / "lines.npz", x=lines)
    done = edge_convert(
        tmp_path,
        data / "models/ppocr-v4-det/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        "-o",
        tmp_path / "net",
        "--contract",
        ROOT / "examples/contracts/ppocr-cls.toml",
        "--evaluate",
        "lines.npz",
        "--to",
        "tflite:float32",
    )
    assert done.returncode == 0, done.stderr
    assert [one.path for one in manifest.read(tmp_path / "net").file] == [
        "ppocr-cls-float32.tflite"
    ]
