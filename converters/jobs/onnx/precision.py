"""An ONNX model in another precision; it still takes and gives float32.

Options: `precision` (float16, int8, dynamic), `keep_float` (names of nodes that stay float32).
float16: weights and arithmetic. int8: static, needs cases; see `onnx_quantise`. dynamic: weights
of matrix products in unsigned int8, activations quantised as they come; `conv` takes convolutions
in as well, which makes them slower than in float32.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..difference import compare
from ..job import Facts, Job, JobError
from . import file as onnx_file
from . import quantise as onnx_quantise
from . import session as onnx_session

Kept = list[dict[str, str]]

_FLOAT16_MAX = 65504.0
_RANGE_CASES = 32  # that are looked through for values beyond it
_DYNAMIC = frozenset({"MatMul", "Gemm", "LSTM", "Attention", "EmbedLayerNormalization"})


def run(job: Job) -> Facts:
    """Write the model; say what stayed float, and how far its outputs are from the source's."""
    precision = job.options.get("precision")
    makers = {"float16": _float16, "int8": _int8, "dynamic": _dynamic}
    if precision not in makers:
        raise JobError(f"precision {precision!r} is not one of {', '.join(makers)}")
    source = onnx_file.read(job.source)
    if {"QuantizeLinear", "DequantizeLinear"} & {n.op_type for n in onnx_file.nodes(source.graph)}:
        raise JobError(f"{job.source.name}: is quantised already; start from its float32 model")
    model, kept = makers[precision](job, source)
    onnx_file.sort(model.graph)
    _drop_unused_domains(model)
    opened, before = onnx_session.session(model), onnx_session.session(source)
    cases = onnx_session.feeds(before, job.cases)
    expected, found = (onnx_session.predict(each, cases) for each in (before, opened))
    compared = compare(expected, found)
    if not np.isfinite(compared["max_error"]):
        raise JobError(f"{job.source.name}: in {precision} its outputs are not finite")
    onnx_file.write(model, job.out)
    return {**onnx_file.facts(model), "kept_float": kept, "compared": compared}


def _float16(job: Job, source: Any) -> tuple[Any, Kept]:
    from onnxruntime.transformers import float16

    asked = _asked(job, [node.name for node in source.graph.node])
    blocked = set(float16.DEFAULT_OP_BLOCK_LIST)
    _require_range(source, job, asked)
    model = type(source)()
    model.CopyFrom(source)
    try:
        model = float16.convert_float_to_float16(
            model, keep_io_types=True, node_block_list=sorted(asked)
        )
    except (ValueError, RuntimeError, KeyError) as exc:
        raise JobError(f"{job.source.name}: cannot be made float16: {exc}") from exc
    _join_casts(model.graph)
    kept = [
        _kept(
            node,
            "asked for" if node.name in asked else "its float16 kernel is not exact or is missing",
        )
        for node in source.graph.node
        if node.name in asked or node.op_type in blocked
    ]
    return model, kept


def _int8(job: Job, source: Any) -> tuple[Any, Kept]:
    del source  # it is prepared, and so read, anew
    prepared = onnx_quantise.prepare(job)
    names = prepared.nodes()
    asked = _asked(job, [node.name for node in prepared.model.graph.node])
    taken = [name for name in names if name not in asked]
    if not taken:
        raise JobError(f"{job.source.name}: has no operation that int8 takes; use float16")
    model = onnx_quantise.quantise(prepared, taken)
    return model, _left_float(model, asked)


def _dynamic(job: Job, source: Any) -> tuple[Any, Kept]:
    import onnx
    from onnxruntime import quantization

    kinds = _DYNAMIC | ({"Conv"} if job.options.get("conv") else set())
    asked = _asked(job, [node.name for node in source.graph.node])
    if all(n.op_type not in kinds or n.name in asked for n in source.graph.node):
        raise JobError(
            f"{job.source.name}: has no matrix product or LSTM for dynamic int8; use int8 or "
            "float16 (option conv takes convolutions, which run slower so)"
        )
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "model.onnx"
        # Unsigned weights: ONNX Runtime 1.23 (JetPack 6) has no ConvInteger for signed ones.
        quantization.quantize_dynamic(
            source,
            out,
            op_types_to_quantize=sorted(kinds),
            nodes_to_exclude=[*asked, *(f"{name}_MatMul" for name in asked)],  # what Gemm becomes
            weight_type=quantization.QuantType.QUInt8,
        )
        model = onnx.load(out)
    kept = [
        _kept(node, _why(node.op_type, node.name, asked))
        for node in model.graph.node
        if node.op_type in kinds | onnx_quantise.RECURRENT | {"Conv", "ConvTranspose"}
    ]
    return model, kept


