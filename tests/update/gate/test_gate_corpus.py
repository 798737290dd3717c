"""F01 to F13: models that are broken or hostile, each refused by its word."""

from __future__ import annotations

import io
import os
import struct

import numpy as np
import pytest
from edge_runtime.converters.jobs.tflite import file as tflite_file

from edge_runtime.config import Rung
from edge_runtime.update.gate import contents, onnx_data

from . import graphs, hostile
from .gates import ONNX, TFLITE, refusal, unwalled
from .hostile import HALF, content, cut, golden, text

RUNGS = {"tflite": TFLITE, "onnx": ONNX}


def bad_onnx(tmp_path, data: bytes, judge=refusal, **limits):
    slot = hostile.slot(tmp_path / "slot", HALF, content(ONNX.file, data))
    return judge(slot, HALF, ONNX, **limits)


@pytest.mark.parametrize("kind", RUNGS)
@pytest.mark.parametrize("name", [name for name in hostile.no_models() if name != "eight"])
def test_f01_what_is_no_model_is_refused_before_any_loader(tmp_path, kind, name):
    data = hostile.no_models()[name]
    slot = hostile.slot(tmp_path / "slot", HALF, content(RUNGS[kind].file, data))
    manifest, _ = contents.read(slot)
    failure = next(check for check in contents.look(slot, manifest) if not check.passed)
    assert failure.name == "load"
    assert RUNGS[kind].file in failure.seen


@pytest.mark.parametrize("kind", RUNGS)
def test_f01_the_gate_refuses_what_is_no_model(tmp_path, kind):
    data = hostile.no_models()["pickle"]
    slot = hostile.slot(tmp_path / "slot", HALF, content(RUNGS[kind].file, data))
    assert refusal(slot, HALF, RUNGS[kind]).name == "load"


def test_f02_eight_bytes_of_tflite_are_refused(tmp_path):
    slot = hostile.slot(tmp_path / "slot", HALF, content(TFLITE.file, hostile.no_models()["eight"]))
    failure = refusal(slot, HALF, TFLITE)
    assert failure.name == "load"
    assert "cut short or damaged" in failure.seen


@pytest.mark.parametrize("kind", RUNGS)
@pytest.mark.parametrize("keep", [0.5, 0.9])
def test_f03_a_file_cut_short_with_the_right_hash_is_refused(tmp_path, kind, keep):
    slot = hostile.slot(tmp_path / "slot", HALF, cut(RUNGS[kind].file, keep=keep))
    assert unwalled(slot, HALF, RUNGS[kind]).name in ("load", "golden", "tensors")


def test_f04_a_file_short_by_a_hundred_bytes_is_refused_by_its_hash(tmp_path):
    slot = hostile.slot(tmp_path / "slot", HALF, cut(TFLITE.file, off=100), rehash=False)
    failure = refusal(slot, HALF, TFLITE)
    assert failure.name == "hash"
    assert failure.expected != failure.seen
    assert len(failure.seen) == 64


def test_f04_weights_without_a_hash_are_refused(tmp_path):
    def strip(slot):
        lines = (slot / "model.toml").read_text().splitlines()
        kept = [line for line in lines if not line.startswith("sha256")]
        (slot / "model.toml").write_text("\n".join(kept))

    failure = unwalled(hostile.slot(tmp_path / "slot", HALF, strip), HALF, ONNX)
    assert (failure.name, failure.expected) == ("hash", "a sha256 in model.toml")


def test_f05_a_tensor_of_impossible_size_is_refused(tmp_path):
    data = graphs.overflowing_tflite((HALF / TFLITE.file).read_bytes())
    slot = hostile.slot(tmp_path / "slot", HALF, content(TFLITE.file, data))
    assert refusal(slot, HALF, TFLITE).name == "load"


@pytest.mark.parametrize("name", ["reshape", "rank"])
def test_f05_a_reshape_of_impossible_size_is_refused(tmp_path, name):
    failure = bad_onnx(tmp_path, graphs.impossible()[name], unwalled)
    assert failure.name in ("load", "tensors")


@pytest.mark.parametrize("where", ["graph", "branch", "branches", "constant", "function"])
@pytest.mark.parametrize("place", ["../x", "/etc/passwd", "a/../../b", "weights.bin", "a/b"])
def test_f06_weights_kept_in_another_file_are_refused(tmp_path, place, where):
    slot = hostile.slot(tmp_path / "slot", HALF, content(ONNX.file, graphs.external(place, where)))
    manifest, _ = contents.read(slot)
    failure = next(check for check in contents.look(slot, manifest) if not check.passed)
    assert failure.name == "external data"
    assert repr(place) in failure.seen


def test_f06_the_gate_refuses_weights_kept_outside(tmp_path):
    assert bad_onnx(tmp_path, graphs.external("../x")).name == "external data"


