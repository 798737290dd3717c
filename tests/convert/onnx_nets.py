"""Small ONNX models for the conversion tests, and the broken ones.

    python onnx_nets.py FOLDER

writes them; it runs on the Python of the family `convert`, so it imports nothing of the tests.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RANDOM = np.random.default_rng(7)


def weights(name, *shape, scale=0.5):
    return numpy_helper.from_array((RANDOM.standard_normal(shape) * scale).astype("f"), name)


def model(nodes, constants, inputs, outputs, *, opset=17, ir=10):
    def values(given):
        return [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in given.items()]

    graph = helper.make_graph(nodes, "net", values(inputs), values(outputs), constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)


def node(kind, inputs, output, name, **attributes):
    return helper.make_node(kind, inputs.split(), output.split(), name=name, **attributes)


def images(opset=17, first=1.0):
    """(batch, 3, 8, 8) to 4 scores; a dead node, and a bias that is computed from constants."""
    nodes = [
        node("Conv", "image k1 b1", "c1", "first", pads=[1, 1, 1, 1]),
        node("Relu", "c1", "r1", "bend"),
        node("Conv", "r1 k2", "c2", "second", strides=[2, 2]),
        node("Tanh", "c2", "unused", "dead"),
        node("GlobalAveragePool", "c2", "p", "pool"),
        node("Flatten", "p", "f", "flat"),
        node("Add", "half half", "whole", "sum"),
        node("Gemm", "f w whole", "scores", "dense"),
    ]
    constants = [
        weights("k1", 8, 3, 3, 3, scale=first),
        weights("b1", 8),
        weights("k2", 6, 8, 3, 3),
        weights("w", 6, 4),
        weights("half", 4),
    ]
    return model(nodes, constants, {"image": ["n", 3, 8, 8]}, {"scores": ["n", 4]}, opset=opset)


def lifted():
    """(batch, 6) to 3 scores, by way of values around 3000 that no int8 can tell apart."""
    nodes = [
        node("MatMul", "x w1", "h", "enter"),
        node("Add", "h far", "up", "lift"),
        node("Sub", "up far", "down", "lower"),
        node("MatMul", "down w2", "scores", "leave"),
    ]
    far = numpy_helper.from_array(np.full(8, 3000, "f"), "far")
    constants = [weights("w1", 6, 8), weights("w2", 8, 3), far]
    return model(nodes, constants, {"x": ["n", 6]}, {"scores": ["n", 3]})


def recurrent(kind, gates):
    """(1, 5, 3) to 4 scores by a GRU or LSTM."""
    nodes = [
        node("Transpose", "x", "t", "turn", perm=[1, 0, 2]),
        node(kind, "t w r", "steps last", "memory", hidden_size=8),
        node("Squeeze", "last axis", "state", "squeeze"),
        node("MatMul", "state v", "scores", "dense"),
    ]
    axis = numpy_helper.from_array(np.array([0]), "axis")
    constants = [weights("w", 1, 8 * gates, 3), weights("r", 1, 8 * gates, 8), weights("v", 8, 4)]
    return model(nodes, [*constants, axis], {"x": [1, 5, 3]}, {"scores": [1, 4]})


def overflowing():
    """(batch, 4) to 4, through values of 1e6 that float16 has not."""
    nodes = [
        node("MatMul", "x w", "h", "enter"),
        node("Mul", "h large", "up", "amplify"),
        node("Div", "up large", "y", "attenuate"),
    ]
    large = numpy_helper.from_array(np.full(4, 6e4, "f"), "large")
    return model(nodes, [weights("w", 4, 4, scale=9), large], {"x": ["n", 4]}, {"y": ["n", 4]})


def fixed(shape):
    """(1, 2, 3) to (1, 6) by a Reshape with the batch in it."""
    constants = [numpy_helper.from_array(np.array(shape), "shape"), weights("w", 6, 2)]
    nodes = [node("Reshape", "x shape", "f", "flat"), node("MatMul", "f w", "y", "dense")]
    return model(nodes, constants, {"x": [1, 2, 3]}, {"y": [1, 2]})


def mixing():
    """(1, 3) to (1, 3), each case less the mean over the batch."""
    nodes = [
        node("ReduceMean", "x", "mean", "mean", axes=[0]),
        node("Mul", "mean quarter", "part", "part"),
        node("Sub", "x part", "y", "rest"),
    ]
    quarter = numpy_helper.from_array(np.float32(0.25), "quarter")
    return model(nodes, [quarter], {"x": [1, 3]}, {"y": [1, 3]})


def main(folder):
    sick = images()
    sick.graph.initializer[2].CopyFrom(
        numpy_helper.from_array(np.full((6, 8, 3, 3), np.nan, "f"), "k2")
    )
    nets = {
        "images": images(),
        "images11": images(opset=11),
        "lifted": lifted(),
        "gru": recurrent("GRU", 3),
        "lstm": recurrent("LSTM", 4),
        "overflowing": overflowing(),
        "fixed": fixed([1, -1]),
        "fixed_inside": fixed([1, 6]),
        "mixing": mixing(),
        "sick": sick,
        "newest": model([node("Relu", "x", "y", "bend")], [], {"x": [1, 3]}, {"y": [1, 3]}, ir=13),
    }
    for name, net in nets.items():
        onnx.save(net, folder / f"{name}.onnx")
    onnx.save(
        images(),
        folder / "outside.onnx",
        save_as_external_data=True,
        location="outside.bin",
        size_threshold=0,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
