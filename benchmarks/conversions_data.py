"""The networks of conversions.py: one from every kind of source, and small ones of sequences."""

from __future__ import annotations

import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from edge_runtime.converters import environment
from edge_runtime.converters.jobs.tflite import file as tflite_file

HERE = Path(__file__).resolve().parent
CONTRACTS = HERE.parent / "examples/contracts"
TFLITE = ("float32", "float16", "dynamic", "int8", "int8:int8", "int8:uint8", "int16x8")
ONNX = ("float32", "float16", "dynamic", "int8")
EVERY = tuple(f"tflite:{one}" for one in TFLITE) + tuple(f"onnx:{one}" for one in ONNX)
ALL = "100"  # points that may be lost: every file is made as it comes, and measured
CALIBRATION, SEEN = 20, 100  # pictures of each class: to calibrate with, to be judged on

SEQUENCE = """
name = "sequence"
version = "1.0.0"
task = "tensors"
[[input]]
name = "wave"
kind = "feature"
feature = "noise"
shape = [1, 32, 3]
dtype = "float32"
[[output]]
name = "0"
meaning = "other"
[postprocess]
kind = "tensors"
"""


@dataclass(frozen=True, slots=True)
class Task:
    """One source and what is to become of it. `weights` stands for a PyTorch module."""

    table: str  # "cnn", "sequence" or "real"
    title: str
    model: str
    contract: Path
    targets: tuple[str, ...]
    evaluate: Path
    calibrate: Path | None = None
    words: tuple[str, ...] = ()
    max_drop: str = ALL


def networks(data: Path, work: Path) -> list[Task]:
    """One trained network from every kind of source, and small untrained ones of sequences."""
    for family in ("keras", "torch"):
        _sources(family, data, work)
    test, seen = work / "cifar-test", work / "cifar-calibration"
    _pictures(data, test, seen)
    nhwc, nchw = CONTRACTS / "resnet8.toml", work / "resnet8-nchw.toml"
    text = nhwc.read_text(encoding="utf-8").replace("[1, 32, 32, 3]", "[1, 3, 32, 32]")
    nchw.write_text(text.replace("NHWC", "NCHW"), encoding="utf-8")
    (work / "cifar10.txt").write_bytes((CONTRACTS / "cifar10.txt").read_bytes())
    weights = ("--weights", str(work / "resnet8.pt"))
    tflite = data / "models/resnet8-cifar10/resnet8_float.tflite"
    kinds = [
        ("Keras 3", work / "resnet8.keras", nhwc, ()),
        ("H5", work / "resnet8.h5", nhwc, ()),
        ("SavedModel", work / "resnet8", nhwc, ()),
        ("PyTorch module", "conversions_torch:ResNet8", nchw, weights),
        ("PyTorch .pt2", work / "resnet8.pt2", nchw, ()),
        ("TorchScript", work / "resnet8.ts", nchw, ()),
        ("ONNX", _onnx(work, nchw, weights), nchw, ()),
        ("TFLite", tflite, nhwc, ()),
    ]
    found = [
        Task("cnn", title, str(model), contract, EVERY, test, seen, words)
        for title, model, contract, words in kinds
    ]
    return found + _sequences(work)


def _sources(family: str, data: Path, work: Path) -> None:
    """Write a framework's files on its own Python, with the weights of the float TFLite file."""
    done, weights = work / f"{family}.done", work / "weights.npz"
    if done.exists():
        return
    model = tflite_file.read(data / "models/resnet8-cifar10/resnet8_float.tflite")
    graph = model.subgraphs[0]
    arrays = [
        np.frombuffer(model.buffers[tensor.buffer].data, np.float32).reshape(tensor.shape)
        for operator in graph.operators
        if operator.inputs is not None and len(operator.inputs) == 3
        for tensor in (graph.tensors[at] for at in operator.inputs[1:])
    ]
    np.savez(weights, **{f"{at:02}": array for at, array in enumerate(arrays)})
    python = environment.need(family, "the sources of this benchmark")
    script = HERE / f"conversions_{family}.py"
    subprocess.run([python, "-W", "ignore", script, work], check=True)
    done.touch()


def _onnx(work: Path, contract: Path, weights: tuple[str, ...]) -> Path:
    """The PyTorch network as ONNX, made by edge-convert itself: the source of the ONNX rows."""
    made = work / "onnx" / "resnet8-float32.onnx"
    if not made.exists():
        words = ["--to", "onnx:float32", "-o", str(made.parent), "--contract", str(contract)]
        words += ["--evaluate", str(work / "cifar-calibration"), *weights]
        subprocess.run(["edge-convert", "conversions_torch:ResNet8", *words], check=True, cwd=HERE)
    return made


def _pictures(data: Path, test: Path, calibration: Path) -> None:
    """Folders of CLASS/NNNN.jpg: to be judged on, and others to calibrate with."""
    for source in sorted((data / "images/cifar10").glob("*/*.jpg")):
        write(source.read_bytes(), test / source.parent.name / f"test-{source.name}")
    with zipfile.ZipFile(data / "images/cifar10-train.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        for kind in sorted({name.partition("/")[0] for name in names}):
            own = [name for name in names if name.startswith(f"{kind}/")]
            for name in own[:CALIBRATION]:
                write(archive.read(name), calibration / name)
            for name in own[-SEEN:]:
                write(archive.read(name), test / name)


def _sequences(work: Path) -> list[Task]:
    contract = work / "sequence.toml"
    contract.write_text(SEQUENCE, encoding="utf-8")
    random = np.random.default_rng(3)
    for name, count in (("waves", 200), ("others", 100)):
        steps = random.standard_normal((count, 32, 3)).cumsum(1) / 3
        np.savez(work / f"{name}.npz", wave=steps.astype(np.float32))
    keras = [
        ("Keras bidirectional GRU", "gru", ()),
        ("Keras bidirectional GRU, `--unroll`", "gru", ("--unroll",)),
        ("Keras LSTM", "lstm", ()),
        ("Keras LSTM, `--unroll`", "lstm", ("--unroll",)),
        ("Keras Transformer", "attention", ()),
    ]
    torch = [("PyTorch bidirectional GRU", "Gru"), ("PyTorch Transformer", "Attention")]
    models = [(title, str(work / f"keras-{name}.keras"), more) for title, name, more in keras]
    models += [
        (title, f"conversions_torch:{name}", ("--weights", str(work / f"torch-{name.lower()}.pt")))
        for title, name in torch
    ]
    targets = tuple(one for one in EVERY if one not in ("tflite:int8:int8", "tflite:int8:uint8"))
    data = (work / "waves.npz", work / "others.npz")
    return [
        Task("sequence", title, model, contract, targets, *data, more)
        for title, model, more in models
    ]


def write(content: bytes, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
