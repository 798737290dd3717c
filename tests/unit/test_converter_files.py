"""A model directory appears whole or not at all; vendors' programs are called as documented."""

from __future__ import annotations

import pytest
from edge_runtime.converters import environment, vendors
from edge_runtime.converters.errors import ConversionError
from edge_runtime.converters.staging import staged

from edge_runtime.errors import ConfigError


def test_a_directory_appears_when_the_block_ends_well(tmp_path):
    with staged(tmp_path / "out") as folder:
        (folder / "a").write_text("new")
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out" / "a").read_text() == "new"
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_an_error_or_an_interrupt_leaves_what_was_there(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("old")
    for error in (ConversionError("no"), KeyboardInterrupt()):
        with pytest.raises(type(error)), staged(tmp_path / "out", overwrite=True) as folder:
            (folder / "a").write_text("half")
            raise error
    assert (tmp_path / "out" / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_a_directory_is_replaced_only_when_that_is_wanted(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(ConfigError, match="--overwrite"), staged(tmp_path / "out"):
        pass
    with staged(tmp_path / "out", overwrite=True) as folder:
        (folder / "b").write_text("new")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b"]
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"), staged(tmp_path / "file" / "out"):
        pass


def test_a_family_that_is_not_there_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("EDGE_CONVERT_LITERT_TORCH", raising=False)
    assert environment.find("litert-torch") is None
    with pytest.raises(ConfigError, match="edge-convert setup litert-torch"):
        environment.need("litert-torch", "torch to tflite")
    monkeypatch.setenv("EDGE_CONVERT_LITERT_TORCH", "/nowhere/python")
    with pytest.raises(ConfigError, match="/nowhere/python: there is no such program"):
        environment.need("litert-torch", "torch to tflite")


def test_half_an_environment_is_none_nor_one_of_other_versions(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("EDGE_CONVERT_KERAS", raising=False)
    folder = tmp_path / "edge-run" / "convert" / "keras"
    folder.mkdir(parents=True)
    assert environment.find("keras") is None
    (folder / "packages.txt").write_text("keras==2.0.0")
    assert environment.find("keras") is None
    (folder / "packages.txt").write_text("\n".join(environment.packages("keras")))
    assert environment.find("keras") == environment.make("keras") == folder / "bin" / "python"


def test_the_packages_of_a_family_are_those_of_its_extra():
    assert "onnxslim==0.1.98" in environment.packages("convert")
    assert "torch==2.13.0" in environment.packages("torch")
    assert not any("torch" in name for name in environment.packages("keras"))
    assert 'onnx2tf==2.6.9; python_version >= "3.12"' in environment.packages("onnx2tf")


def test_a_vendor_program_that_is_missing_is_named_with_its_page(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="trtexec is not installed: it comes with TensorRT"):
        vendors.tensorrt(tmp_path / "a.onnx", tmp_path / "a.engine", "float16")
    with pytest.raises(ConfigError, match=r"coral.ai/docs/edgetpu/compiler"):
        vendors.edgetpu(tmp_path / "a.tflite", tmp_path)


@pytest.mark.parametrize(
    ("banner", "asked", "flags"),
    [
        ("v110401", ("float16", None), []),
        ("v101300", ("int8", None), ["--stronglyTyped"]),
        ("v101300", ("int8", "calib.bin"), ["--int8", "--fp16", "--calib=calib.bin"]),
        ("v8602", ("float16", None), ["--fp16"]),
        ("v8602", ("float32", None), []),
    ],
)
def test_each_tensorrt_is_told_the_precision_in_its_own_words(
    monkeypatch, tmp_path, banner, asked, flags
):
    """A stand-in of ours notes its arguments: no trtexec runs on this kind of machine."""
    program, noted, out = tmp_path / "trtexec", tmp_path / "noted", tmp_path / "a.engine"
    program.write_text(
        f'#!/bin/sh\necho "&&&& RUNNING TensorRT.trtexec [TensorRT {banner}] # trtexec"\n'
        f'[ "$1" = --help ] && exit 0\nprintf "%s\\n" "$@" > {noted}\necho engine > {out}\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    vendors.tensorrt(tmp_path / "a.onnx", out, *asked)
    assert noted.read_text().split() == [
        f"--onnx={tmp_path / 'a.onnx'}",
        f"--saveEngine={out}",
        *flags,
    ]


def test_a_new_tensorrt_takes_no_calibration_cache(monkeypatch, tmp_path):
    program = tmp_path / "trtexec"
    program.write_text('#!/bin/sh\necho "[TensorRT v110000]"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(ConfigError, match="TensorRT 11 takes no calibration cache"):
        vendors.tensorrt(tmp_path / "a.onnx", tmp_path / "e", "int8", tmp_path / "cache")
    with pytest.raises(ConversionError, match="ended well and wrote no"):
        vendors.tensorrt(tmp_path / "a.onnx", tmp_path / "e", "float16")


def test_the_edge_tpu_compilers_table_is_read(tmp_path):
    said = """Edge TPU Compiler version 16.0.384591198
Operator                       Count      Status

CONV_2D                        35         Mapped to Edge TPU
SOFTMAX                        1          Mapped to Edge TPU
QUANTIZE                       2          Operation is otherwise supported, but not mapped
"""
    found = vendors.mapped(tmp_path / "net_edgetpu.tflite", said)
    assert found.on_tpu == 36
    assert found.on_cpu == ("2 x QUANTIZE: Operation is otherwise supported, but not mapped",)
    with pytest.raises(ConversionError, match="no operator runs on the Edge TPU"):
        vendors.mapped(tmp_path / "a.tflite", "QUANTIZE  2  Operation version not supported\n")
