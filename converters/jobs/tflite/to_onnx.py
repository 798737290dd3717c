"""A .tflite file as an ONNX model, by tf2onnx; quantised ones become QDQ with float inputs.

Option `opset` (17). The result takes and gives real values in the source's layout (channels
last), under the source's names. It is compared with the source; the tool's own word is not taken.
"""

from __future__ import annotations

import importlib.metadata
from typing import Any

from ..difference import require_same
from ..job import Facts, Job, JobError
from ..onnx import file as onnx_file
from ..onnx import session as onnx_session
from . import file as tflite_file
from .facts import has_variables
from .session import Session

_LIMIT = 1e-2  # of the relative error in float
# QDQ rounds at other places, and lists (of boxes) may swap neighbours: only nonsense, which is at
# sqrt(2) when it has the right spread, is refused here.
_LIMIT_QUANTISED = 1.2


def run(job: Job) -> Facts:
    """Convert, make inputs and outputs real, compare."""
    source = tflite_file.read(job.source)
    if has_variables(source):
        raise JobError(f"{job.source.name}: keeps state in variables, which ONNX has not")
    session = Session(job.source)
    model = _convert(job)
    _check_known(model, job)
    quantised = _make_real(model, session)
    _order(model, session)
    cases = session.feeds(job.cases)
    opened = onnx_session.session(model)
    names = [detail["name"] for detail in session.inputs]
    feeds = [dict(zip(names, case, strict=True)) for case in cases]
    typed = [
        {n.name: feed[n.name].astype(onnx_session.DTYPES[n.type]) for n in opened.get_inputs()}
        for feed in feeds
    ]
    found, expected = onnx_session.predict(opened, typed), session.predict(cases)
    limit = _LIMIT_QUANTISED if quantised else _LIMIT
    compared = require_same(expected, found, job.source.name, limit)
    onnx_file.write(model, job.out)
    facts = onnx_file.facts(model)
    facts["versions"]["tf2onnx"] = importlib.metadata.version("tf2onnx")
    return {**facts, "layout": "channels-last", "quantised": quantised, "compared": compared}


def _convert(job: Job) -> Any:
    from tf2onnx import convert

    try:
        model, _ = convert.from_tflite(str(job.source), opset=int(job.options.get("opset", 17)))
    except (ValueError, RuntimeError, KeyError, AttributeError, NotImplementedError) as exc:
        raise JobError(
            f"tf2onnx cannot convert {job.source.name}: {onnx_file.first_line(exc)}"
        ) from exc
    return model


def _check_known(model: Any, job: Job) -> None:
    """tf2onnx leaves what it does not know in the file, and ends well. Raises JobError."""
    import onnx

    version = onnx_file.opset(model)
    for node in onnx_file.nodes(model.graph):
        if not node.domain and not onnx.defs.has(node.op_type, version, ""):
            raise JobError(
                f"{job.source.name}: {node.op_type} (layer {node.name}) has no ONNX operation that "
                "tf2onnx knows; convert from the model that the file was made of"
            )


def _make_real(model: Any, session: Session) -> bool:
    """Quantised inputs and outputs become float32; gives whether anything is quantised."""
    for values, details in (
        (model.graph.input, session.inputs),
        (model.graph.output, session.outputs),
    ):
        for value in values:
            for detail in details:
                if detail["name"] == value.name and detail["quantization"][0]:
                    _around(model, value, detail, entry=details is session.inputs)
    return any(node.op_type == "DequantizeLinear" for node in model.graph.node)


def _around(model: Any, value: Any, detail: dict[str, Any], *, entry: bool) -> None:
    import numpy as np
    import onnx

    element = value.type.tensor_type.elem_type
    if element == onnx.TensorProto.FLOAT:
        return
    name, inner = value.name, f"{value.name}/stored"
    for node in onnx_file.nodes(model.graph):
        for names in (node.input, node.output):
            for index, tensor in enumerate(names):
                if tensor == name:
                    names[index] = inner
    scale, zero_point = detail["quantization"]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(element)
    model.graph.initializer.extend(
        [
            onnx.numpy_helper.from_array(np.array(scale, np.float32), f"{name}/scale"),
            onnx.numpy_helper.from_array(np.array(zero_point, dtype), f"{name}/zero_point"),
        ]
    )
    kind, ends = ("QuantizeLinear", (name, inner)) if entry else ("DequantizeLinear", (inner, name))
    parameters = [f"{name}/scale", f"{name}/zero_point"]
    node = onnx.helper.make_node(kind, [ends[0], *parameters], [ends[1]], f"{name}/{kind}")
    model.graph.node.append(node)
    onnx_file.sort(model.graph)
    value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT


def _order(model: Any, session: Session) -> None:
    """The source's order. Raises JobError when the names are not its own."""
    for values, details in (
        (model.graph.input, session.inputs),
        (model.graph.output, session.outputs),
    ):
        names = [detail["name"] for detail in details]
        found = {value.name: type(value).FromString(value.SerializeToString()) for value in values}
        if set(found) != set(names):
            raise JobError(f"tf2onnx gave {', '.join(found)}, not {', '.join(names)}")
        del values[:]
        values.extend(found[name] for name in names)
