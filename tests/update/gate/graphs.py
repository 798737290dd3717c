"""Hostile graphs (F05 to F11, F14) in the place of half-plus-two's: x goes in, y comes out."""

from __future__ import annotations

import struct

import flatbuffers
import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper


def graph(*nodes: onnx.NodeProto, tensors: tuple = (), opset: int = 17, domain: str = "") -> bytes:
    shape = ["batch", 1]
    made = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        list(tensors),
    )
    opsets = [helper.make_opsetid("", opset)]
    opsets += [helper.make_opsetid(domain, 1)] if domain else []
    return helper.make_model(made, opset_imports=opsets, ir_version=10).SerializeToString()


def half_plus_two(first: str = "x") -> list[onnx.NodeProto]:
    return [
        helper.make_node("Mul", [first, "slope"], ["half"]),
        helper.make_node("Add", ["half", "offset"], ["y"]),
    ]


def weights(slope: float = 0.5, offset: float = 2.0) -> list[onnx.TensorProto]:
    return [
        numpy_helper.from_array(np.float32([slope]), "slope"),
        numpy_helper.from_array(np.float32([offset]), "offset"),
    ]


def ints(name: str, *values: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def bomb(operation: str, megabytes: int) -> bytes:
    """F08: a graph that asks for so much memory, and gives the right answer if it gets it."""
    elements = (megabytes << 20) // 4
    first = (
        helper.make_node("ConstantOfShape", ["size"], ["big"])
        if operation == "ConstantOfShape"
        else helper.make_node("Expand", ["zero", "size"], ["big"])
    )
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["any"], keepdims=0),
        helper.make_node("Mul", ["any", "nought"], ["zero"]),
        first,
        helper.make_node("Add", ["big", "zero"], ["bigger"]),
        helper.make_node("ReduceMax", ["bigger"], ["most"], keepdims=0),
        helper.make_node("Add", ["x", "most"], ["same"]),
        *half_plus_two("same"),
    ]
    nought = numpy_helper.from_array(np.float32(0), "nought")
    return graph(*nodes, tensors=(*weights(), nought, ints("size", elements)))


def slow(side: int, times: int) -> bytes:
    """F14: the right answer, after so many products of square matrices."""
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["any"], keepdims=0),
        helper.make_node("Mul", ["any", "nought"], ["zero"]),
        helper.make_node("Expand", ["zero", "size"], ["m0"]),
        *(helper.make_node("MatMul", [f"m{i}", f"m{i}"], [f"m{i + 1}"]) for i in range(times)),
        helper.make_node("ReduceMax", [f"m{times}"], ["most"], keepdims=0),
        helper.make_node("Add", ["x", "most"], ["same"]),
        *half_plus_two("same"),
    ]
    nought = numpy_helper.from_array(np.float32(0), "nought")
    return graph(*nodes, tensors=(*weights(), nought, ints("size", side, side)))


def endless() -> bytes:
    """F09: a loop whose condition stays true."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["going"]),
            helper.make_node("Mul", ["value", "one"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
        [numpy_helper.from_array(np.float32([1]), "one")],
    )
    nodes = [helper.make_node("Loop", ["", "yes", "x"], ["same"], body=body)]
    yes = numpy_helper.from_array(np.array(True), "yes")
    return graph(*nodes, *half_plus_two("same"), tensors=(*weights(), yes))


def restless() -> bytes:
    """The right answer, and a little of something else each time."""
    nodes = [
        helper.make_node("RandomUniformLike", ["x"], ["noise"], low=0.0, high=1e-4),
        helper.make_node("Add", ["x", "noise"], ["same"]),
        *half_plus_two("same"),
    ]
    return graph(*nodes, tensors=tuple(weights()))


def external(location: str, where: str = "graph") -> bytes:
    """F06, F07: the offset lies in another file; `where` says which part of the model names it."""
    away = TensorProto(name="offset", data_type=TensorProto.FLOAT, dims=[1])
    away.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "4")):
        away.external_data.add(key=key, value=value)
    slope = weights()[0]
    if where == "graph":
        return graph(*half_plus_two(), tensors=(slope, away))
    constant = helper.make_node("Constant", [], ["offset"], value=away)
    if where == "constant":
        return graph(constant, *half_plus_two(), tensors=(slope,))
    branch = helper.make_graph(
        half_plus_two(), "b", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    )
    branch.initializer.extend([slope, away])
    if where == "branches":
        return graph(helper.make_node("Switch", ["x"], ["y"], cases=[branch, branch]))
    if where == "function":
        model = onnx.ModelProto.FromString(graph(*half_plus_two(), tensors=(slope,)))
        opsets = list(model.opset_import)
        model.functions.append(
            helper.make_function("ours", "Offset", [], ["offset"], [constant], opsets)
        )
        return model.SerializeToString()
    yes = numpy_helper.from_array(np.array(True), "yes")
    chosen = helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch)
    return graph(chosen, tensors=(yes,))


def impossible() -> dict[str, bytes]:
    """F05, F10: graphs that say what cannot be."""
    liar = TensorProto(name="offset", data_type=TensorProto.FLOAT, dims=[1 << 40])
    liar.raw_data = struct.pack("<f", 2.0)
    negative = TensorProto(name="offset", data_type=TensorProto.FLOAT, dims=[-1])
    negative.raw_data = struct.pack("<f", 2.0)
    slope = weights()[0]
    reshape = helper.make_node("Reshape", ["x", "shape"], ["same"])
    huge = (2**31 - 1,) * 4
    return {
        "size lie": graph(*half_plus_two(), tensors=(slope, liar)),
        "negative size": graph(*half_plus_two(), tensors=(slope, negative)),
        "custom operation": graph(
            helper.make_node("Strange", ["x"], ["y"], domain="nobody"), domain="nobody"
        ),
        "opset": graph(*half_plus_two(), tensors=tuple(weights()), opset=9999),
        "domain": graph(helper.make_node("Relu", ["x"], ["y"], domain="no.such")),
        "reshape": graph(
            reshape, *half_plus_two("same"), tensors=(*weights(), ints("shape", *huge))
        ),
        "rank": graph(
            reshape, *half_plus_two("same"), tensors=(*weights(), ints("shape", *([1] * 5000), 7))
        ),
        "cycle": graph(
            helper.make_node("Add", ["x", "y"], ["z"]), helper.make_node("Add", ["z", "x"], ["y"])
        ),
    }


def overflowing_tflite(data: bytes) -> bytes:
    """F05: the same file with a tensor of 2^31 - 1 by 2^31 - 1."""
    model = schema.ModelT.InitFromPackedBuf(bytearray(data), 0)
    for tensor in model.subgraphs[0].tensors:
        tensor.shape = np.array([2**31 - 1] * len(tensor.shape), np.int32)
        tensor.shapeSignature = None
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
