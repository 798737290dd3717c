"""The trained networks as files: batch normalisation folded, probabilities out, quantised."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import network
import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
import tf2onnx
from keras import layers
from network import HEADS, LEADS
from numpy.typing import NDArray
from onnxruntime.quantization.shape_inference import quant_pre_process
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from converters import child, environment

Floats = NDArray[np.float32]
Run = Callable[[Floats], Floats]  # (cases, samples, 12) mV -> (cases, 9) probabilities

Facts = dict[str, Any]

# Layers that INT8 leaves in float: the signal is longest and its extremes largest there. Chosen on
# windows of `train` and `choose`, the test part unseen.
FLOAT_CONVOLUTIONS = {"edge": 9, "mobile": 11, "hybrid": 10}
# Extremes in one sample of ten thousand would cost the others their resolution.
CALIBRATION = {"calibration": "percentile", "percentile": 99.99}
OPSET = 17
IR_VERSION = 10


def folded(model: keras.Model, name: str, samples: int) -> keras.Model:
    """The same network without batch normalisation: each is part of the convolution before it."""
    made = network.build(name, samples, folded=True)
    ours = {layer.name: layer for layer in made.layers}
    for layer in model.layers:
        norm = f"{layer.name}_norm"
        if norm in [one.name for one in model.layers]:
            given = model.get_layer(norm)
            gamma, beta, mean, variance = given.get_weights()
            gain = gamma / np.sqrt(variance + given.epsilon)
            (kernel,) = layer.get_weights()
            by_channel = gain[:, None] if isinstance(layer, layers.DepthwiseConv2D) else gain
            ours[layer.name].set_weights([kernel * by_channel, beta - mean * gain])
        elif layer.get_weights() and layer.name in ours:
            ours[layer.name].set_weights(layer.get_weights())
    return made


def deployed(models: dict[str, keras.Model], samples: int = 1000) -> keras.Model:
    """(samples, 12) mV to nine probabilities in the order of `LABELS`; of several, their mean."""
    signal = keras.Input((samples, len(LEADS)), name="signal")
    each = []
    for name, model in models.items():
        logits = folded(model, name, samples)(signal)
        parts = [
            layers.Softmax()(logits[head]) if head == "rhythm" else layers.Activation("sigmoid")(x)
            for head, x in ((head, logits[head]) for head in HEADS)
        ]
        each.append(layers.Concatenate(name=f"{name}_scores")(parts))
    scores = each[0] if len(each) == 1 else layers.Average(name="scores")(each)
    return keras.Model(signal, scores)


def frozen(model: keras.Model, batch: int = 1) -> tf.types.experimental.ConcreteFunction:
    """The graph with constants: a Keras model handed over as it is would lose its weights."""
    shape = (batch, *model.input_shape[1:])
    function = tf.function(lambda signal: model(signal, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec(shape, tf.float32, name="signal"))
    return convert_variables_to_constants_v2(concrete)


def tflite(model: keras.Model, precision: str, batch: int = 1) -> bytes:
    """float32, or float16 (weights only)."""
    graph = frozen(model, batch)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([graph], model)
    if precision == "float16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    content: bytes = converter.convert()
    return content


def tflite_int8(content: bytes, cases: Floats, members: Iterable[str]) -> tuple[bytes, Facts]:
    """A float32 file in INT8, but for the first layers of each network in it; what stayed float."""
    patterns = []
    for name in members:
        first = "|".join(str(at + 1) for at in range(FLOAT_CONVOLUTIONS[name]))
        patterns.append(
            rf"re:/ecg-{name}(_\d+)?/(front|c({first})(_relu|_sum|_pool|_join)?)(_\d+)?/"
        )
    return _quantised("tflite.precision", content, cases, patterns)


def onnx_float(model: keras.Model, batch: int | None = 1) -> onnx.ModelProto:
    """ONNX in float32; the batch axis is free when `batch` is None."""
    shape = (batch, *model.input_shape[1:])
    signature = [tf.TensorSpec(shape, tf.float32, name="signal")]
    function = tf.function(lambda signal: model(signal, training=False))
    proto, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    old, proto.graph.output[0].name = proto.graph.output[0].name, "scores"
    for node in proto.graph.node:
        node.output[:] = ["scores" if name == old else name for name in node.output]
    proto.ir_version = min(proto.ir_version, IR_VERSION)
    onnx.checker.check_model(proto)
    return proto


def onnx_int8(
    proto: onnx.ModelProto, cases: Floats, members: Iterable[str]
) -> tuple[onnx.ModelProto, Facts]:
    """QDQ nodes, INT8 per channel, but for the first layers of each network; what stayed float."""
    with tempfile.TemporaryDirectory() as folder:
        plain, ready = Path(folder, "plain.onnx"), Path(folder, "ready.onnx")
        onnx.save(proto, plain)
        quant_pre_process(str(plain), str(ready), skip_symbolic_shape=True)
        given = onnx.load(ready)
    keep: set[str] = set()
    for name in members:
        last = re.compile(rf"/ecg-{name}(_\d+)?/c{FLOAT_CONVOLUTIONS[name]}_(sum|pool)(_\d+)?/")
        keep |= _before(given.graph, last)
    content, facts = _quantised("onnx.precision", given.SerializeToString(), cases, sorted(keep))
    made = onnx.ModelProto.FromString(content)
    made.ir_version = min(made.ir_version, IR_VERSION)
    onnx.checker.check_model(made)
    return made, facts


def _before(graph: onnx.GraphProto, last: re.Pattern[str]) -> set[str]:
    """The nodes whose names match, and all from which they compute."""
    makers = {output: node for node in graph.node for output in node.output}
    open_ = [node for node in graph.node if last.search(node.name)]
    found: set[str] = set()
    while open_:
        node = open_.pop()
        if node.name not in found:
            found.add(node.name)
            open_ += [makers[name] for name in node.input if name in makers]
    return found


def _quantised(job: str, content: bytes, cases: Floats, keep: Sequence[str]) -> tuple[bytes, Facts]:
    """A job of edge-convert on a file in memory."""
    options = {"precision": "int8", **CALIBRATION, "keep_float": keep}
    with tempfile.TemporaryDirectory() as folder:
        source, out, given = (Path(folder, name) for name in ("float", "int8", "cases.npz"))
        source.write_bytes(content)
        np.savez(given, **{"0": cases})
        told = {"source": source, "out": out, "cases": given, "options": options}
        facts = child.run(environment.need("convert", "INT8"), job, told)
        return out.read_bytes(), facts


def onnx_float16(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Weights as float16, each widened where it is used: storage, not arithmetic."""
    made = onnx.ModelProto()
    made.CopyFrom(proto)
    large = [one for one in made.graph.initializer if one.data_type == onnx.TensorProto.FLOAT]
    casts = []
    for one in (one for one in large if np.prod(one.dims) > 64):
        values = onnx.numpy_helper.to_array(one).astype(np.float16)
        name, half = one.name, f"{one.name}_half"
        one.CopyFrom(onnx.numpy_helper.from_array(values, half))
        casts.append(
            onnx.helper.make_node("Cast", [half], [name], f"{half}_cast", to=onnx.TensorProto.FLOAT)
        )
    nodes = [*casts, *made.graph.node]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    onnx.checker.check_model(made)
    return made


def run_keras(model: keras.Model) -> Run:
    """The float network."""
    return lambda cases: model.predict(cases, batch_size=32, verbose=0)


def run_tflite(content: bytes) -> Run:
    """The file, one case at a time, on one thread."""
    interpreter = tf.lite.Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()

    def one(case: Floats) -> Floats:
        interpreter.set_tensor(given["index"], case)
        interpreter.invoke()
        scores: Floats = interpreter.get_tensor(made["index"])
        return scores

    return lambda cases: np.concatenate([one(case[None]) for case in cases])


def run_onnx(proto: onnx.ModelProto) -> Run:
    """The file, one case at a time, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda cases: np.concatenate(
        [session.run(None, {"signal": case[None]})[0] for case in cases]
    )
