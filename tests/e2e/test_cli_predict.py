"""`edge-run predict`: a line for each result, and no input that spoils the others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.manifest import digest

from .commands import ROOT, edge_run

MOBILENET = """\
name = "mobilenet"
version = "1.0.0"
task = "classification"
[[file]]
path = "mobilenet.tflite"
format = "tflite"
precision = "int8"
[[input]]
name = "input"
kind = "image"
layout = "NHWC"
colour = "rgb"
resize = "stretch"
mean = [127.5]
std = [127.5]
[[output]]
name = "0"
meaning = "scores"
[postprocess]
kind = "classification"
labels = "labels.txt"
"""

KWS = """\
name = "kws"
version = "1.0.0"
task = "classification"
[[file]]
path = "kws_int8.tflite"
format = "tflite"
precision = "int8"
[[input]]
name = "input_1"
kind = "signal"
shape = [1, 49, 10, 1]
layout = "NTC"
units = "raw"
rate_hz = 50.0
[[output]]
name = "0"
meaning = "scores"
[postprocess]
kind = "classification"
labels = "labels.txt"
"""
SILERO = """\
name = "silero-vad"
version = "1.0.0"
task = "tensors"
[[file]]
path = "silero_vad_16k_op15.onnx"
format = "onnx"
precision = "float32"
[[input]]
name = "input"
kind = "signal"
shape = [1, 576]
layout = "NT"
units = "raw"
rate_hz = 16000.0
context = 64
[[input]]
name = "state"
kind = "state"
shape = [2, 1, 128]
state = "stateN"
[[input]]
name = "sr"
kind = "constant"
value = [16000.0]
[[output]]
name = "output"
meaning = "scores"
[[output]]
name = "stateN"
meaning = "state"
[postprocess]
kind = "tensors"
"""
RUN = """\
[model]
path = "anywhere"
[[source]]
kind = "csv"
[[step]]
kind = "window"
length_s = 0.032
[[sink]]
kind = "console"
"""
WORDS = "down go left no off on right stop up yes silence unknown"


@pytest.fixture(scope="module")
def mobilenet(data, tmp_path_factory) -> tuple[Path, Path]:
    """A bare file and a manifest for it that lies elsewhere."""
    file = data / "models/mobilenet-v1-025-imagenet/mobilenet_v1_0.25_224_uint8.tflite"
    folder = tmp_path_factory.mktemp("mobilenet")
    text = MOBILENET.replace("mobilenet.tflite", file.name)
    (folder / "model.toml").write_text(text, encoding="utf-8")
    labels = edge_run("models", "show", file, "--labels").out
    (folder / "labels.txt").write_text(labels, encoding="utf-8")
    return file, folder / "model.toml"


@pytest.fixture(scope="module")
def kws(data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("kws")
    shutil.copy(data / "models/kws-dscnn/kws_int8.tflite", folder)
    (folder / "model.toml").write_text(KWS, encoding="utf-8")
    (folder / "labels.txt").write_text("\n".join(WORDS.split()) + "\n", encoding="utf-8")
    return folder


def test_a_bare_file_with_its_manifest_sees_the_cheeseburger(data, mobilenet):
    model, manifest = mobilenet
    found = edge_run(
        "predict", model, "--manifest", manifest, data / "images/burger.jpg", "--top", "2"
    )

    assert found.code == 0
    name, first, *_ = found.out.split("  ")
    assert name.endswith("burger.jpg")
    assert first.startswith("cheeseburger 0.9")
    assert first.count(",") == 1


def test_a_bare_file_without_a_manifest_is_told_how_to_make_one(data, mobilenet):
    found = edge_run("predict", mobilenet[0], data / "images/burger.jpg")

    assert (found.code, len(found.errors)) == (2, 1)
    assert "models show" in found.errors[0]


def test_json_is_the_result_as_on_the_wire(data, vww):
    found = edge_run("predict", vww, data / "images/burger.jpg", "--json")

    result = json.loads(found.out)
    assert result["source"] == str(data / "images/burger.jpg")
    assert result["model"]["sha256"] == digest(vww / "vww_96_int8.tflite")
    assert result["result"]["kind"] == "labels"
    assert result["result"]["labels"][0]["label"] == "non_person"


def test_a_directory_and_a_pattern_stand_for_their_images_in_order(data, vww):
    folder = data / "images/cifar10/cat"
    by_directory = edge_run("predict", vww, folder, "--json").out.splitlines()
    by_pattern = edge_run("predict", vww, folder / "*.jpg", "--json").out.splitlines()

    names = [json.loads(line)["source"] for line in by_directory]
    assert names == sorted(map(str, folder.glob("*.jpg")))
    assert [json.loads(line)["source"] for line in by_pattern] == names


def test_bad_images_are_named_and_counted_and_the_others_go_on(data, vww, tmp_path):
    burger = data / "images/burger.jpg"
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("hello", encoding="utf-8")
    (tmp_path / "cut.jpg").write_bytes(burger.read_bytes()[:400])
    (tmp_path / "none").mkdir()
    bad = [tmp_path / name for name in ("cut.png", "empty.jpg", "text.jpg", "cut.jpg")]
    bad += [tmp_path / "none", tmp_path / "missing.jpg"]

    found = edge_run("predict", vww, *bad, burger)

    assert found.code == 1
    assert len(found.out.splitlines()) == 1
    assert "burger.jpg  non_person" in found.out
    for path in bad:
        assert sum(str(path) in line for line in found.errors) == 1
    assert found.errors[-1].endswith("6 of 7 inputs could not be used")


def test_a_flood_of_bad_images_is_not_a_flood_of_lines(vww, tmp_path):
    for number in range(60):
        (tmp_path / f"{number:02}.png").write_bytes(b"not a picture")

    found = edge_run("predict", vww, tmp_path)

    assert found.code == 1
    assert len(found.errors) < 30
    assert "60 of 60" in found.errors[-1]


def test_a_damaged_model_is_code_3(own_vww, data):
    weights = own_vww / "vww_96_int8.tflite"
    weights.write_bytes(weights.read_bytes()[:5000])

    found = edge_run("predict", own_vww, data / "images/burger.jpg")

    assert (found.code, len(found.errors)) == (3, 1)


def test_a_delegate_that_is_not_here_is_code_3_and_an_unknown_one_is_code_2(vww, data):
    absent = edge_run("predict", vww, data / "images/burger.jpg", "--delegate", "edgetpu")
    unknown = edge_run("predict", vww, data / "images/burger.jpg", "--delegate", "xnpack")

    assert (absent.code, unknown.code) == (3, 2)
    assert "libedgetpu" in absent.errors[0]
    assert "xnnpack" in unknown.errors[0]


def test_a_tensor_file_goes_straight_into_the_model(data, kws):
    found = edge_run("predict", kws, data / "models/kws-dscnn/golden_input_int8.npy")

    assert found.code == 0
    assert "  on 0.9" in found.out


def test_real_numbers_are_stored_as_the_tensor_stores_them(data, kws, tmp_path):
    stored = np.load(data / "models/kws-dscnn/golden_input_int8.npy").astype(np.float32)
    np.savez(tmp_path / "real.npz", input_1=((stored - 83) * 0.584702909).reshape(1, 49, 10, 1))

    found = edge_run("predict", kws, tmp_path / "real.npz")

    assert found.code == 0
    assert "  on 0.9" in found.out


def test_tensors_that_do_not_fit_are_named_and_counted(kws, tmp_path, data):
    np.save(tmp_path / "nan.npy", np.full((1, 49, 10, 1), np.nan, np.float32))
    np.save(tmp_path / "shape.npy", np.zeros(7, np.int8))
    np.save(tmp_path / "type.npy", np.zeros((1, 49, 10, 1), np.int64))
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "text.npy").write_text("hello", encoding="utf-8")
    (tmp_path / "empty.npy").touch()
    (tmp_path / "text.npz").write_text("hello", encoding="utf-8")
    header = (
        b"\x93NUMPY\x01\x00v\x00{'descr': '|i1', 'fortran_order': False, 'shape': (99999999999,)}"
    )
    (tmp_path / "huge.npy").write_bytes(header.ljust(127) + b"\n")
    np.savez(tmp_path / "name.npz", other=np.zeros((1, 49, 10, 1), np.int8))
    bad = sorted(tmp_path.iterdir())

    found = edge_run("predict", kws, *bad, data / "models/kws-dscnn/golden_input_int8.npy")

    assert found.code == 1
    assert "  on 0.9" in found.out
    for path in bad:
        assert sum(str(path) in line for line in found.errors) == 1, path
    assert found.errors[-1].endswith(f"{len(bad)} of {len(bad) + 1} inputs could not be used")


def test_tensors_among_images_are_refused(vww, data, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((1, 96, 96, 3), np.int8))

    found = edge_run("predict", vww, tmp_path / "a.npy", data / "images/burger.jpg")

    assert (found.code, len(found.errors)) == (2, 1)


def test_a_signal_of_another_shape_names_the_steps_that_are_missing(kws, tmp_path):
    rows = "\n".join("1.0,2.0" for _ in range(100))
    (tmp_path / "ecg.csv").write_text(f"I,II\n{rows}\n", encoding="utf-8")

    without = edge_run("predict", kws, tmp_path / "ecg.csv")
    found = edge_run("predict", kws, tmp_path / "ecg.csv", "--rate", "360")

    assert without.code == 1
    assert "rate_hz" in without.errors[0]
    assert found.code == 1
    assert len(found.errors) == 2


def test_the_steps_of_a_run_file_make_the_input_of_a_signal_model(data, tmp_path):
    (tmp_path / "model.toml").write_text(SILERO, encoding="utf-8")
    (tmp_path / "run.toml").write_text(RUN, encoding="utf-8")
    loudness = np.random.default_rng(2).normal(0.0, 0.01, 5 * 512 + 100)
    rows = "\n".join(f"{value:.6f}" for value in loudness)
    (tmp_path / "sound.csv").write_text(f"sound\n{rows}\n", encoding="utf-8")

    found = edge_run(
        *("predict", data / "models/silero-vad/silero_vad_16k_op15.onnx", tmp_path / "sound.csv"),
        *("--manifest", tmp_path / "model.toml", "--steps", tmp_path / "run.toml"),
        *("--rate", "16000", "--json"),
    )

    assert found.code == 0, found.err
    results = [json.loads(line) for line in found.out.splitlines()]
    assert [result["seq"] for result in results] == [0, 1, 2, 3, 4]
    assert all(result["result"]["tensors"][0]["data"][0] < 0.5 for result in results)


def test_the_shipped_beat_model_reads_a_record_with_its_own_steps(data):
    model = ROOT / "models" / "ecg-beats"
    if not (model / "model.toml").is_file():
        pytest.skip("models/ecg-beats is not trained yet: see its train.py")

    found = edge_run("predict", model, data / "ecg/mitdb/100", "--json")

    beats = [json.loads(line)["result"]["beats"][0] for line in found.out.splitlines()]
    assert found.code == 0, found.err
    assert 2150 < len(beats) < 2300  # 2273 are annotated
    assert sum(beat["label"] == "N" for beat in beats) > 2000


def test_a_hostile_record_is_named_and_counted(kws, tmp_path):
    (tmp_path / "r.hea").write_text("r 1 360 99999999999999\nr.dat 212\n", encoding="utf-8")
    (tmp_path / "r.dat").write_bytes(b"\0" * 10)

    found = edge_run("predict", kws, tmp_path / "r")

    assert found.code == 1
    assert found.errors[-1].endswith("1 of 1 inputs could not be used")
