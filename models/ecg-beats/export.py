"""The trained network as INT8 files, TFLite and ONNX; both take and give float32."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import network
import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
import tf2onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

Floats = NDArray[np.float32]
Run = Callable[[Floats, Floats], Floats]  # (beat, rr) of one case, with a batch axis -> scores

OPSET = 17
IR_VERSION = 10


def with_scores(model: keras.Model, bias: Floats) -> keras.Model:
    """What is deployed: batch normalisation folded, a class bias added, a softmax at the end."""
    beat, rr = model.inputs
    made = network.build(beat.shape[1], beat.shape[2], rr.shape[1], folded=True)
    norms = iter([x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)])
    ours = {layer.name: layer for layer in made.layers}
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv1D):
            norm = next(norms)
            gamma, beta, mean, variance = norm.get_weights()
            gain = gamma / np.sqrt(variance + norm.epsilon)
            (kernel,) = layer.get_weights()
            ours[layer.name].set_weights([kernel * gain, beta - mean * gain])
        elif isinstance(layer, keras.layers.Dense):
            kernel, before = layer.get_weights()
            after = before + bias if layer.name == "logits" else before
            ours[layer.name].set_weights([kernel, after])
    return keras.Model(made.inputs, keras.layers.Softmax(name="scores")(made.outputs[0]))


def tflite_int8(model: keras.Model, beat: Floats, rr: Floats) -> bytes:
    """Full integer TFLite, calibrated with the given beats."""
    function = convert_variables_to_constants_v2(
        tf.function(
            lambda beat, rr: model({"beat": beat, "rr": rr}), input_signature=_signature(model)
        ).get_concrete_function()
    )
    plain = tf.lite.TFLiteConverter.from_concrete_functions([function], model).convert()
    inputs = tf.lite.Interpreter(model_content=plain).get_input_details()
    order = [beat if len(one["shape"]) == 3 else rr for one in inputs]
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [cases[at : at + 1] for cases in order] for at in range(len(beat))
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    content: bytes = converter.convert()
    return content


def onnx_int8(model: keras.Model, beat: Floats, rr: Floats) -> bytes:
    """ONNX with QDQ nodes, INT8 per channel, calibrated with the given beats."""
    function = tf.function(lambda beat, rr: model({"beat": beat, "rr": rr}))
    proto, _ = tf2onnx.convert.from_function(
        function, input_signature=_signature(model), opset=OPSET
    )
    proto.graph.output[0].name, old = "scores", proto.graph.output[0].name
    for node in proto.graph.node:
        node.output[:] = ["scores" if name == old else name for name in node.output]
    ordered = sorted(proto.graph.input, key=lambda one: len(one.type.tensor_type.shape.dim))
    del proto.graph.input[:]
    proto.graph.input.extend(ordered)  # rr, beat: as the TFLite file has them
    with tempfile.TemporaryDirectory() as folder:
        plain, quantised = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        onnx.save(proto, plain)
        quantize_static(
            str(plain),
            str(quantised),
            _Calibration(beat, rr),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QInt8,
        )
        made = onnx.load(quantised)
    made.ir_version = min(made.ir_version, IR_VERSION)
    onnx.checker.check_model(made)
    content: bytes = made.SerializeToString()
    return content


def run_tflite(content: bytes) -> Run:
    """The file, ready to run."""
    interpreter = tf.lite.Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    inputs = {tuple(d["shape"]): d["index"] for d in interpreter.get_input_details()}
    output = interpreter.get_output_details()[0]["index"]

    def run(beat: Floats, rr: Floats) -> Floats:
        interpreter.set_tensor(inputs[beat.shape], beat)
        interpreter.set_tensor(inputs[rr.shape], rr)
        interpreter.invoke()
        scores: Floats = interpreter.get_tensor(output)
        return scores

    return run


def run_onnx(content: bytes) -> Run:
    """The file, ready to run."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(beat: Floats, rr: Floats) -> Floats:
        scores: Floats = session.run(None, {"beat": beat, "rr": rr})[0]
        return scores

    return run


class _Calibration(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, beat: Floats, rr: Floats) -> None:
        self._cases: Iterator[dict[str, Floats]] = (
            {"beat": beat[at : at + 1], "rr": rr[at : at + 1]} for at in range(len(beat))
        )

    def get_next(self) -> dict[str, Floats] | None:
        return next(self._cases, None)


def _signature(model: keras.Model) -> list[tf.TensorSpec]:
    return [tf.TensorSpec((1, *i.shape[1:]), tf.float32, name=i.name) for i in model.inputs]
