"""Real models from ONNX to TFLite and back, compared on the device's own backends."""

from __future__ import annotations

import numpy as np
import pytest
from edge_runtime.converters import child
from edge_runtime.converters.errors import ConversionError

from edge_runtime.backends.onnx import Onnx
from edge_runtime.backends.tflite import TFLite
from edge_runtime.preprocess.quantise import dequantise, quantise
from tests.families import python_of

RANDOM = np.random.default_rng(3)


def answers(path, cases):
    """All outputs as real values for cases that have no batch axis."""
    backend = (Onnx if path.suffix == ".onnx" else TFLite)(path=path)
    backend.open()
    found = []
    for case in cases:
        given = backend.inputs[0]
        tensor = case[np.newaxis]
        stored = quantise(tensor, given) if given.quantisation else tensor.astype(given.dtype)
        outputs = zip(backend.run([stored]), backend.outputs, strict=True)
        found.append([dequantise(array, spec) for array, spec in outputs])
    backend.close()
    return [np.stack(column) for column in zip(*found, strict=True)]


@pytest.fixture
def convert(tmp_path):
    def run(family, module, source, cases=None, **options):
        given = None
        if cases is not None:
            given = tmp_path / "cases.npz"
            np.savez(given, **{"0": cases})
        suffix = "onnx" if module in ("tflite.to_onnx", "onnx.model") else "tflite"
        out = tmp_path / f"{module}.{suffix}"
        job = {"source": source, "out": out, "options": options, "cases": given}
        return child.run(python_of(family), module, job, timeout_s=240), out

    return run


def test_a_float_tflite_becomes_onnx_under_its_own_names(convert, data):
    source = data / "models" / "vww96" / "vww_96_float.tflite"
    cases = RANDOM.random((3, 96, 96, 3), np.float32)
    facts, out = convert("keras", "tflite.to_onnx", source, cases)

    assert (facts["inputs"][0]["name"], facts["outputs"][0]["name"]) == ("input_1", "Identity")
    assert facts["layout"] == "channels-last"
    assert facts["ir_version"] <= 10
    np.testing.assert_allclose(answers(out, cases)[0], answers(source, cases)[0], atol=1e-4)


def test_an_int8_tflite_becomes_qdq_onnx_that_takes_real_values(convert, data):
    source = data / "models" / "vww96" / "vww_96_int8.tflite"
    cases = RANDOM.random((3, 96, 96, 3), np.float32)
    facts, out = convert("keras", "tflite.to_onnx", source, cases)

    assert facts["quantised"]
    assert {s["dtype"] for s in (*facts["inputs"], *facts["outputs"])} == {"float32"}
    assert facts["ops"]["QuantizeLinear"] > 20
    found, want = answers(out, cases)[0], answers(source, cases)[0]
    np.testing.assert_allclose(found, want, atol=0.05)


def test_a_model_with_state_is_no_onnx(convert, data):
    source = data / "models" / "wakeword-okay-nabu" / "okay_nabu.tflite"
    with pytest.raises(ConversionError, match="keeps state in variables"):
        convert("keras", "tflite.to_onnx", source)


def test_weights_in_float16_are_widened_before_they_become_int8(convert, data):
    source = data / "models" / "face-detection-short-range" / "face_detection_short_range.tflite"
    cases = RANDOM.random((3, 128, 128, 3), np.float32) * 2 - 1
    facts, out = convert("convert", "tflite.precision", source, cases, precision="int8")

    assert facts["float_tensors"] == 3  # one input, two outputs
    assert facts["compared"]["relative_error"] < 0.5
    assert [array.shape for array in answers(out, cases)] == [(3, 1, 896, 16), (3, 1, 896, 1)]


def test_an_onnx_model_becomes_tflite_that_takes_channels_last(convert, data):
    source = data / "models" / "ppocr-v4-det" / "ch_ppocr_mobile_v2.0_cls_infer.onnx"
    cases = RANDOM.standard_normal((2, 3, 48, 192)).astype(np.float32)
    _, clean = convert("convert", "onnx.model", source, cases)
    facts, out = convert("onnx2tf", "onnx.to_tflite", clean, cases, layout="channels-last")

    assert facts["layout"] == {"x": "channels-last"}
    assert facts["outputs"][0]["name"] == "save_infer_model/scale_0.tmp_1"
    turned = np.moveaxis(cases, 1, -1)
    np.testing.assert_allclose(answers(out, turned)[0], answers(source, cases)[0], atol=1e-4)


def test_pictures_that_a_model_gives_are_turned_back(convert, data):
    source = data / "models" / "ppocr-v4-det" / "ch_PP-OCRv4_det_infer.onnx"
    cases = RANDOM.standard_normal((1, 3, 64, 96)).astype(np.float32)
    facts, out = convert("onnx2tf", "onnx.to_tflite", source, cases)

    assert facts["outputs"][0]["shape"] == [1, 1, 64, 96]
    assert facts["notes"] == ["output sigmoid_0.tmp_0 is transposed back at the end"]
    np.testing.assert_allclose(answers(out, cases)[0], answers(source, cases)[0], atol=1e-3)


def test_what_onnx2tf_cannot_do_is_one_line_and_leaves_nothing(convert, data, tmp_path):
    source = data / "models" / "silero-vad" / "silero_vad_16k_op15.onnx"
    cases = tmp_path / "given.npz"
    np.savez(
        cases,
        input=np.zeros((2, 576), np.float32),
        state=np.zeros((2, 2, 1, 128), np.float32),
        sr=np.full(2, 16000),
    )
    job = {"source": source, "out": tmp_path / "out.tflite", "cases": cases}
    with pytest.raises(ConversionError) as refused:
        child.run(python_of("onnx2tf"), "onnx.to_tflite", job, timeout_s=240)
    assert "\n" not in str(refused.value)
    assert "the child" not in str(refused.value)  # a reason, not a crash
    assert [path.name for path in tmp_path.iterdir()] == ["given.npz"]
