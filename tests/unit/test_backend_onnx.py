"""ONNX: providers that are really used, threads that sleep, open dimensions, state."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.backends import DELEGATES, format_of
from edge_runtime.backends.onnx import Onnx
from edge_runtime.backends.session import PROVIDERS
from edge_runtime.errors import (
    BadOptionError,
    DelegateError,
    FrameError,
    MissingExtraError,
    ModelLoadError,
)
from tests.runtimes import need_runtime

BEATS = "ecg/models_thirdparty/uno_q_beat5/model_fp32.onnx"
VOICE = "models/silero-vad/silero_vad_16k_op15.onnx"
TEXT = "models/ppocr-v4-det/ch_PP-OCRv4_det_infer.onnx"


@pytest.fixture(autouse=True)
def _runtime():
    need_runtime("onnx")


def opened(path: Path, **options) -> Onnx:
    backend = Onnx(path=path, **options)
    backend.open()
    return backend


def available() -> list[str]:
    import onnxruntime

    return onnxruntime.get_available_providers()


def test_every_listed_delegate_has_a_provider():
    assert tuple(PROVIDERS) == DELEGATES["onnx"]


@pytest.mark.parametrize(
    ("delegate", "remedy"),
    [
        ("cuda", "pip install onnxruntime-gpu"),
        ("tensorrt", "TensorRT itself"),
        ("openvino", "pip install onnxruntime-openvino"),
        ("coreml", "macOS"),
        ("qnn", "onnxruntime-qnn"),
    ],
)
def test_a_provider_that_the_build_lacks_is_refused_with_the_package_that_has_it(
    data, delegate, remedy
):
    if PROVIDERS[delegate].name in available():
        pytest.skip(f"this onnxruntime has {delegate}")
    with pytest.raises(DelegateError, match=remedy):
        opened(data / BEATS, delegate=delegate)


def need_openvino() -> None:
    if PROVIDERS["openvino"].name not in available():
        pytest.skip("onnxruntime-openvino replaces onnxruntime: tests/runtimes.sh openvino DIR")


def test_openvino_agrees_with_the_cpu(data):
    need_openvino()
    rng = np.random.default_rng(5)
    tensors = [
        rng.normal(size=(1, 1, 288)).astype(np.float32),
        rng.normal(size=(1, 10)).astype(np.float32),
    ]
    fast = opened(data / BEATS, delegate="openvino", options={"device_type": "CPU"})
    assert np.allclose(
        fast.run(tensors)[0], opened(data / BEATS).run(tensors)[0], rtol=0.01, atol=0.01
    )


def test_a_model_that_openvino_refuses_is_left_to_the_next_delegate(data):
    need_openvino()
    with pytest.raises(DelegateError, match="delegate openvino refuses"):
        opened(data / VOICE, delegate="openvino")


def test_a_damaged_file_is_not_blamed_on_the_provider(data, tmp_path):
    need_openvino()
    (tmp_path / "cut.onnx").write_bytes((data / BEATS).read_bytes()[:90_000])
    with pytest.raises(ModelLoadError) as caught:
        opened(tmp_path / "cut.onnx", delegate="openvino")
    assert not isinstance(caught.value, DelegateError)


def test_a_wrong_provider_option_is_refused_in_one_line(data):
    need_openvino()
    with pytest.raises(DelegateError) as caught:
        opened(data / BEATS, delegate="openvino", options={"device_type": "ABACUS"})
    assert "\n" not in str(caught.value)


@pytest.mark.hardware
@pytest.mark.parametrize("delegate", ["cuda", "tensorrt"])
def test_a_gpu_agrees_with_the_cpu(data, delegate):
    tensors = [np.ones((1, 1, 288), np.float32), np.ones((1, 10), np.float32)]
    fast = opened(data / BEATS, delegate=delegate)
    assert np.allclose(fast.run(tensors)[0], opened(data / BEATS).run(tensors)[0], atol=0.05)


def test_threads_sleep_between_runs(data):
    """ONNX Runtime's default is to spin: at camera pace, some six times the work itself."""
    backend = opened(data / TEXT, threads=2)
    tensor = [np.zeros((1, 3, 32, 32), np.float32)]

    def cpu_s(pause_s: float) -> float:
        started = time.process_time()
        for _ in range(15):
            backend.run(tensor)
            time.sleep(pause_s)
        return time.process_time() - started

    cpu_s(0)
    assert cpu_s(0.02) < 3 * cpu_s(0)


