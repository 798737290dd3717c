"""An ONNX file as the jobs see it: read and checked, written whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..job import Facts, JobError

IR_MAX = 10  # onnxruntime 1.23.2, the newest for JetPack 6, reads no newer file
BYTES_MAX = 2**31 - 1  # of a protobuf message

_WEIGHTED = frozenset(
    {"Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN", "BatchNormalization"}
)


def read(path: Path) -> Any:
    """A model with all its weights in memory, every node named. Raises JobError."""
    import onnx
    from google.protobuf.message import DecodeError

    size = path.stat().st_size
    if size > BYTES_MAX:
        raise JobError(f"{path.name}: {size / 2**30:.1f} GB; an ONNX file holds 2 GB")
    try:
        model = onnx.load(path, load_external_data=False)
        _inline(model, path)
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as exc:
        raise JobError(f"{path.name}: not a valid ONNX model: {first_line(exc)}") from exc
    except DecodeError as exc:
        raise JobError(f"{path.name}: not an ONNX file, or cut short: {first_line(exc)}") from exc
    model.ir_version = min(model.ir_version, IR_MAX)
    _name_nodes(model.graph)
    _check_weights(model.graph)
    return model


def write(model: Any, out: Path) -> None:
    """Check a model and write it as a whole, no newer than IR_MAX. Raises JobError."""
    import onnx

    model.ir_version = min(model.ir_version, IR_MAX)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as exc:
        raise JobError(f"the result is not a valid ONNX model: {first_line(exc)}") from exc
    half = out.with_name(f"{out.name}.part")
    onnx.save(model, half)
    half.replace(out)


def facts(model: Any) -> Facts:
    """Inputs, outputs, operations, opset; see `jobs.job`."""
    import onnx
    import onnxruntime

    known = {tensor.name for tensor in model.graph.initializer}
    return {
        "inputs": [_spec(value) for value in model.graph.input if value.name not in known],
        "outputs": [_spec(value) for value in model.graph.output],
        "ops": dict(Counter(node.op_type for node in nodes(model.graph)).most_common()),
        "opset": opset(model),
        "ir_version": model.ir_version,
        "float_tensors": len(float_tensors(model)),
        "versions": {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__},
        "notes": [],
    }


def opset(model: Any) -> int:
    """The version of ONNX's own operations."""
    return max((item.version for item in model.opset_import if not item.domain), default=1)


def nodes(graph: Any) -> Iterator[Any]:
    """The nodes of a graph and of the graphs inside it."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node:
                    yield from nodes(inner)


def float_tensors(model: Any) -> list[str]:
    """The names of float32 and float16 tensors between nodes, of the outer graph."""
    import onnx

    try:
        inferred = onnx.shape_inference.infer_shapes(model)
    except onnx.shape_inference.InferenceError:
        inferred = model
    floats = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16}
    graph = inferred.graph
    made = {name for node in graph.node if node.op_type != "Constant" for name in node.output}
    names = [
        value.name
        for value in (*graph.value_info, *graph.output)
        if value.name in made and value.type.tensor_type.elem_type in floats
    ]
    return list(dict.fromkeys(names))


def sort(graph: Any) -> None:
    """Put each node after those whose outputs it, or a graph inside it, takes."""
    made = {name for node in graph.node for name in node.output if name}
    waiting, ordered = list(graph.node), []
    ready: set[str] = set()
    while waiting:
        free = [n for n in waiting if not (made & _taken(n)) - ready - set(n.output)]
        if not free:
            raise JobError(f"node {waiting[0].name} waits for itself: the graph has a circle")
        ordered += free
        ready.update(name for node in free for name in node.output)
        left = {id(node) for node in free}
        waiting = [node for node in waiting if id(node) not in left]
    copies = [type(node).FromString(node.SerializeToString()) for node in ordered]
    del graph.node[:]
    graph.node.extend(copies)


def _taken(node: Any) -> set[str]:
    inner = (g for a in node.attribute for g in (a.g, *a.graphs) if g.node)
    return {*node.input, *(name for graph in inner for each in nodes(graph) for name in each.input)}


def first_line(exc: Exception) -> str:
    """What an exception says first."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return lines[0] if lines else type(exc).__name__


def _inline(model: Any, path: Path) -> None:
    """Take weights that lie in files beside the model into it."""
    import onnx

    outside = [
        tensor
        for tensor in model.graph.initializer
        if onnx.external_data_helper.uses_external_data(tensor)
    ]
    if not outside:
        return
    locations = {
        item.value for tensor in outside for item in tensor.external_data if item.key == "location"
    }
    total = path.stat().st_size
    for location in sorted(locations):
        beside = (path.parent / location).resolve()
        if path.parent.resolve() not in beside.parents:
            raise JobError(f"{path.name}: keeps weights in {location}, outside of its folder")
        if not beside.is_file():
            raise JobError(f"{path.name}: keeps weights in {location}, which is not beside it")
        total += beside.stat().st_size
    if total > BYTES_MAX:
        raise JobError(f"{path.name}: {total / 2**30:.1f} GB with its weights; the limit is 2 GB")
    onnx.external_data_helper.load_external_data_for_model(model, str(path.parent))


def _name_nodes(graph: Any) -> None:
    """Give each node without a name one, so that messages and options can name it."""
    taken = {node.name for node in graph.node}
    for index, node in enumerate(graph.node):
        if not node.name:
            node.name = f"{node.op_type}_{index}"
            while node.name in taken:
                node.name += "_"
            taken.add(node.name)


def _check_weights(graph: Any) -> None:
    """No NaN anywhere, no infinity in a weighted layer. Raises JobError naming the node."""
    import onnx

    bad = {}
    for tensor in (*graph.initializer, *_constants(graph)):
        if tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16):
            values = onnx.numpy_helper.to_array(tensor)
            if not np.isfinite(values).all():
                bad[tensor.name] = "NaN" if np.isnan(values).any() else "infinite"
    for node in nodes(graph) if bad else ():
        for name in node.input:
            kind = bad.get(name)
            if kind == "NaN" or (kind and node.op_type in _WEIGHTED):
                raise JobError(
                    f"node {node.name} ({node.op_type}): its weights {name} hold {kind} values; "
                    "the training diverged or the file is damaged"
                )


def _constants(graph: Any) -> Iterator[Any]:
    """The tensors of Constant nodes, each under the name of the node's output."""
    for node in nodes(graph):
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.name == "value":
                attribute.t.name = node.output[0]
                yield attribute.t


def _spec(value: Any) -> Facts:
    import onnx

    tensor = value.type.tensor_type
    return {
        "name": value.name,
        "shape": [
            dimension.dim_value
            if dimension.HasField("dim_value") and dimension.dim_value > 0
            else -1
            for dimension in tensor.shape.dim
        ],
        "dtype": onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name,
    }
