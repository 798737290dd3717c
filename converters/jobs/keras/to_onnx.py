"""A Keras model or SavedModel to ONNX, by tf2onnx.

Options: opset (17), batch = 0 (open, the default) | 1, metadata (texts by key, for the file), and
unroll, and those of `keras_model.load`. The cases, if any, are what the result is compared with.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..job import Array, Facts, Job, JobError, read_cases
from .check import compare, first_cases
from .layers import layer_of, unroll
from .model import facts, load
from .predict import cases_of
from .rewrite import without_erfc
from .saved import Frozen, freeze
from .source import Source, versions

_OPSETS = range(13, 19)
_OPSET = 17
_IR_VERSION = 10  # the newest that ONNX Runtime 1.18 (2024) reads
_STEPS = 3


def run(job: Job) -> Facts:
    """Convert, check, and compare."""
    opset, batch = int(job.options.get("opset", _OPSET)), int(job.options.get("batch", 0))
    if opset not in _OPSETS:
        raise JobError(f"opset {opset}: tf2onnx writes {_OPSETS[0]} to {_OPSETS[-1]}")
    job.progress(0, _STEPS, "load")
    source = load(job)
    cases = cases_of(source, read_cases(job.cases)) if job.cases else None
    job.progress(1, _STEPS, "convert")
    unrolled = unroll(source) if job.options.get("unroll", False) else []
    frozen = freeze(source, batch, may_be_open=True)
    model = _convert(source, without_erfc(frozen), opset)
    _describe(model, job.options.get("metadata", {}))
    data = model.SerializeToString()
    job.progress(2, _STEPS, "compare")
    _check(source, model)
    inputs = first_cases(source, cases)
    given = _answers(source, data, inputs, batch)
    compared = compare(source, inputs, given, exact=True)
    beside = job.out.with_name(f".{job.out.name}.part")
    try:
        beside.write_bytes(data)
        os.replace(beside, job.out)  # noqa: PTH105
    finally:
        beside.unlink(missing_ok=True)
    job.progress(_STEPS, _STEPS, "done")
    return {**facts(source), **_found(model), **compared, "opset": opset, "unrolled": unrolled}


def _convert(source: Source, frozen: Frozen, opset: int) -> Any:
    import tf2onnx

    renamed = {
        **dict(zip(frozen.inputs, (tensor.name for tensor in source.inputs), strict=True)),
        **dict(zip(frozen.outputs, (tensor.name for tensor in source.outputs), strict=True)),
    }
    if len(renamed) < len(source.inputs) + len(source.outputs):
        raise JobError("an output is an input or another output too; leave it out of the model")
    try:
        model, _ = tf2onnx.convert.from_graph_def(
            frozen.graph,
            name=source.path.stem,
            input_names=list(frozen.inputs),
            output_names=list(frozen.outputs),
            opset=opset,
            tensors_to_rename=renamed,
        )
    except (ValueError, RuntimeError, KeyError, AttributeError, NotImplementedError) as exc:
        raise JobError(f"tf2onnx: {str(exc).splitlines()[0] if str(exc) else exc!r}") from exc
    return model


def _describe(model: Any, metadata: Mapping[str, str]) -> None:
    import onnx

    model.ir_version = min(model.ir_version, _IR_VERSION)
    onnx.helper.set_model_props(model, {str(key): str(value) for key, value in metadata.items()})


def _check(source: Source, model: Any) -> None:
    """tf2onnx leaves what it does not know as it was, and ends well. Raises JobError for it."""
    import onnx

    known = {schema.name for schema in onnx.defs.get_all_schemas()}
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type not in known:
            raise JobError(
                f"layer '{layer_of(source, node.name)}': ONNX has no operation {node.op_type}; use"
                " another in its place, or convert to TFLite"
            )
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as exc:
        raise JobError(f"the converted file is not valid: {str(exc).splitlines()[0]}") from exc


def _answers(source: Source, data: bytes, inputs: Sequence[Array], batch: int) -> list[Array]:
    """The outputs for all cases: in one batch where it is open, else one by one."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    names = [tensor.name for tensor in source.inputs]
    size = batch or len(inputs[0])
    try:
        session = onnxruntime.InferenceSession(data, options, ["CPUExecutionProvider"])
        given = [each.name for each in session.get_inputs()]
        if given != names:
            raise JobError(f"the converted file has inputs {given}, not {names}")
        wanted = [tensor.name for tensor in source.outputs]
        parts = [
            session.run(
                wanted,
                {name: value[at : at + size] for name, value in zip(names, inputs, strict=True)},
            )
            for at in range(0, len(inputs[0]), size)
        ]
    except _errors() as exc:
        raise JobError(f"the converted file does not run: {str(exc).splitlines()[0]}") from exc
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


def _errors() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises; its own exceptions share no base class."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = (state.Fail, state.InvalidGraph, state.InvalidArgument, state.NotImplemented)
    return (RuntimeError, ValueError, *own)


def _found(model: Any) -> Facts:
    nodes = [node.op_type for node in model.graph.node]
    return {
        "inputs": [_spec(value) for value in model.graph.input],
        "outputs": [_spec(value) for value in model.graph.output],
        "ops": dict(Counter(nodes).most_common()),
        "versions": versions("tensorflow-cpu", "tensorflow", "keras", "tf2onnx", "onnx"),
        "ir_version": model.ir_version,
    }


def _spec(value: Any) -> dict[str, Any]:
    import onnx

    kind = value.type.tensor_type
    shape = [size.dim_value if size.HasField("dim_value") else -1 for size in kind.shape.dim]
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)).name
    return {"name": value.name, "shape": shape, "dtype": dtype}
