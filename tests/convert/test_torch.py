"""PyTorch networks, from every form that they are saved in, to every file that is made of them."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from edge_runtime.converters import child
from edge_runtime.converters.errors import ConversionError

from edge_runtime.backends.onnx import Onnx
from edge_runtime.backends.tflite import TFLite

from ..families import python_of

HERE = Path(__file__).parent
SHAPES = {
    "Images": {"image": (3, 12, 12)},
    "Signal": {"signal": (2, 64)},
    "Recurrent": {"signal": (6, 3)},
    "Attention": {"signal": (10, 3)},
    "Two": {"signal": (2, 32), "age": (5,)},
    "Unsupported": {"x": (4,)},
    "Odd": {"x": (4,)},
}
CASES = 5


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory, one_thread) -> Path:
    folder = tmp_path_factory.mktemp("torch")
    python, script = python_of("torch"), HERE / "torch_nets.py"
    subprocess.run([python, "-W", "ignore", script, folder], check=True, env=os.environ)
    random = np.random.default_rng(1)
    for net, inputs in SHAPES.items():
        arrays = {
            name: random.standard_normal((CASES, *shape)).astype(np.float32)
            for name, shape in inputs.items()
        }
        np.savez(folder / f"{net}-cases.npz", **arrays)
    return folder


@pytest.fixture(scope="module")
def reference(files):
    """What torch itself gives for the cases of a network, read from its state_dict."""
    known = {}

    def outputs(net):
        if net not in known:
            out = files / f"{net}-reference.npz"
            convert("torch.predict", files, net, f"{net}.pt", out)
            known[net] = load(out)
        return known[net]

    return outputs


def convert(job, files, net, file, out, *, family="torch", **options):
    """Run a job on one of the files; `.pt` files are the weights of a factory."""
    options = {"path": str(HERE), **options}
    if file.endswith((".pt", ".ckpt")):
        options.setdefault("factory", f"torch_nets:{net}")
    told = {
        "source": str(files / file),
        "out": str(out),
        "options": options,
        "cases": str(files / f"{net}-cases.npz"),
    }
    return child.run(python_of(family), job, told, timeout_s=300)


def load(path):
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


def run(backend, files, net, batch=1):
    """The outputs of the device's own backend for all cases, (cases, ...) each."""
    cases = load(files / f"{net}-cases.npz")
    backend.open()
    parts = [
        backend.run([cases[spec.name][start : start + batch] for spec in backend.inputs])
        for start in range(0, CASES, batch)
    ]
    backend.close()
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


def assert_close(found, expected):
    assert len(found) == len(expected)
    for have, want in zip(found, expected.values(), strict=True):
        assert want.std() > 0.01
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("net", "file", "batch"),
    [
        ("Images", "Images.pt", 0),
        ("Signal", "Signal.pt2", 1),
        ("Signal", "Signal.ts", 0),
        ("Recurrent", "Recurrent.pt", 0),
        ("Recurrent", "Recurrent.ts", 1),
        ("Attention", "Attention.pt", 1),
        ("Two", "Two.pt2", 0),
        ("Two", "Two.ts", 0),
    ],
)
def test_the_onnx_file_gives_what_torch_gives(files, reference, tmp_path, *, net, file, batch):
    out = tmp_path / "made.onnx"

    facts = convert("torch.to_onnx", files, net, file, out, batch=batch, metadata={"name": net})

    found = run(Onnx(path=out), files, net, batch or 3)
    assert_close(found, reference(net))
    assert [tensor["name"] for tensor in facts["inputs"]] == list(SHAPES[net])
    assert [tensor["shape"][0] for tensor in facts["inputs"]] == [batch or -1] * len(SHAPES[net])
    assert facts["opset"] == (17 if file.endswith(".ts") else 18)
    assert facts["ir_version"] <= 10
    content = out.read_bytes()
    assert net.encode() in content
    assert (b"batch" in content) == (batch == 0)
    assert b"s77" not in content  # torch.export's own name for the batch
    assert b"torch_nets" not in content
    assert b"site-packages" not in content


