"""What can be converted, and by which way."""

from __future__ import annotations

import zipfile

import pytest
from edge_runtime.converters import plan, presets, source

from edge_runtime import shipped
from edge_runtime.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.keras", "keras"), ("a.H5", "keras"), ("a.pt2", "exported-program"), ("a.onnx", "onnx")],
)
def test_a_file_is_known_by_its_suffix(tmp_path, name, kind):
    (tmp_path / name).write_bytes(b"")
    assert source.find(str(tmp_path / name)).kind == kind


def test_folders_are_known_by_what_they_hold(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"")
    assert source.find(str(tmp_path)).kind == "saved-model"
    given = source.find(str(shipped.resolve("ecg-beats")))
    assert (given.kind, given.manifest.name) == ("tflite", "ecg-beats")
    with pytest.raises(ConfigError, match=r"holds neither saved_model.pb nor model.toml"):
        source.find(str(tmp_path.parent))


def test_a_torchscript_archive_is_told_from_a_pickle(tmp_path):
    script, pickle = tmp_path / "a.pt", tmp_path / "b.pt"
    for path, inside in ((script, "a/code/__torch__.py"), (pickle, "b/data.pkl")):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(inside, "")
    assert source.find(str(script)).kind == "torchscript"
    with pytest.raises(ConfigError, match="edge-convert my_module:build --weights b.pt"):
        source.find(str(pickle))


def test_a_module_needs_its_weights(tmp_path):
    with pytest.raises(ConfigError, match="needs --weights"):
        source.find("nets.small:build")
    weights = tmp_path / "w.pt"
    assert source.find("nets.small:build", weights).factory == "nets.small:build"


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"")
    with pytest.raises(ConfigError, match="not a model that is known here"):
        source.find(str(tmp_path / "a.txt"))
    with pytest.raises(ConfigError, match="there is no such file"):
        source.find(str(tmp_path / "b.onnx"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more"])
def test_an_archive_that_did_not_arrive_whole_is_told_as_such(tmp_path, content):
    (tmp_path / "a.ts").write_bytes(content)
    with pytest.raises(ConfigError, match="empty, or an archive that is cut short"):
        source.find(str(tmp_path / "a.ts"))


def test_targets_are_written_as_format_and_precision():
    assert str(plan.target("tflite:int8:uint8")) == "tflite:int8:uint8"
    assert plan.target("onnx:float16").filename("net") == "net-float16.onnx"
    for text, reason in (
        ("tflite:int9", "did you mean 'tflite:int8'"),
        ("onnx:int16x8", "does not exist"),
        ("onnx:int8:uint8", "only tflite:int8 takes"),
    ):
        with pytest.raises(ConfigError, match=reason):
            plan.target(text)


def test_a_way_that_does_not_exist_names_the_one_that_does():
    with pytest.raises(ConfigError, match=r"from torchscript there is no way to tflite: .*\.pt2"):
        plan.to_float("torchscript", "tflite")


def test_every_family_that_is_needed_is_known_before_anything_runs():
    wanted = (plan.target("tflite:int8"), plan.target("onnx:float32"))
    assert set(plan.families("torch", wanted)) == {"torch", "litert-torch", "convert"}
    assert set(plan.families("tflite", (plan.target("tflite:int8"),))) == {"convert"}


def test_a_preset_follows_the_delegates_of_the_board():
    assert [str(t) for t in presets.targets(presets.find("raspberry-pi-5"))] == [
        "tflite:int8",
        "onnx:int8",
    ]
    assert presets.find("jetson-orin-nano").after == ("tensorrt",)
    assert presets.find("coral").targets == ("tflite:int8:uint8",)
    with pytest.raises(ConfigError, match="did you mean 'raspberry-pi-"):
        presets.find("raspberry-pi-3")


def test_every_preset_names_targets_that_exist():
    for name in presets.names():
        assert presets.targets(presets.find(name))
