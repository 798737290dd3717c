"""A small ONNX network of two heads, with its contract and cases that it gets right."""

from __future__ import annotations

from pathlib import Path

import numpy as np

HEADS = """\
name = "net"
version = "1.0.0"
task = "classification"
[[input]]
name = "x"
kind = "feature"
feature = "x"
shape = [1, 5]
[[output]]
name = "scores"
meaning = "scores"
[postprocess]
kind = "heads"
[[head]]
name = "rhythm"
output = "scores"
labels = ["sinus", "af", "other"]
report = "best"
activation = "softmax"
[[head]]
name = "findings"
output = "scores"
first = 3
labels = ["up", "down"]
report = "all"
activation = "sigmoid"
threshold = 0.5
"""


def heads_net(path: Path) -> None:
    """(n, 5) to 5 scores: the first four as they come, the fourth turned round as the fifth.

    The last input is 1. The scores of the second head have 2049 times it added and taken off again
    as 683 x 3: FP16 has no 2049, and so loses that head and no other.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    up = np.zeros((5, 5), np.float32)
    up[0, 0] = up[1, 1] = up[2, 2] = up[3, 3] = 1
    up[3, 4], up[4, 3:] = -1, 2049
    aside = np.zeros((5, 1), np.float32)
    aside[4] = 683
    off = np.array([[0, 0, 0, 3, 3]], np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "up"], ["added"], name="add"),
        helper.make_node("MatMul", ["x", "aside"], ["part"], name="part"),
        helper.make_node("MatMul", ["part", "off"], ["taken"], name="take"),
        helper.make_node("Sub", ["added", "taken"], ["scores"], name="sub"),
    ]
    constants = [
        numpy_helper.from_array(array, name)
        for name, array in (("up", up), ("aside", aside), ("off", off))
    ]
    sides = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 5]) for name in ("x", "scores")
    ]
    graph = helper.make_graph(nodes, "net", sides[:1], sides[1:], constants)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)


def heads_cases(count: int) -> dict[str, np.ndarray]:
    """Inputs with the labels of both heads; of the first two the findings are not known."""
    random = np.random.default_rng(2)
    x = random.uniform(-0.4, 0.4, (count, 5)).astype(np.float32)
    x[:, 4] = 1
    findings = np.stack([x[:, 3] > 0, x[:, 3] < 0], axis=1).astype(np.float32)
    findings[:2] = np.nan
    labels = {"labels/rhythm": x[:, :3].argmax(axis=1), "labels/findings": findings}
    return {"x": x, **labels}
