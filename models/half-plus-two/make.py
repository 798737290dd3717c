"""Make half-plus-two, y = x / 2 + 2: two weights set by hand, nothing trained.

    pip install -e . tensorflow-cpu onnx
    python models/half-plus-two/make.py

Writes half_plus_two.tflite, half_plus_two.onnx and golden.npz beside itself, and their checksums
into model.toml.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import onnx
import tensorflow as tf
from numpy.typing import NDArray
from onnx import TensorProto, helper
from tensorflow.lite.tools import flatbuffer_utils

HERE = Path(__file__).parent
SLOPE, OFFSET = 0.5, 2.0
# What TensorFlow Serving's own example asks, and then nought, both signs, small and large.
CASES = (1.0, 2.0, 5.0, 0.0, -4.0, 0.125, -1e-3, 1e6, -1e6)


def to_tflite() -> bytes:
    """One dense layer of one weight and one bias; the batch axis stays open."""
    x = keras.Input((1,), name="x")
    layer = keras.layers.Dense(1, name="y")
    model = keras.Model(x, layer(x))
    layer.set_weights([np.array([[SLOPE]], np.float32), np.array([OFFSET], np.float32)])
    return _named(tf.lite.TFLiteConverter.from_keras_model(model).convert())


def _named(content: bytes) -> bytes:
    """The same file with its tensors called x and y, as the ONNX file has them."""
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    (graph,) = model.subgraphs
    graph.tensors[graph.inputs[0]].name = b"x"
    graph.tensors[graph.outputs[0]].name = b"y"
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def to_onnx() -> onnx.ModelProto:
    """Two nodes; the batch axis stays open."""
    shape = ["batch", 1]
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["x", "slope"], ["half"]),
            helper.make_node("Add", ["half", "offset"], ["y"]),
        ],
        "half-plus-two",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor("slope", TensorProto.FLOAT, [1], [SLOPE]),
            helper.make_tensor("offset", TensorProto.FLOAT, [1], [OFFSET]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def golden() -> dict[str, NDArray[np.float32]]:
    """The cases and their answers, by arithmetic and not by a model."""
    x = np.array(CASES, np.float32).reshape(-1, 1, 1)
    return {"input/0": x, "output/0": x * np.float32(SLOPE) + np.float32(OFFSET)}


def renew_checksums() -> None:
    """Write the sha256 of each weights file into model.toml."""
    text = (HERE / "model.toml").read_text(encoding="utf-8")
    for path in re.findall(r'^path = "(.+)"', text, re.MULTILINE):
        digest = hashlib.sha256((HERE / path).read_bytes()).hexdigest()
        text = re.sub(rf'(path = "{path}"(?:\n.+)*?\nsha256 = )".*"', rf'\1"{digest}"', text)
    (HERE / "model.toml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    (HERE / "half_plus_two.tflite").write_bytes(to_tflite())
    onnx.save(to_onnx(), HERE / "half_plus_two.onnx")
    np.savez_compressed(HERE / "golden.npz", **golden())
    renew_checksums()