@pytest.mark.parametrize(
    ("net", "file"),
    [
        ("Images", "Images.pt"),
        ("Signal", "Signal.pt2"),
        ("Recurrent", "Recurrent.pt"),
        ("Attention", "Attention.pt"),
        ("Two", "Two.pt2"),
    ],
)
def test_the_tflite_file_gives_what_torch_gives(files, reference, tmp_path, net, file):
    out = tmp_path / "made.tflite"

    facts = convert("torch.to_tflite", files, net, file, out, family="litert-torch")

    backend = TFLite(path=out)
    assert_close(run(backend, files, net), reference(net))
    assert [tensor["shape"] for tensor in facts["inputs"]] == [
        [1, *shape] for shape in SHAPES[net].values()
    ]
    notes = " ".join(facts["notes"])
    assert ("channels first" in notes) == (net in ("Images", "Signal", "Two"))
    assert ("`gru` (6 steps): unrolled" in notes) == (net == "Recurrent")
    if net == "Two":
        assert [tensor["name"] for tensor in facts["outputs"]] == ["score", "feature"]


@pytest.mark.parametrize(
    ("net", "file", "out", "batch"),
    [
        ("Two", "Two.pt", "made.ts", 0),
        ("Two", "Two.pt2", "made.ts", 1),
        ("Two", "Two.ts", "made.ts", 0),
        ("Recurrent", "Recurrent.pt", "made.pt2", 0),
        ("Signal", "Signal.pt2", "made.pt2", 1),
    ],
)
def test_an_archive_for_a_server_keeps_its_metadata_and_is_read_again(
    files, reference, tmp_path, *, net, file, out, batch
):
    metadata = {"name": net, "version": "1.2.0", "labels": ["a", "b"]}
    made = tmp_path / out

    convert("torch.export", files, net, file, made, batch=batch, metadata=metadata)

    with zipfile.ZipFile(made) as archive:
        name = next(one for one in archive.namelist() if one.endswith("extra/metadata.json"))
        told = json.loads(archive.read(name))
    assert told["labels"] == ["a", "b"]
    assert [(each["name"], tuple(each["shape"])) for each in told["inputs"]] == list(
        SHAPES[net].items()
    )
    again = tmp_path / "again.npz"
    convert("torch.predict", files, net, str(made), again)
    assert_close(list(load(again).values()), reference(net))


def test_names_and_a_checkpoint_of_several_gpus_are_understood(files, reference, tmp_path):
    out = tmp_path / "found.npz"

    facts = convert("torch.predict", files, "Signal", "checkpoint.ckpt", out, outputs=["rhythm"])

    assert list(load(out)) == ["rhythm"]
    assert_close(list(load(out).values()), reference("Signal"))
    assert "'state_dict' of the checkpoint" in facts["notes"][0]


REFUSED = {
    "a state_dict alone": ("Signal.pt", {"factory": ""}, "holds weights and not the network"),
    "a pickled module": ("whole.pt", {"factory": ""}, "asks for `torch_nets.Signal`.*--trust"),
    "other keys": ("keys.pt", {}, "missing `body.weight`, .*unexpected `trunk.weight`"),
    "another shape": ("shape.pt", {}, r"`head.weight` is \(5, 8\) in the file and \(3, 8\)"),
    "a NaN": ("nan.pt", {}, "`body.bias` holds NaN or infinity in 1 of 8"),
    "no torch file": ("noise.pt", {}, "not a file of torch.save"),
    "a program in training mode": ("train.pt2", {}, "`body.1` is in training mode.*eval"),
    "a factory that raises": (
        "Signal.pt",
        {"factory": "torch_nets:fails"},
        "factory torch_nets:fails: ValueError: the corpus is not there",
    ),
    "a factory of something else": (
        "Signal.pt",
        {"factory": "torch_nets:no_module"},
        "gives a int, not a torch module",
    ),
    "a factory that is not there": ("Signal.pt", {"factory": "nets:build"}, "No module named"),
    "too few names of outputs": ("Signal.ts", {"outputs": ["a", "b"]}, "has 1 outputs; 2 are"),
    "an input of another size": (
        "Signal.pt2",
        {"inputs": [{"name": "signal", "shape": [64, 2]}]},
        r"a case is \(2, 64\), the network takes \(64, 2\)",
    ),
}