def _left_float(model: Any, asked: Collection[str]) -> Kept:
    """The nodes that compute in float: not between DequantizeLinear, or with no int8 kernel."""
    floats = set(onnx_file.float_tensors(model))
    known = onnx_quantise.quantisable()
    nodes = list(onnx_file.nodes(model.graph))
    real = {name for n in nodes if n.op_type == "DequantizeLinear" for name in n.output}
    constant = {tensor.name for tensor in model.graph.initializer}
    skipped = {"QuantizeLinear", "DequantizeLinear", "Constant", "Cast"}
    return [
        _kept(node, _why(node.op_type, node.name, asked))
        for node in nodes
        if node.op_type not in skipped
        and (floats.intersection(node.output) or node.op_type in onnx_quantise.RECURRENT)
        and not (node.op_type in known and real.intersection(node.input))
        and not constant.issuperset(node.input)
    ]


def _why(kind: str, name: str, asked: Collection[str]) -> str:
    if name in asked:
        return "asked for"
    if kind in onnx_quantise.RECURRENT:
        return "ONNX Runtime has no int8 kernel for it: unroll it, or use dynamic (LSTM) or float16"
    if kind in ("Conv", "ConvTranspose"):
        return "integer convolution without calibration is slower than float32"
    if kind not in onnx_quantise.quantisable():
        return "ONNX Runtime's quantiser does not know it"
    return "its inputs are not quantised, or its weights are not constant"


def _asked(job: Job, names: Sequence[str]) -> set[str]:
    asked = set(job.options.get("keep_float", ()))
    unknown = asked - set(names)
    if unknown:
        raise JobError(f"keep_float: {job.source.name} has no node {', '.join(sorted(unknown))}")
    return asked


def _kept(node: Any, why: str) -> dict[str, str]:
    return {"node": node.name, "op": node.op_type, "why": why}


def _require_range(model: Any, job: Job, asked: Collection[str]) -> None:
    """Every tensor within float16 on the first cases. Raises JobError naming the node.

    It is looked for in the source: on a CPU ONNX Runtime computes float16 in float32, and only
    a GPU would overflow.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    names = onnx_file.float_tensors(model)
    cases = onnx_session.feeds(onnx_session.session(model), job.cases)[:_RANGE_CASES]
    for start in range(0, len(names), onnx_quantise.CHUNK):
        watch = onnx_quantise.Watch(model, names[start : start + onnx_quantise.CHUNK])
        for feed in cases:
            for name, array in watch(feed).items():
                node = makers.get(name)
                largest = float(np.abs(array).max(initial=0.0))
                if node and node.name not in asked and largest > _FLOAT16_MAX:
                    raise JobError(
                        f"node {node.name} ({node.op_type}) gives {largest:.3g}, which float16 "
                        "has not: name it in keep_float, or scale the model's values down"
                    )


def _join_casts(graph: Any) -> None:
    """Between two nodes that stay float32 nothing need pass through float16."""
    import onnx

    casts = {
        node.output[0]: (node.input[0], node.attribute[0].i)
        for node in graph.node
        if node.op_type == "Cast"
    }
    whole = {}
    for name, (narrow, kind) in casts.items():
        wide, narrowed = casts.get(narrow, ("", 0))
        if kind == onnx.TensorProto.FLOAT and narrowed == onnx.TensorProto.FLOAT16:
            whole[name] = wide
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = whole.get(name, name)
    used = {name for node in onnx_file.nodes(graph) for name in node.input}
    used.update(value.name for value in graph.output)
    for node in [n for n in graph.node if n.op_type == "Cast" and n.output[0] not in used]:
        graph.node.remove(node)


def _drop_unused_domains(model: Any) -> None:
    """Drop the operation sets that ONNX Runtime adds and nothing uses; others refuse them."""
    used = {node.domain for node in onnx_file.nodes(model.graph)} | {""}
    wanted = [item for item in model.opset_import if item.domain in used]
    copies = [(item.domain, item.version) for item in wanted]
    del model.opset_import[:]
    for domain, version in copies:
        model.opset_import.add(domain=domain, version=version)
