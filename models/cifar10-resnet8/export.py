"""The trained network as INT8 files, TFLite and ONNX, and what belongs to them."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from numpy.typing import NDArray
from onnxruntime import InferenceSession
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quant_pre_process,
    quantize_static,
)

Floats = NDArray[np.float32]
Run = Callable[[Floats], Floats]  # (pictures, 32, 32, 3) -> (pictures, classes)

NAMES = {"tflite": "cifar10_resnet8_int8.tflite", "onnx": "cifar10_resnet8_int8.onnx"}
APART = 0.08  # of scores, between the two files on a golden case; model.toml allows more
GOLDEN = 8


def written(model: keras.Model, samples: Floats, folder: Path) -> dict[str, Run]:
    """Write both files, calibrated with `samples`; gives what runs them."""
    tflite, qdq = folder / NAMES["tflite"], folder / NAMES["onnx"]
    tflite.write_bytes(_tflite(model, samples))
    _onnx(model, samples, qdq)
    return {"tflite": lambda x: _run_tflite(tflite, x), "onnx": lambda x: _run_onnx(qdq, x)}


def _tflite(model: keras.Model, samples: Floats) -> bytes:
    """Whole integer, int8 in and out. The converter folds the batch normalisation."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample[None]] for sample in samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    content: bytes = converter.convert()
    return content


def _onnx(model: keras.Model, samples: Floats, path: Path) -> None:
    """QDQ, per channel; pre-processing folds the batch normalisation."""
    shape = (1, *model.inputs[0].shape[1:])
    signature = [tf.TensorSpec(shape, tf.float32, name="image")]
    function = tf.function(lambda image: {"scores": model(image, training=False)}, signature)
    graph, _ = tf2onnx.convert.from_function(function, signature, opset=17)
    with tempfile.TemporaryDirectory() as folder:
        plain, prepared = Path(folder, "plain.onnx"), Path(folder, "prepared.onnx")
        onnx.save(graph, plain)
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            path,
            _Samples(samples),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    made = onnx.load(path)
    if any(node.op_type == "BatchNormalization" for node in made.graph.node):
        raise RuntimeError("batch normalisation was not folded")
    made.ir_version = min(made.ir_version, 10)
    onnx.checker.check_model(made)
    onnx.save(made, path)


class _Samples(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, samples: Floats) -> None:
        self._samples: Iterator[Floats] = iter(samples)

    def get_next(self) -> dict[str, Floats] | None:
        sample = next(self._samples, None)
        return None if sample is None else {"image": sample[None]}


def _run_tflite(path: Path, pictures: Floats) -> Floats:
    interpreter = tf.lite.Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    (given,), (found,) = interpreter.get_input_details(), interpreter.get_output_details()
    (scale, zero), (out_scale, out_zero) = given["quantization"], found["quantization"]
    scores = []
    for picture in pictures:
        stored = np.clip(np.rint(picture[None] / scale) + zero, -128, 127).astype(np.int8)
        interpreter.set_tensor(given["index"], stored)
        interpreter.invoke()
        raw = interpreter.get_tensor(found["index"]).astype(np.float32)
        scores.append((raw - out_zero) * np.float32(out_scale))
    return np.concatenate(scores)


def _run_onnx(path: Path, pictures: Floats) -> Floats:
    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"image": one[None]})[0] for one in pictures])


def golden(runs: Mapping[str, Run], pictures: Floats, path: Path) -> None:
    """Training pictures on which both files agree clearly, and black, white and noise."""
    one, other = runs["tflite"](pictures), runs["onnx"](pictures)
    apart, top = np.abs(one - other).max(axis=1), np.sort(one, axis=1)
    clear = np.flatnonzero((apart < APART) & (top[:, -1] - top[:, -2] > 0.3))[:GOLDEN]
    shape = pictures.shape[1:]
    noise = np.random.default_rng(3).integers(0, 256, (1, *shape)) / 255
    extremes = np.concatenate([np.zeros((1, *shape)), np.ones((1, *shape)), noise])
    cases = np.concatenate([pictures[clear], extremes]).astype(np.float32)
    found = runs["tflite"](cases)
    print("golden: the ONNX file differs by up to", np.abs(runs["onnx"](cases) - found).max())
    np.savez_compressed(path, **{"input/0": cases[:, None], "output/0": found[:, None]})


def renew_manifest(path: Path, report: Mapping[str, Any]) -> None:
    """Write the checksums of the files and the figures of `report` into model.toml."""
    text = path.read_text(encoding="utf-8")
    for name in NAMES.values():
        digest = hashlib.sha256((path.parent / name).read_bytes()).hexdigest()
        text = re.sub(rf'(path = "{name}"(?:\n.+)*?\nsha256 = )".*"', rf'\1"{digest}"', text)
    lines = []
    for side in ("held out", "test"):
        for name, figures in report[side].items():
            lines.append(f"{side.replace(' ', '_')}_{name} = {figures['accuracy']}")
    head = text[: text.index("[accuracy]")]
    what = 'what = "share of right answers: 2,000 held-out and 200 test pictures (JPEG)"'
    path.write_text("\n".join([f"{head}[accuracy]", what, *lines, ""]), encoding="utf-8")
