"""Outputs of a .tflite file turned from channels-last to channels-first at the end of the graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..difference import compare
from ..job import Array
from .file import Model, text


def give_back(model: Model, found: Mapping[str, Array], expected: Mapping[str, Array]) -> list[str]:
    """Turn the outputs that are the expected ones only when turned; give their names.

    The arrays are (cases, ...), found as the model gives them now.
    """
    graph = model.subgraphs[0]
    turned = []
    for place, (name, want) in enumerate(expected.items()):
        have = found[name]
        if have.ndim < 4 or _error(want, have) <= _error(want, np.moveaxis(have, -1, 2)):
            continue
        graph.outputs[place] = _turn(model, graph, int(graph.outputs[place]))
        for signature in model.signatureDefs or []:
            for entry in signature.outputs if signature.subgraphIndex == 0 else ():
                if text(entry.name) == name:
                    entry.tensorIndex = graph.outputs[place]
        turned.append(name)
    return turned


def _error(want: Array, have: Array) -> float:
    if want.shape != have.shape:
        return float("inf")
    return float(compare({"": want}, {"": have})["relative_error"])


def _turn(model: Model, graph: Any, index: int) -> int:
    """Add a TRANSPOSE behind a tensor; the new tensor takes over its name."""
    from ai_edge_litert import schema_py_generated as schema

    before = graph.tensors[index]
    order = [0, len(before.shape) - 1, *range(1, len(before.shape) - 1)]
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(np.array(order, "<i4").tobytes(), np.uint8)
    model.buffers.append(buffer)
    axes, after = schema.TensorT(), schema.TensorT()
    axes.name, axes.type, axes.shape = b"turn/" + before.name, schema.TensorType.INT32, [len(order)]
    axes.buffer = len(model.buffers) - 1
    after.name, before.name = before.name, before.name + b"/channels_last"
    after.type, after.buffer = before.type, 0
    after.shape = [int(before.shape[axis]) for axis in order]
    graph.tensors += [axes, after]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.TRANSPOSE
    code.version = 1
    model.operatorCodes.append(code)
    operator = schema.OperatorT()
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.inputs = [index, len(graph.tensors) - 2]
    operator.outputs = [len(graph.tensors) - 1]
    operator.builtinOptionsType = schema.BuiltinOptions.TransposeOptions
    operator.builtinOptions = schema.TransposeOptionsT()
    graph.operators.append(operator)
    return len(graph.tensors) - 1
