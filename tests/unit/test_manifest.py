from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime import manifest
from edge_runtime.errors import ConfigError, ModelLoadError

TEXT = """\
name = "vww"
version = "1.0.0"
task = "classification"
[[file]]
path = "vww.tflite"
format = "tflite"
precision = "int8"
[[input]]
name = "0"
kind = "image"
layout = "NHWC"
colour = "rgb"
resize = "stretch"
mean = [0]
std = [255]
[[output]]
name = "0"
meaning = "scores"
[postprocess]
kind = "classification"
labels = "labels.txt"
[golden]
tolerance = 0.05
[accuracy]
top_1 = 0.8
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "model.toml").write_text(TEXT)
    (tmp_path / "labels.txt").write_text("non_person\nperson\n\n")
    return tmp_path


def refusal(directory: Path, old: str, new: str) -> str:
    (directory / "model.toml").write_text(TEXT.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        manifest.read(directory)
    return str(caught.value)


def test_a_model_directory_is_read_whole(directory: Path):
    model = manifest.read(directory)
    assert (model.name, model.version, model.input[0].std) == ("vww", "1.0.0", (255.0,))
    assert model.labels() == ("non_person", "person")
    assert model.path(model.file[0]) == directory / "vww.tflite"
    assert model.accuracy == {"top_1": 0.8}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mean = [0]\n", "", "model.toml:8: [input] mean: is missing: an input of kind 'image'"),
        ('colour = "rgb"', 'color = "rgb"', "color: unknown key; did you mean 'colour'?"),
        ('"rgb"', '"rbg"', "'rbg' is not one of , rgb, bgr, grey; did you mean 'rgb'?"),
        ("std = [255]", "std = [0]", "std: must not be 0"),
        ('"NHWC"', '"NTC"', "layout: an image is NHWC or NCHW"),
        ("tolerance = 0.05", 'file = "../golden.npz"', "must lie inside the directory"),
        ("[[output]]", "[[outptu]]", "did you mean 'output'?"),
    ],
)
def test_a_wrong_manifest_is_told_with_file_line_and_key(
    directory: Path, old: str, new: str, message: str
):
    assert message in refusal(directory, old, new)


@pytest.mark.parametrize("path", ["/etc/passwd", "../other.tflite", "a/../../b"])
def test_weights_never_lie_outside_the_directory(directory: Path, path: str):
    (directory / "model.toml").write_text(TEXT.replace("vww.tflite", path))
    model = manifest.read(directory)
    with pytest.raises(ConfigError, match="must lie inside the directory"):
        model.path(model.file[0])


def test_numbered_labels_set_their_own_index(tmp_path: Path):
    path = tmp_path / "labels.txt"
    path.write_text("0  person\n2  car\n")
    assert manifest.read_labels(path) == ("person", "", "car")


@pytest.mark.parametrize("label", ["\u00b2 cat", "9999999 cat", "9" * 5000 + " cat"])
def test_what_is_no_index_is_part_of_a_label(tmp_path, label):
    path = tmp_path / "labels.txt"
    path.write_text(f"{label}\n")

    assert manifest.read_labels(path) == (label,)


def test_changed_weights_are_refused(directory: Path):
    weights = directory / "vww.tflite"
    weights.write_bytes(b"weights")
    right = manifest.digest(weights)
    assert manifest.verified_digest(weights, right) == right
    weights.write_bytes(b"wejghts")
    with pytest.raises(ModelLoadError, match="the file was changed or damaged"):
        manifest.verified_digest(weights, right)


def test_missing_weights_are_a_model_error(directory: Path):
    with pytest.raises(ModelLoadError, match="No such file"):
        manifest.digest(directory / "none.tflite")
