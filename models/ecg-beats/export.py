"""The trained network as INT8 files, TFLite and ONNX; both take and give float32."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from records import LABELS
from scoring import GATE_FROM, GATE_SLOPE
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

Floats = NDArray[np.float32]
Inputs = Mapping[str, Floats]  # by name, with a batch axis
Run = Callable[[Inputs], Floats]  # one case -> its scores

BY_SIZE = {675: "beat", 15: "rr", 1: "fibrillation"}  # inputs by the number of their values
OPSET = 17
IR_VERSION = 10


def with_scores(model: keras.Model, bias: Floats, temperature: float) -> keras.Model:
    """What is deployed: normalisation folded, class bias, temperature, gate, softmax.

    The gate lowers the logit of S where the third input, the score of fibrillation, is above
    GATE_FROM: an early beat means nothing there. Nothing of it is trained.
    """
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
        elif layer.name == "logits":
            kernel, before = layer.get_weights()
            ours[layer.name].set_weights([kernel / temperature, (before + bias) / temperature])
        elif isinstance(layer, keras.layers.Dense):
            ours[layer.name].set_weights(layer.get_weights())
    fibrillation = keras.Input((1,), name="fibrillation")
    gate = keras.layers.Dense(len(LABELS), activation="relu", name="gate")
    logits = keras.layers.Subtract()([made.outputs[0], gate(fibrillation)])
    slope = np.array([[0, GATE_SLOPE, 0]], np.float32)
    gate.set_weights([slope, -GATE_FROM * slope[0]])
    return keras.Model([*made.inputs, fibrillation], keras.layers.Softmax(name="scores")(logits))


def tflite_int8(model: keras.Model, cases: Inputs) -> bytes:
    """Full integer TFLite, calibrated with the given beats."""
    function = convert_variables_to_constants_v2(_function(model).get_concrete_function())
    plain = tf.lite.TFLiteConverter.from_concrete_functions([function], model).convert()
    order = input_order(plain)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [case[name] for name in order] for case in each_case(cases)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    content: bytes = converter.convert()
    return content


def input_order(content: bytes) -> list[str]:
    """Names of the inputs of a TFLite file, in its order."""
    details = tf.lite.Interpreter(model_content=content).get_input_details()
    return [BY_SIZE[int(np.prod(one["shape"]))] for one in details]


def onnx_int8(model: keras.Model, cases: Inputs, order: Sequence[str]) -> bytes:
    """ONNX with QDQ nodes, INT8 per channel, calibrated with the given beats; inputs in `order`."""
    proto, _ = tf2onnx.convert.from_function(
        _function(model), input_signature=_signature(model), opset=OPSET
    )
    proto.graph.output[0].name, old = "scores", proto.graph.output[0].name
    for node in proto.graph.node:
        node.output[:] = ["scores" if name == old else name for name in node.output]
    ordered = sorted(proto.graph.input, key=lambda one: order.index(one.name))
    del proto.graph.input[:]
    proto.graph.input.extend(ordered)
    with tempfile.TemporaryDirectory() as folder:
        plain, quantised = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        onnx.save(proto, plain)
        quantize_static(
            str(plain),
            str(quantised),
            _Calibration(cases),
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
    details = interpreter.get_input_details()
    inputs = {BY_SIZE[int(np.prod(one["shape"]))]: one["index"] for one in details}
    output = interpreter.get_output_details()[0]["index"]

    def run(case: Inputs) -> Floats:
        for name, index in inputs.items():
            interpreter.set_tensor(index, case[name])
        interpreter.invoke()
        scores: Floats = interpreter.get_tensor(output)
        return scores

    return run


def run_onnx(content: bytes) -> Run:
    """The file, ready to run."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]

    def run(case: Inputs) -> Floats:
        scores: Floats = session.run(None, {name: case[name] for name in names})[0]
        return scores

    return run


def each_case(cases: Inputs) -> Iterator[Inputs]:
    """One case after the other, each with a batch axis."""
    count = len(next(iter(cases.values())))
    return ({name: all_[at : at + 1] for name, all_ in cases.items()} for at in range(count))


class _Calibration(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, cases: Inputs) -> None:
        self._cases = each_case(cases)

    def get_next(self) -> Inputs | None:
        return next(self._cases, None)


def _function(model: keras.Model) -> tf.types.experimental.GenericFunction:
    return tf.function(
        lambda beat, rr, fibrillation: model(
            {"beat": beat, "rr": rr, "fibrillation": fibrillation}
        ),
        input_signature=_signature(model),
    )


def _signature(model: keras.Model) -> list[tf.TensorSpec]:
    return [tf.TensorSpec((1, *i.shape[1:]), tf.float32, name=i.name) for i in model.inputs]
