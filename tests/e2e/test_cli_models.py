"""`edge-run models`: list, show, verify."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import manifest
from edge_runtime.errors import ConfigError
from edge_runtime.tables import parse_toml

from .commands import edge_run

MOBILENET = "models/mobilenet-v1-025-imagenet/mobilenet_v1_0.25_224_uint8.tflite"


def test_list_shows_each_weights_file_of_a_folder(vww):
    found = edge_run("models", "list", vww.parent)

    assert found.code == 0
    assert "vww96  1.0.0" in found.out
    assert "int8" in found.out


def test_list_as_json_can_be_read_by_a_program(vww):
    rows = json.loads(edge_run("models", "list", vww.parent, "--json").out)

    assert [row["name"] for row in rows] == ["vww96"]
    assert rows[0]["kB"] == "333"


def test_list_tells_of_a_broken_manifest_and_lists_the_others(own_vww):
    broken = own_vww.parent / "broken"
    broken.mkdir()
    (broken / "model.toml").write_text("name = \n", encoding="utf-8")

    found = edge_run("models", "list", own_vww.parent)

    assert found.code == 2
    assert "vww96" in found.out
    assert len(found.errors) == 1
    assert "model.toml:1" in found.errors[0]


def test_list_of_a_folder_that_is_not_there_says_so(tmp_path):
    found = edge_run("models", "list", tmp_path / "nowhere")

    assert (found.code, len(found.errors)) == (2, 1)


def test_show_of_a_directory_gives_contract_card_and_accuracy(vww):
    found = edge_run("models", "show", vww)

    assert found.code == 0
    for text in ("colour=rgb", "2 labels: non_person, person", "README.md", "top_1"):
        assert text in found.out


def test_show_as_json_holds_the_whole_contract(vww):
    contract = json.loads(edge_run("models", "show", vww, "--json").out)

    assert contract["input"][0]["std"] == [255.0]
    assert contract["accuracy"] == {"top_1": 0.8}


@pytest.mark.parametrize(
    "file",
    [
        MOBILENET,
        "models/ssd-mobilenet-v1-coco/ssd_mobilenet_v1_coco_uint8.tflite",
        "models/wakeword-okay-nabu/okay_nabu.tflite",
        "models/silero-vad/silero_vad_16k_op15.onnx",
        "models/ppocr-v4-det/ch_PP-OCRv4_det_infer.onnx",
    ],
)
def test_show_of_a_bare_file_is_valid_toml_with_its_tensors(data, file):
    found = edge_run("models", "show", data / file)

    table = parse_toml(found.out, "model.toml").values
    assert found.code == 0
    assert table["file"][0]["sha256"] == manifest.digest(data / file)
    assert all(entry["name"] for entry in table["input"] + table["output"])
    assert "FILL" in found.out


def test_the_start_of_a_manifest_is_refused_until_a_person_has_answered(data, tmp_path):
    path = tmp_path / "model.toml"
    text = edge_run("models", "show", data / MOBILENET).out
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="colour"):
        manifest.read(path)

    answered = text
    for key in ("colour", "resize", "mean", "std"):
        answered = answered.replace(f"# {key} =", f"{key} =")
    path.write_text(answered, encoding="utf-8")

    assert manifest.read(path).input[0].mean == (127.5,)


def test_show_tells_of_the_labels_packed_into_a_file_and_unpacks_them(data):
    shown = edge_run("models", "show", data / MOBILENET)
    labels = edge_run("models", "show", data / MOBILENET, "--labels")

    assert "# Packed into the file: labels.txt" in shown.out
    assert labels.out.splitlines()[934] == "cheeseburger"
    assert len(labels.out.splitlines()) == 1001


def test_a_file_without_packed_labels_says_so(data):
    found = edge_run("models", "show", data / "models/vww96/vww_96_int8.tflite", "--labels")

    assert (found.code, len(found.errors)) == (2, 1)
    assert "no label list" in found.errors[0]


def hostile(folder: Path) -> dict[str, Path]:
    files = {
        "empty": folder / "empty.tflite",
        "text": folder / "text.tflite",
        "noise": folder / "noise.onnx",
        "pointer": folder / "pointer.onnx",
        "directory": folder / "directory.tflite",
    }
    files["empty"].touch()
    files["text"].write_text("hello\n" * 100, encoding="utf-8")
    files["noise"].write_bytes(b"\x08\x07\x12" + np.random.default_rng(1).bytes(4000))
    files["pointer"].write_text("version https://git-lfs.github.com/spec/v1\n", encoding="utf-8")
    files["directory"].mkdir()
    return files


@pytest.mark.parametrize("which", ["empty", "text", "noise", "pointer"])
@pytest.mark.parametrize("verb", [("models", "show"), ("bench", "--seconds", "0.1")])
def test_a_hostile_file_is_one_line_and_code_3(tmp_path, which, verb):
    found = edge_run(*verb, hostile(tmp_path)[which])

    assert found.code == 3
    assert len(found.errors) == 1
    assert str(tmp_path) in found.errors[0]


def test_a_directory_that_is_named_like_a_file_is_a_directory_without_a_manifest(tmp_path):
    found = edge_run("models", "show", hostile(tmp_path)["directory"])

    assert found.code == 2
    assert "model.toml" in found.errors[0]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_model_is_one_line_and_code_3(data, tmp_path, share):
    whole = (data / "models/vww96/vww_96_int8.tflite").read_bytes()
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(whole[: int(len(whole) * share)])

    found = edge_run("models", "show", cut)

    assert (found.code, len(found.errors)) == (3, 1)


def test_the_models_known_to_be_broken_are_refused_with_code_3(data):
    for name in ("model_invoking_error.tflite", "person_detect_int8.tflite"):
        found = edge_run("models", "show", data / "models" / "broken" / name)
        assert (found.code, len(found.errors)) == (3, 1)


def test_verify_replays_the_golden_vectors_on_each_delegate(vww):
    found = edge_run("models", "verify", vww)

    assert found.code == 0
    assert "ok    tflite int8 xnnpack" in found.out
    assert "ok    tflite int8 cpu" in found.out
    assert found.out.count("4 golden cases") == 2
    assert "not available: delegate edgetpu" in found.out
    assert "2 labels for 2 scores" in found.out


def test_verify_finds_changed_weights(own_vww):
    weights = own_vww / "vww_96_int8.tflite"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x55")

    found = edge_run("models", "verify", own_vww)

    assert found.code == 3
    assert "sha256 is" in found.out


def test_verify_finds_other_results_than_the_recorded_ones(own_vww):
    with np.load(own_vww / "golden.npz") as file:
        arrays = dict(file)
    arrays["output/0"] = arrays["output/0"][:, :, ::-1]
    np.savez(own_vww / "golden.npz", **arrays)

    found = edge_run("models", "verify", own_vww, "--json")

    failed = [item for item in json.loads(found.out)["findings"] if item["state"] == "fail"]
    assert found.code == 3
    assert {item["part"] for item in failed} == {"tflite int8 xnnpack", "tflite int8 cpu"}
    assert "golden vectors differ" in failed[0]["text"]


def test_verify_finds_a_label_too_many(own_vww):
    with (own_vww / "labels.txt").open("a", encoding="utf-8") as file:
        file.write("dog\n")

    found = edge_run("models", "verify", own_vww)

    assert found.code == 3
    assert "3 labels for 2 scores" in found.out


def test_verify_of_golden_vectors_that_are_no_archive_is_a_finding(own_vww):
    (own_vww / "golden.npz").write_bytes(b"PK\x03\x04 not really")

    found = edge_run("models", "verify", own_vww)

    assert found.code == 2
    assert "golden.npz" in found.out


def test_verify_of_a_model_that_is_not_there_says_so(tmp_path):
    found = edge_run("models", "verify", "no-such-model", cwd=tmp_path)

    assert (found.code, len(found.errors)) == (2, 1)