@pytest.mark.parametrize("what", list(REFUSED))
def test_a_source_that_cannot_be_read_is_refused(files, tmp_path, what):
    file, options, message = REFUSED[what]

    with pytest.raises(ConversionError, match=message) as caught:
        convert("torch.predict", files, "Signal", file, tmp_path / "out.npz", **options)

    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("poison", ["inputs", "weights", "size", "operator", "guard"])
def test_a_program_that_would_run_code_is_refused_before_torch_reads_it(files, tmp_path, poison):
    with pytest.raises(ConversionError, match="--trust"):
        convert("torch.predict", files, "Signal", f"poison-{poison}.pt2", tmp_path / "out.npz")

    assert not list(files.glob("ran-*"))


def test_a_pickle_that_would_run_code_runs_it_only_when_trusted(files, tmp_path):
    out, marker = tmp_path / "out.npz", files / "ran-pickle"

    with pytest.raises(ConversionError, match=r"asks for `posix.mkdir`.*would run code"):
        convert("torch.predict", files, "Signal", "runs.pt", out)
    assert not marker.exists()

    with pytest.raises(ConversionError, match="holds a"):
        convert("torch.predict", files, "Signal", "runs.pt", out, trust=True)
    assert marker.exists()
    marker.rmdir()


def test_a_pickled_module_is_converted_when_trusted(files, reference, tmp_path):
    out = tmp_path / "out.npz"

    facts = convert("torch.predict", files, "Signal", "whole.pt", out, factory="", trust=True)

    assert_close(list(load(out).values()), reference("Signal"))
    assert "trusted" in facts["notes"][0]


@pytest.mark.parametrize(
    ("job", "family", "file"),
    [
        ("torch.to_onnx", "torch", "Unsupported.pt"),
        ("torch.to_onnx", "torch", "Unsupported.ts"),
        ("torch.to_tflite", "litert-torch", "Unsupported.pt2"),
    ],
)
def test_an_operation_without_a_counterpart_is_named_with_its_module(
    files, tmp_path, job, family, file
):
    with pytest.raises(ConversionError, match=r"`head` \(Values\): .*svd.*; write it with"):
        convert(job, files, "Unsupported", file, tmp_path / "out", family=family)

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("file", "batch", "factory", "message"),
    [
        ("Odd.pt", 1, "branches", r"`inner` \(Inner\) fails: .*data-dependent"),
        ("Odd.pt", 1, "wrong_shape", r"`inner` \(Inner\) fails: shape .*; the inputs are x"),
        ("Odd.pt", 0, "batch_of_two", r"`inner` \(Inner\) fails: shape"),
    ],
)
def test_a_network_that_cannot_be_captured_names_the_module(
    files, tmp_path, *, file, batch, factory, message
):
    factory = f"torch_nets:{factory}"

    with pytest.raises(ConversionError, match=message):
        convert("torch.to_onnx", files, "Odd", file, tmp_path / "o", batch=batch, factory=factory)

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("job", "family", "net", "file", "batch", "message"),
    [
        ("torch.to_tflite", "litert-torch", "Signal", "Signal.ts", 1, r"\.pt2.*module:callable"),
        ("torch.to_onnx", "torch", "Attention", "Attention.ts", 1, "`encoder.layers.0.self_attn`"),
        ("torch.to_onnx", "torch", "Signal", "fixed.pt2", 0, "exported with a batch of 1.*Dim"),
        ("torch.export", "torch", "Signal", "Signal.pt2", 0, "holds its batch"),
    ],
)
def test_a_way_that_does_not_exist_is_refused_with_the_way_out(
    files, tmp_path, *, job, family, net, file, batch, message
):
    with pytest.raises(ConversionError, match=message):
        convert(job, files, net, file, tmp_path / "out", family=family, batch=batch)

    assert not list(tmp_path.iterdir())
