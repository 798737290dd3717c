"""Makes tiny_fp16.tflite, tiny_fp16.onnx and tiny_fp16.npz beside itself: the same small network.

Half-precision weights (TFLite: float32 in and out; ONNX: float16 throughout), and what the network
in single precision says of four inputs. Needs tensorflow and onnx.

    python tests/models/make_fp16.py
"""

from pathlib import Path

import keras
import numpy as np
import onnx
import tensorflow as tf
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent

keras.utils.set_random_seed(16)
network = keras.Sequential(
    [
        keras.Input((12,), batch_size=1),
        keras.layers.Dense(32, "relu"),
        keras.layers.Dense(3, "softmax"),
    ]
)
inputs = np.random.default_rng(16).normal(size=(4, 1, 12)).astype(np.float32)
outputs = np.stack([network(one).numpy() for one in inputs])
np.savez(HERE / "tiny_fp16.npz", inputs=inputs, outputs=outputs)

converter = tf.lite.TFLiteConverter.from_keras_model(network)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.target_spec.supported_types = [tf.float16]
(HERE / "tiny_fp16.tflite").write_bytes(converter.convert())

half = [
    numpy_helper.from_array(array.astype(np.float16), name)
    for array, name in zip(network.get_weights(), ("w1", "b1", "w2", "b2"), strict=True)
]
graph = helper.make_graph(
    [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["l"]),
        helper.make_node("Softmax", ["l"], ["y"], axis=1),
    ],
    "tiny",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT16, [1, 12])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT16, [1, 3])],
    half,
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
onnx.checker.check_model(model)
onnx.save(model, HERE / "tiny_fp16.onnx")
