"""The batch axis of an ONNX model: fixed at 1, or opened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..job import Array, JobError
from . import session as onnx_session

_NAME = "batch"


def fix(model: Any) -> None:
    """Set the batch axis of every input and output to 1; of outputs also `settle` must know."""
    symbols = {_first(value).dim_param for value in model.graph.input if _open(value)} - {""}
    for value in (*model.graph.input, *model.graph.output):
        if _open(value) and (not _first(value).dim_param or value in model.graph.input):
            _first(value).dim_value = 1
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param in symbols:
                dimension.dim_value = 1
    infer_anew(model)


def settle(model: Any, outputs: Sequence[Array]) -> None:
    """Fix the first axis of outputs, which the file names otherwise than its inputs', as it ran."""
    for value, array in zip(model.graph.output, outputs, strict=True):
        if _open(value) and array.shape[:1] == (1,):
            _first(value).dim_value = 1


def unfix(model: Any) -> None:
    """Let the batch axis of every input and output vary.

    A Reshape to a constant shape that begins with 1 is rewritten to keep its batch. Whether the
    graph follows must be seen by running it: `check_open`.
    """
    values = [*model.graph.input, *model.graph.output]
    for value in values:
        dimensions = value.type.tensor_type.shape.dim
        if len(dimensions) > 1 and (dimensions[0].dim_value == 1 or _open(value)):
            dimensions[0].dim_param = dimensions[0].dim_param or _NAME
    _free_reshapes(model)
    infer_anew(model)


def check_open(opened: Any, cases: Sequence[dict[str, Array]]) -> None:
    """Run two cases as one batch and compare. Raises JobError naming what fixes the batch."""
    axes = {
        node.name: index
        for node in opened.get_inputs()
        for index, size in enumerate(node.shape)
        if size == opened.get_inputs()[0].shape[0]
    }
    pair = [cases[0], cases[-1]]
    feed = {
        name: np.concatenate([case[name] for case in pair], axes[name])
        if name in axes
        else pair[0][name]
        for name in pair[0]
    }
    single = [onnx_session.run(opened, case) for case in pair]
    try:
        both = onnx_session.run(opened, feed)
    except JobError as exc:
        raise JobError(
            f"the graph itself fixes the batch at 1: {exc}; export it with a dynamic batch axis, "
            "or convert with a fixed batch"
        ) from exc
    for output, found, first, second in zip(opened.get_outputs(), both, *single, strict=True):
        axis = next((i for i, n in enumerate(output.shape) if not isinstance(n, int)), 0)
        expected = np.concatenate([first, second], axis)
        if found.shape != expected.shape or not np.allclose(found, expected, 1e-3, 1e-4):
            raise JobError(
                f"output {output.name} of a batch of two is not that of two single runs: the "
                "model mixes the cases of a batch; convert with a fixed batch"
            )


def _first(value: Any) -> Any:
    return value.type.tensor_type.shape.dim[0]


def _open(value: Any) -> bool:
    dimensions = value.type.tensor_type.shape.dim
    return bool(dimensions) and dimensions[0].dim_value < 1


def infer_anew(model: Any) -> None:
    """Forget the inner shapes, which held the old batch, and infer them from the inputs."""
    import onnx

    del model.graph.value_info[:]
    try:
        model.CopyFrom(onnx.shape_inference.infer_shapes(model, data_prop=True))
    except onnx.shape_inference.InferenceError as exc:
        raise JobError(f"the shapes of the graph contradict each other: {exc}") from exc


def _free_reshapes(model: Any) -> None:
    import onnx

    shapes = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "Reshape" or node.input[1] not in shapes:
            continue
        shape = onnx.numpy_helper.to_array(shapes[node.input[1]]).copy()
        if len(shape) > 1 and shape[0] == 1:
            shape[0] = 0 if (shape == -1).any() else -1
            name = f"{node.name}/open_shape"
            model.graph.initializer.append(onnx.numpy_helper.from_array(shape, name))
            node.input[1] = name
