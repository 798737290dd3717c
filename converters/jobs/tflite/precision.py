"""A float .tflite file in another precision, by ai-edge-quantizer; no TensorFlow is needed.

Options: `precision` (float16, dynamic, int8, int16x8), `io` (float32, int8, uint8; int16 with
int16x8): the type of inputs and outputs, `keep_float`: what stays float, see
`tflite_quantise.chosen`; `legacy`: dense layers with one scale for all weights, without
which tflite-runtime 2.14 refuses dynamic ones. float16 stores weights only. int8 and int16x8 need
cases; see `tflite_quantise`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from ..difference import compare
from ..job import Facts, Job, JobError
from . import file as tflite_file
from . import quantise as tflite_quantise
from .facts import facts, has_variables
from .session import Session

_TYPES = {
    "float16": ("float32",),
    "dynamic": ("float32",),
    "int8": ("float32", "int8", "uint8"),
    "int16x8": ("float32", "int16"),
}
_DENSE_PER_CHANNEL = 12  # version of FULLY_CONNECTED
_WEIGHTED = frozenset(
    {
        "BATCH_MATMUL",
        "CONV_2D",
        "CONV_3D",
        "DEPTHWISE_CONV_2D",
        "EMBEDDING_LOOKUP",
        "FULLY_CONNECTED",
        "TRANSPOSE_CONV",
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
    }
)


def run(job: Job) -> Facts:
    """Write the model; say what stayed float, and how far its outputs are from the source's."""
    precision, io = str(job.options.get("precision")), str(job.options.get("io", "float32"))
    if precision not in _TYPES:
        raise JobError(f"precision {precision!r} is not one of {', '.join(_TYPES)}")
    if io not in _TYPES[precision]:
        raise JobError(f"io {io!r} with {precision}: one of {', '.join(_TYPES[precision])}")
    static = precision in ("int8", "int16x8")
    prepared = tflite_quantise.prepare(job, calibrate=static)
    asked = tflite_quantise.chosen(prepared.parts, job.options.get("keep_float", ()), job.source)
    content = tflite_quantise.quantise(prepared, lambda worker: _fill(worker, job, asked))
    model = _arranged(content, prepared.content)
    if precision == "dynamic":
        _say_version(model)
    compared = _compare(job, tflite_file.pack(model), anew=has_variables(model))
    tflite_file.write(model, job.out)
    names = {part.name for part in asked}
    kept = _left_float(model, names) if static else _left_weights(model, names)
    return {**facts(model), "kept_float": kept, "compared": compared}


def _fill(worker: Any, job: Job, asked: Collection[tflite_quantise.Part]) -> None:
    """The recipe."""
    from ai_edge_quantizer import qtyping, quantizer

    names, precision = qtyping.TFLOperationName, job.options["precision"]
    legacy = bool(job.options.get("legacy", False))
    if precision == "float16":
        worker.add_weight_only_config(
            ".*", names.ALL_SUPPORTED, 16, algorithm_key=quantizer.AlgorithmName.FLOAT_CASTING
        )
    elif precision == "dynamic":
        worker.add_dynamic_config(".*", names.ALL_SUPPORTED, 8)
        if legacy:
            tensor = qtyping.QuantGranularity.TENSORWISE
            worker.add_dynamic_config(".*", names.FULLY_CONNECTED, 8, tensor)
    else:
        bits = 16 if precision == "int16x8" else 8
        tflite_quantise.static(worker, bits=bits, per_channel_dense=not legacy)
        if job.options.get("io", "float32") != "float32":
            tflite_quantise.rim(worker, job.options["io"])
    for part in asked:
        tflite_quantise.keep(worker, tflite_quantise.exactly(part.scope), part.op)


def _arranged(content: bytes, source: bytes) -> tflite_file.Model:
    """The result with the inputs and outputs of the source, in its order and by its names."""
    found, given = tflite_file.parse(content), tflite_file.parse(source)
    for side in (tflite_file.inputs, tflite_file.outputs):
        if len(side(found)) != len(side(given)):
            raise JobError("ai-edge-quantizer changed the number of inputs or outputs")
    main, old = found.subgraphs[0], given.subgraphs[0]
    taken = {tflite_file.text(tensor.name): tensor for tensor in main.tensors}
    pairs = [
        *zip(main.inputs, old.inputs, strict=True),
        *zip(main.outputs, old.outputs, strict=True),
    ]
    for index, before in pairs:
        name = tflite_file.text(old.tensors[before].name)
        other = taken.get(name)
        if other is not None and other is not main.tensors[index]:
            other.name = f"{name}_inner".encode()
        main.tensors[index].name = name.encode()
    return found


def _say_version(model: tflite_file.Model) -> None:
    """Make runtimes refuse what they would compute wrongly.

    Dense layers with a scale for each channel of dynamic weights are version 12 of the operation.
    ai-edge-quantizer writes 1, and tflite-runtime 2.14 then takes the first scale for all.
    """
    for op, graph, operator in tflite_file.operators(model):
        stored = graph.tensors[operator.inputs[1]].quantization if op == "FULLY_CONNECTED" else None
        if stored is not None and stored.scale is not None and len(stored.scale) > 1:
            code = model.operatorCodes[operator.opcodeIndex]
            code.version = max(code.version, _DENSE_PER_CHANNEL)


def _compare(job: Job, result: bytes, *, anew: bool) -> Facts:
    before, after = Session(job.source, anew=anew), Session(result, anew=anew)
    cases = before.feeds(job.cases)
    compared = compare(before.predict(cases), after.predict(cases))
    if not np.isfinite(compared["max_error"]):
        raise JobError(f"{job.source.name}: the result gives values that are not finite")
    return compared


def _left_float(model: tflite_file.Model, asked: Collection[str]) -> list[Mapping[str, str]]:
    """The operations that still compute in float."""
    known = tflite_quantise.quantisable()
    return [
        {"node": name, "op": op, "why": _why(op, name, asked, known)}
        for op, name in tflite_file.float_ops(model)
    ]


def _left_weights(model: tflite_file.Model, asked: Collection[str]) -> list[Mapping[str, str]]:
    """The operations whose weights are still float32."""
    kept: list[Mapping[str, str]] = []
    for op, graph, operator in tflite_file.operators(model):
        weights = [graph.tensors[index] for index in operator.inputs[1:2] if index >= 0]
        name = tflite_file.text(graph.tensors[operator.outputs[0]].name)
        for tensor in weights if op in _WEIGHTED else ():
            data = model.buffers[tensor.buffer].data
            if data is not None and len(data) and tflite_file.dtype(tensor) == "float32":
                why = "asked for" if name in asked else "ai-edge-quantizer has no rule for it"
                kept.append({"node": name, "op": op, "why": why})
    return kept


def _why(op: str, name: str, asked: Collection[str], known: Collection[str]) -> str:
    if name in asked:
        return "asked for"
    if op in tflite_quantise.LOOPS or "LSTM" in op or "RNN" in op:
        return "ai-edge-quantizer leaves recurrent layers in float: unroll it for int8"
    if op not in known:
        return "ai-edge-quantizer has no int8 rule for it"
    return "it stands between operations that are in float"
