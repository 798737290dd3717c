"""Models that others made, on the runtimes: raw tensors against recorded ones.

The records were made with LiteRT 2.3 and tflite-runtime 2.14. Quantised outputs differ between
runtimes and processors by some steps of 1/256, so labels are compared exactly and scores within
0.05.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.backends import format_of
from edge_runtime.backends.onnx import Onnx
from edge_runtime.backends.tflite import TFLite
from edge_runtime.errors import DelegateError
from edge_runtime.interfaces import TensorSpec
from tests.runtimes import image, need_runtime

LITERT = "ai-edge-litert 2.3.0"
TOLERANCE = 0.05


def opened(path: Path) -> TFLite | Onnx:
    """The model on its fast kernels, or on the plain ones where the runtime has no fast ones."""
    kind = format_of(path)
    need_runtime(kind)
    if kind == "onnx":
        backend: TFLite | Onnx = Onnx(path=path)
        backend.open()
        return backend
    try:
        backend = TFLite(path=path)
        backend.open()
    except DelegateError:  # tflite-runtime's XNNPACK takes no quantised operation
        backend = TFLite(path=path, delegate="cpu")
        backend.open()
    return backend


def real(output: np.ndarray, spec: TensorSpec) -> np.ndarray:
    if spec.quantisation is None:
        return output
    rule = spec.quantisation
    return (output.astype(np.float64) - rule.zero_point[0]) * rule.scale[0]


def stored(pixels: np.ndarray, spec: TensorSpec, mean: float, scale: float) -> np.ndarray:
    if spec.dtype == "float32":
        return ((pixels - mean) / scale).astype(np.float32)
    return pixels if spec.dtype == "uint8" else (pixels.astype(np.int16) - 128).astype(np.int8)


def recorded(records: dict, backend: TFLite | Onnx) -> dict:
    """What this runtime gave when the records were made; LiteRT's for one that was not there."""
    return records["results"].get(backend.runtime, records["results"][LITERT])


def present(data: Path, pictures: dict) -> list[tuple[str, Path, list]]:
    """The recorded pictures that the collection holds: name, file, record."""
    found = [
        (name, path, record)
        for name, record in pictures.items()
        for path in (data / "images").rglob(name)
    ]
    assert len(found) > len(pictures) / 2
    return found


EVERY = [
    "face-detection-short-range/face_detection_short_range.tflite",
    "kws-dscnn/kws_float.tflite",
    "kws-dscnn/kws_int8.tflite",
    "mobilenet-v1-025-imagenet/mobilenet_v1_0.25_224_float.tflite",
    "mobilenet-v1-025-imagenet/mobilenet_v1_0.25_224_uint8.tflite",
    "mobilenet-v2-imagenet-uint8/mobilenet_v2_1.0_224_quant.tflite",
    "movenet-lightning/movenet_single_pose_lightning_ptq.tflite",
    "ppocr-v4-det/ch_PP-OCRv4_det_infer.onnx",
    "ppocr-v4-det/ch_ppocr_mobile_v2.0_cls_infer.onnx",
    "resnet8-cifar10/resnet8_float.tflite",
    "resnet8-cifar10/resnet8_int8.tflite",
    "silero-vad/silero_vad_16k_op15.onnx",
    "ssd-mobilenet-v1-coco/ssd_mobilenet_v1_coco_uint8.tflite",
    "vww96/vww_96_float.tflite",
    "vww96/vww_96_int8.tflite",
    "wakeword-okay-nabu/okay_nabu.tflite",
]

SIZES = {  # where more than the batch is open
    "ppocr-v4-det/ch_PP-OCRv4_det_infer.onnx": [(1, 3, 96, 96)],
    "ppocr-v4-det/ch_ppocr_mobile_v2.0_cls_infer.onnx": [(1, 3, 48, 192)],
    "silero-vad/silero_vad_16k_op15.onnx": [(1, 576), (2, 1, 128), ()],
}


@pytest.mark.parametrize("name", EVERY)
def test_it_loads_and_runs(data, name):
    backend = opened(data / "models" / name)
    shapes = SIZES.get(name) or [[size or 1 for size in spec.shape] for spec in backend.inputs]
    tensors = [
        np.full(shape, 16000 if spec.name == "sr" else 0, spec.dtype)
        for shape, spec in zip(shapes, backend.inputs, strict=True)
    ]
    for output, spec in zip(backend.run(tensors), backend.outputs, strict=True):
        assert output.dtype.name == spec.dtype
        assert output.size > 0
        assert np.isfinite(output.astype(np.float64)).all()


def test_no_model_of_the_collection_is_forgotten(data):
    models = data / "models"
    found = {
        str(path.relative_to(models))
        for path in (*models.rglob("*.tflite"), *models.rglob("*.onnx"))
        if path.parent.name != "broken"
    }
    assert found == set(EVERY)