def test_f06_damaged_protobuf_is_refused_not_followed(tmp_path):
    path = tmp_path / "m.onnx"
    deep = b""
    for _ in range(200):  # a graph in a node in a graph ...
        deep = b"\x0a" + _sized(b"\x2a" + _sized(b"\x32" + _sized(deep)))
    for data in (
        b"\x08\x0a\x3a\xff\xff\xff\xff\x7f",
        b"\x08" + b"\xff" * 12,
        b"\x3a" + _sized(deep),
    ):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="cut short|not protobuf|nested deeper"):
            onnx_data.external(path)


def _sized(data: bytes) -> bytes:
    size, length = b"", len(data)
    while length > 0x7F:
        size += bytes([length & 0x7F | 0x80])
        length >>= 7
    return size + bytes([length]) + data


def test_f07_a_hard_link_is_refused(tmp_path):
    outside = tmp_path / "secret.bin"
    outside.write_bytes(b"\0\0\0\0")

    def link(slot):
        os.link(outside, slot / "weights.bin")

    slot = hostile.slot(
        tmp_path / "slot", HALF, content(ONNX.file, graphs.external("weights.bin")), link
    )
    failure = refusal(slot, HALF, ONNX)
    assert (failure.name, "hard link" in failure.seen) == ("files", True)


@pytest.mark.parametrize("what", ["unlisted", "link", "folder link", "pipe"])
def test_f07_nothing_but_plain_listed_files_may_lie_there(tmp_path, what):
    make = {
        "unlisted": lambda path: path.write_bytes(b"\0"),
        "link": lambda path: path.symlink_to("/etc/passwd"),
        "folder link": lambda path: path.symlink_to(tmp_path),
        "pipe": os.mkfifo,
    }
    slot = hostile.slot(tmp_path / "slot", HALF)
    make[what](slot / "more.bin")
    manifest, _ = contents.read(slot)
    failure = next(contents.look(slot, manifest))
    assert not failure.passed
    assert "more.bin" in failure.seen


@pytest.mark.parametrize("operation", ["ConstantOfShape", "Expand"])
def test_f08_a_memory_bomb_gets_no_memory(tmp_path, operation):
    failure = bad_onnx(tmp_path, graphs.bomb(operation, 4000))
    assert failure.name == "tensors"
    assert operation in failure.seen


def test_f09_an_endless_loop_is_ended_by_its_cpu_time(tmp_path):
    failure = bad_onnx(tmp_path, graphs.endless(), cpu_s=2)
    assert (failure.name, failure.expected) == ("validation_timeout", "at most 2 s of CPU time")


def test_f09_an_endless_loop_is_ended_by_the_clock(tmp_path):
    failure = bad_onnx(tmp_path, graphs.endless(), wall_s=4.0)
    assert (failure.name, failure.expected) == ("validation_timeout", "an end within 4 s")


@pytest.mark.parametrize(
    "name", ["size lie", "negative size", "custom operation", "opset", "domain", "cycle"]
)
def test_f10_a_graph_that_lies_is_refused(tmp_path, name):
    assert bad_onnx(tmp_path, graphs.impossible()[name], unwalled).name == "load"


def test_f10_an_output_that_is_no_tensor_is_a_load_error(tmp_path):
    """LiteRT lays such a file out, and raises ValueError when it is asked for the output."""
    model = tflite_file.read(HALF / TFLITE.file)
    model.subgraphs[0].outputs = [-1]
    tflite_file.write(model, tmp_path / "bad.tflite")
    slot = hostile.slot(
        tmp_path / "slot", HALF, content(TFLITE.file, (tmp_path / "bad.tflite").read_bytes())
    )
    failure = refusal(slot, HALF, Rung("cpu", file=TFLITE.file))
    assert failure.name == "load"
    assert "damaged" in failure.seen


def test_f11_weights_that_are_no_numbers_are_refused(tmp_path):
    data = graphs.graph(*graphs.half_plus_two(), tensors=tuple(graphs.weights(slope=float("nan"))))
    failure = bad_onnx(tmp_path, data)
    assert (failure.name, failure.seen) == ("finite", "'y' of case 0 is not")


def test_f11_outputs_that_change_from_run_to_run_are_refused(tmp_path):
    failure = bad_onnx(tmp_path, graphs.restless(), unwalled)
    assert (failure.name, failure.expected) == ("deterministic", "the same bits in 3 runs")


F12 = {
    "shape": text("shape = [1, 1] ", "shape = [1, 2] "),
    "dtype": text('dtype = "float32"', 'dtype = "int8"'),
    "input name": text('name = "0"\nkind', 'name = "z"\nkind'),
    "output name": text('[[output]]\nname = "0"', '[[output]]\nname = "7"'),
    "weights": content(
        ONNX.file, graphs.graph(*graphs.half_plus_two(), tensors=tuple(graphs.weights(0.501)))
    ),
}