def test_open_dimensions_can_be_fixed(data):
    backend = opened(data / VOICE, shapes={"input": (1, 576), "state": (2, 1, 128), "sr": ()})
    assert [spec.shape for spec in backend.inputs] == [(1, 576), (2, 1, 128), ()]


def test_an_accelerator_is_told_the_sizes_of_named_dimensions(data):
    need_openvino()
    shapes = {"beat": (4, 1, 288), "rr_features": (4, 10)}
    backend = opened(data / BEATS, delegate="openvino", shapes=shapes)
    assert backend.outputs[0].shape == (4, 5)


def test_contradicting_sizes_of_one_dimension_are_refused(data):
    need_openvino()
    shapes = {"beat": (4, 1, 288), "rr_features": (3, 10)}
    with pytest.raises(ModelLoadError, match="two sizes for its dimension 'batch"):
        opened(data / BEATS, delegate="openvino", shapes=shapes)


def test_a_stateful_model_has_its_state_in_the_callers_hands(data):
    backend = opened(data / VOICE)
    sound = np.random.default_rng(2).normal(0, 0.1, (1, 576)).astype(np.float32)
    rest, rate = np.zeros((2, 1, 128), np.float32), np.array(16000, np.int64)
    score, state = backend.run([sound, rest, rate])
    later, _ = backend.run([sound, state, rate])
    again, _ = backend.run([sound, rest, rate])
    assert 0 <= score[0, 0] <= 1
    assert later[0, 0] != score[0, 0]
    assert again[0, 0] == score[0, 0]


def test_a_picture_of_any_size_runs(data):
    backend = opened(data / TEXT)
    assert backend.inputs[0].shape == (None, 3, None, None)
    for height, width in ((64, 96), (32, 160), (64, 96)):
        assert backend.run([np.zeros((1, 3, height, width), np.float32)])[0].shape == (
            1,
            1,
            height,
            width,
        )


def test_a_wrong_rank_is_a_bad_frame(data):
    with pytest.raises(FrameError, match=r"model_fp32\.onnx: .*rank"):
        opened(data / BEATS).run([np.zeros((1, 288), np.float32), np.zeros((1, 10), np.float32)])


def test_a_tflite_file_is_refused(data):
    with pytest.raises(ModelLoadError, match="a TensorFlow Lite file, not an ONNX one"):
        opened(data / "models/kws-dscnn/kws_int8.tflite")


def test_a_library_is_refused():
    with pytest.raises(BadOptionError, match="brings its own delegates"):
        Onnx(path=Path("model.onnx"), library="libcuda.so")


def test_without_the_runtime_the_extra_is_named(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'edge-runtime\[onnx\]'") as caught:
        opened(data / BEATS)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_a_file_in_the_wrong_place_is_refused(tmp_path):
    with pytest.raises(ModelLoadError, match="Is a directory"):
        format_of(tmp_path)
    with pytest.raises(ModelLoadError, match="No such file"):
        format_of(tmp_path / "gone.onnx")


def test_the_content_tells_the_format_before_the_suffix(data, tmp_path):
    for file in (BEATS, VOICE, TEXT):
        (tmp_path / "model.tflite").write_bytes((data / file).read_bytes()[:64])
        assert format_of(tmp_path / "model.tflite") == "onnx"
    for path in sorted((data / "models").rglob("*.tflite")):
        assert format_of(path) == "tflite"


def test_text_is_no_format(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing to run here, only words")
    with pytest.raises(ModelLoadError, match=r"neither a \.tflite nor an \.onnx file"):
        format_of(tmp_path / "notes.txt")