@pytest.mark.parametrize("name", ["kws_int8.tflite", "kws_float.tflite"])
def test_keyword_spotting_hears_the_recorded_word(data, name):
    folder = data / "models/kws-dscnn"
    expected = json.loads((folder / "golden.json").read_text())[LITERT][name]
    backend = opened(folder / name)
    sound = np.load(folder / "golden_input_int8.npy").reshape(1, 49, 10, 1)
    if backend.inputs[0].dtype == "float32":
        sound = real(sound, opened(folder / "kws_int8.tflite").inputs[0]).astype(np.float32)
    output = backend.run([sound])[0][0]
    assert int(output.argmax()) == expected["argmax"]
    tolerance = TOLERANCE * 256 if name == "kws_int8.tflite" else TOLERANCE
    assert np.allclose(output.astype(float), expected["raw"], atol=tolerance)


@pytest.mark.parametrize(
    ("folder", "name", "mean", "scale"),
    [
        ("mobilenet-v1-025-imagenet", "mobilenet_v1_0.25_224_float.tflite", 127.5, 127.5),
        ("mobilenet-v1-025-imagenet", "mobilenet_v1_0.25_224_uint8.tflite", 0, 1),
        ("mobilenet-v2-imagenet-uint8", "mobilenet_v2_1.0_224_quant.tflite", 0, 1),
        ("vww96", "vww_96_float.tflite", 0, 255),
        ("vww96", "vww_96_int8.tflite", 0, 1),
    ],
)
def test_pictures_get_the_recorded_labels(data, folder, name, mean, scale):
    need_cv2()
    records = json.loads((data / "models" / folder / "golden.json").read_text())
    backend = opened(data / "models" / folder / name)
    pictures = recorded(records, backend)
    spec = backend.inputs[0]
    for picture, path, labels in present(data, pictures.get(name, pictures)):
        pixels = image(path, spec.shape[1], spec.shape[2])
        scores = real(backend.run([stored(pixels, spec, mean, scale)])[0], backend.outputs[0])[0]
        assert int(scores.argmax()) == labels[0]["index"], picture
        for label in labels:
            assert scores[label["index"]] == pytest.approx(label["score"], abs=TOLERANCE), picture


@pytest.mark.parametrize("name", ["resnet8_float.tflite", "resnet8_int8.tflite"])
def test_two_hundred_pictures_get_the_recorded_class(data, name):
    need_cv2()
    folder = data / "models/resnet8-cifar10"
    backend = opened(folder / name)
    expected = recorded(json.loads((folder / "golden.json").read_text()), backend)[name]
    predicted = {}
    for picture in expected["predicted"]:
        pixels = image(data / "images/cifar10" / picture, 32, 32)
        output = backend.run([stored(pixels, backend.inputs[0], 0, 1)])[0]
        predicted[picture] = int(output.argmax())
    other = {
        picture for picture in predicted if predicted[picture] != expected["predicted"][picture]
    }
    # Two classes that tie within a step of 1/256 may change places on another processor.
    assert len(other) <= (2 if "int8" in name else 0), other


def test_detections_are_the_recorded_ones(data):
    need_cv2()
    folder = data / "models/ssd-mobilenet-v1-coco"
    backend = opened(folder / "ssd_mobilenet_v1_coco_uint8.tflite")
    pictures = recorded(json.loads((folder / "golden.json").read_text()), backend)
    for picture, path, expected in present(data, pictures):
        pixels = image(path, 300, 300)
        boxes, classes, scores, _ = (output[0] for output in backend.run([pixels]))
        for detection in expected:
            same = classes == detection["class"]
            close = np.abs(boxes - detection["box_yxyx"]).max(axis=1) < TOLERANCE
            near = np.abs(scores - detection["score"]) < TOLERANCE
            assert (same & close & near).any(), (picture, detection)


def test_a_pose_is_the_recorded_one(data):
    """The upstream reference went through another resize; 0.05 of the picture is its tolerance."""
    need_cv2()
    folder = data / "models/movenet-lightning"
    with (folder / "reference.csv").open() as file:
        expected = [
            [float(row["keypoint_y"]), float(row["keypoint_x"])] for row in csv.DictReader(file)
        ]
    backend = opened(folder / "movenet_single_pose_lightning_ptq.tflite")
    pose = backend.run([image(data / "images/squat.bmp", 192, 192)])[0][0, 0]
    assert np.abs(pose[:, :2] - expected).max() < TOLERANCE


@pytest.mark.parametrize("name", ["model_fp32.onnx", "model_int8.onnx"])
def test_both_inputs_of_a_two_input_model_count(data, name):
    backend = opened(data / "ecg/models_thirdparty/uno_q_beat5" / name)
    assert [spec.name for spec in backend.inputs] == ["beat", "rr_features"]
    beats, rhythm = np.zeros((3, 1, 288), np.float32), np.zeros((3, 10), np.float32)
    beats[1, 0, 100:116] = 2.0
    rhythm[2] = 1.0
    logits = backend.run([beats, rhythm])[0]
    assert logits.shape == (3, 5)
    assert not np.allclose(logits[0], logits[1], atol=0.01)
    assert not np.allclose(logits[0], logits[2], atol=0.01)


def need_cv2() -> None:
    pytest.importorskip("cv2", reason="decoding needs pip install 'edge-runtime[vision]'")