@pytest.mark.parametrize("what", F12)
def test_f12_a_file_that_is_not_what_its_manifest_says_is_refused(tmp_path, what):
    failure = unwalled(hostile.slot(tmp_path / "slot", HALF, F12[what]), HALF, ONNX)
    expected = {"shape": "window", "weights": "golden", "input name": "load"}
    assert failure.name == expected.get(what, "tensors")


@pytest.mark.parametrize("entry", ["[[input]]", "[[output]]"])
def test_f12_a_quantisation_that_is_not_the_files_is_refused(tmp_path, entry):
    other = text(f"{entry}\n", f"{entry}\nquantisation = {{ scale = 0.5, zero_point = 3 }}\n")
    slot = hostile.slot(tmp_path / "slot", hostile.SHAPES, other)
    failure = unwalled(slot, hostile.SHAPES, Rung("xnnpack"))
    assert failure.name == "tensors"
    assert "quantisation: the file says scale" in failure.seen


def test_f12_labels_that_are_too_many_are_refused(tmp_path):
    slot = hostile.slot(tmp_path / "slot", hostile.BEATS, content("labels.txt", b"N\nS\nV\nQ\nX\n"))
    failure = unwalled(slot, hostile.BEATS, Rung("xnnpack"))
    assert (failure.name, failure.expected) == ("labels", "N, S, V")
    assert failure.seen == "N, S, V, Q, X"


F13 = {
    "wrong": golden(lambda arrays: arrays | {"output/0": arrays["output/0"] + 1}),
    "not a number": golden(lambda arrays: arrays | {"output/0": arrays["output/0"] * np.nan}),
    "without cases": golden(lambda arrays: {name: array[:0] for name, array in arrays.items()}),
    "without outputs": golden(lambda arrays: {"input/0": arrays["input/0"]}),
    "fewer outputs": golden(lambda arrays: arrays | {"output/0": arrays["output/0"][:-1]}),
    "another shape": golden(lambda arrays: arrays | {"input/0": arrays["input/0"].repeat(3, 2)}),
    "pickled": golden(lambda arrays: arrays | {"input/0": np.array([object()])}),
    "empty file": content("golden.npz", b""),
    "no archive": content("golden.npz", b"PK\3\4" + bytes(100)),
    "one array": lambda slot: content("golden.npz", _npy())(slot),
    "damaged within": lambda slot: content("golden.npz", _deflated())(slot),
}


def _npy() -> bytes:
    out = io.BytesIO()
    np.save(out, np.zeros((1, 1)))
    return out.getvalue()


def _deflated() -> bytes:
    """Compressed, and the first byte of the compressed data is no block that deflate has."""
    out = io.BytesIO()
    np.savez_compressed(out, **{"input/0": np.zeros((1, 1, 1))})
    data = bytearray(out.getvalue())
    name, extra = struct.unpack_from("<HH", data, 26)
    data[30 + name + extra] = 0xFF
    return bytes(data)


@pytest.mark.parametrize("what", F13)
def test_f13_golden_vectors_that_do_not_prove_are_refused(tmp_path, what):
    slot = hostile.slot(tmp_path / "slot", HALF, F13[what])
    assert unwalled(slot, HALF, ONNX).name == "golden"


def test_f13_a_model_without_golden_vectors_is_refused(tmp_path):
    none = text('[golden]\nfile = "golden.npz"\ntolerance = 0.0\n', "")
    slot = hostile.slot(tmp_path / "slot", HALF, none, lambda slot: (slot / "golden.npz").unlink())
    failure = refusal(slot, HALF, ONNX)
    assert (failure.name, failure.seen) == ("golden", "none in model.toml")


def test_f13_a_golden_file_that_is_not_there_is_refused(tmp_path):
    slot = hostile.slot(tmp_path / "slot", HALF, lambda slot: (slot / "golden.npz").unlink())
    assert unwalled(slot, HALF, ONNX).name == "golden"


@pytest.mark.parametrize("value", ["1e9", "-1.0"])
def test_f13_a_tolerance_that_lets_everything_pass_is_refused(tmp_path, value):
    slot = hostile.slot(tmp_path / "slot", HALF, text("tolerance = 0.0", f"tolerance = {value}"))
    assert unwalled(slot, HALF, ONNX).name == "tolerance"


@pytest.mark.parametrize("edit", [F13["wrong"], F12["weights"]], ids=["golden", "weights"])
def test_f13_the_gate_refuses_what_the_golden_vectors_tell(tmp_path, edit):
    failure = refusal(hostile.slot(tmp_path / "slot", HALF, edit), HALF, ONNX)
    assert failure.name == "golden"
    assert "largest error" in failure.seen
