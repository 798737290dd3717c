"""Weights that a .tflite file stores in float16, made float32 again."""

from __future__ import annotations

import numpy as np

from .file import Model, dtype, operators


def widen(model: Model) -> int:
    """Put the values behind each DEQUANTIZE of a float16 constant in its place; give how many.

    The float16 ones, which nothing uses any more, leave the file.
    """
    from ai_edge_litert import schema_py_generated as schema

    done, narrow = {}, set()
    for op, graph, operator in operators(model):
        if op != "DEQUANTIZE":
            continue
        before, after = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
        data = model.buffers[before.buffer].data
        if dtype(before) != "float16" or data is None or not len(data):
            continue
        wide = schema.BufferT()
        values = np.frombuffer(np.asarray(data, np.uint8).tobytes(), "<f2").astype("<f4")
        wide.data = np.frombuffer(values.tobytes(), np.uint8)
        after.buffer = len(model.buffers)
        model.buffers.append(wide)
        done[id(operator)] = operator
        narrow.add(before.buffer)
    for graph in model.subgraphs:
        graph.operators = [each for each in graph.operators if id(each) not in done]
    for _, graph, operator in operators(model):
        narrow -= {graph.tensors[index].buffer for index in operator.inputs if index >= 0}
    for index in narrow:
        model.buffers[index].data = None
    return len(done)
