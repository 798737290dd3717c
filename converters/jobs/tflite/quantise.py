"""A .tflite file quantised by ai-edge-quantizer, in steps that its sensitivity needs one by one."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import ranges
from ..job import Array, Job, JobError
from . import file as tflite_file
from . import float16 as tflite_float16
from .facts import has_variables
from .session import Session

LOOPS = frozenset({"WHILE", "IF", "CALL_ONCE"})
_INTEGERS = frozenset({"int8", "uint8", "int16", "int4"})
_ANY = ".*"


@dataclass(frozen=True, slots=True)
class Part:
    """An operation: its name is that of the tensor that it gives first."""

    name: str
    op: str
    scope: str  # what ai-edge-quantizer matches its patterns with


@dataclass(frozen=True, slots=True)
class Prepared:
    """A float model whose tensors have names of their own, as bytes; its ranges and operations."""

    content: bytes
    ranges: ranges.Ranges
    parts: tuple[Part, ...]


def prepare(job: Job, *, calibrate: bool) -> Prepared:
    """Read a float model, and calibrate on the cases.

    Options: `calibration` (minmax, percentile, entropy), `percentile`. Raises JobError for a
    model that is quantised already, and naming a loop, which has no static quantisation.
    """
    model = tflite_file.read(job.source)
    _require_float(model, job.source)
    tflite_float16.widen(model)
    _modernise(model)
    content = tflite_file.pack(model)
    found: ranges.Ranges = {}
    if calibrate:
        loops = LOOPS & set(tflite_file.ops(model))
        if loops:
            raise JobError(
                f"{job.source.name}: has {', '.join(sorted(loops))} (a recurrent layer?), which "
                "static quantisation does not enter: unroll it, or use dynamic or float16"
            )
        found = ranges.once(job, lambda: _calibrate(content, model, job))
    return Prepared(content, found, tuple(_parts(model)))


def quantise(prepared: Prepared, fill: Callable[[Any], None]) -> bytes:
    """The model after the recipe that `fill(quantizer)` writes. Raises JobError."""
    import numpy as np
    from ai_edge_quantizer import quantizer

    worker = quantizer.Quantizer(prepared.content)
    fill(worker)
    values = {
        name: {"min": np.array([low], np.float32), "max": np.array([high], np.float32)}
        for name, (low, high) in prepared.ranges.items()
    }
    try:
        done = worker.quantize(
            values or None, enable_progress_bar=False, enable_progress_report=False
        )
    except (ValueError, RuntimeError, KeyError, TypeError, AttributeError, IndexError) as exc:
        reason = " ".join(str(exc).split()) or type(exc).__name__
        raise JobError(f"ai-edge-quantizer cannot quantise the model: {reason}") from exc
    return bytes(done.quantized_model)


def static(worker: Any, *, bits: int, scope: str = _ANY, per_channel_dense: bool = True) -> None:
    """Weights in int8 and activations in `bits` where `scope` matches; no inputs or outputs."""
    from ai_edge_quantizer import qtyping

    names = qtyping.TFLOperationName
    worker.add_static_config(scope, names.ALL_SUPPORTED, bits, 8)
    if not per_channel_dense:
        tensor = qtyping.QuantGranularity.TENSORWISE
        worker.add_static_config(scope, names.FULLY_CONNECTED, bits, 8, tensor)
    for rim in (names.INPUT, names.OUTPUT):
        keep(worker, scope, rim)


def rim(worker: Any, kind: str) -> None:
    """Inputs and outputs in int8, uint8 or int16; without it they are float32."""
    from ai_edge_quantizer import qtyping

    names = qtyping.TFLOperationName
    bits = 16 if kind == "int16" else 8
    activation = qtyping.TensorQuantizationConfig(
        num_bits=bits,
        symmetric=kind == "int16",
        dtype=qtyping.TensorDataType.UINT if kind == "uint8" else qtyping.TensorDataType.INT,
    )
    weight = qtyping.TensorQuantizationConfig(
        num_bits=8, symmetric=True, granularity=qtyping.QuantGranularity.CHANNELWISE
    )
    config = qtyping.OpQuantizationConfig(
        activation_tensor_config=activation,
        weight_tensor_config=weight,
        compute_precision=qtyping.ComputePrecision.INTEGER,
    )
    for side in (names.INPUT, names.OUTPUT):
        worker.update_quantization_recipe(_ANY, side, config)


def keep(worker: Any, scope: str, operation: Any) -> None:
    """Leave what matches in float."""
    from ai_edge_quantizer import quantizer

    worker.update_quantization_recipe(
        scope, operation, algorithm_key=quantizer.AlgorithmName.NO_QUANTIZE
    )


def exactly(scope: str) -> str:
    """The pattern that matches one scope."""
    return f"^{re.escape(scope)}$"


def chosen(parts: Collection[Part], asked: Collection[str], source: Path) -> list[Part]:
    """The parts that a list names: by name, by operation ("SOFTMAX"), or as "re:PATTERN"."""
    found: list[Part] = []
    for entry in asked:
        pattern = entry.removeprefix("re:") if entry.startswith("re:") else None
        new = [
            part
            for part in parts
            if (re.search(pattern, part.scope) if pattern else entry in (part.name, part.op))
        ]
        if not new:
            raise JobError(f"keep_float: {source.name} has no operation {entry}")
        found += [part for part in new if part not in found]
    return found


def quantisable() -> frozenset[str]:
    """The operations for which ai-edge-quantizer has a static int8 rule."""
    from ai_edge_quantizer import algorithm_manager, qtyping, recipe_manager

    manager = recipe_manager.RecipeManager()
    manager.add_static_config(_ANY, "*", 8, 8)
    left = algorithm_manager.AlgorithmName.NO_QUANTIZE
    return frozenset(
        str(name.value)
        for name in qtyping.TFLOperationName
        if manager.get_quantization_configs(name, "x;")[0] != left
    )


def _calibrate(content: bytes, model: Any, job: Job) -> ranges.Ranges:
    if job.cases is None:
        raise JobError("int8 needs cases to calibrate with")
    session = Session(content, keep=True, anew=has_variables(model))
    feeds = session.feeds(job.cases)
    method = str(job.options.get("calibration", "minmax"))
    indices = _watched(model)
    names = [tflite_file.text(model.subgraphs[0].tensors[index].name) for index in indices]
    total = len(feeds) * (1 if method == "minmax" else 2)
    done = 0

    def runs() -> Iterator[Mapping[str, Array]]:
        nonlocal done
        for feed in feeds:
            session.run(feed)
            yield dict(zip(names, session.tensors(indices), strict=True))
            done += 1
            job.progress(done, total, "calibration")

    return ranges.measure(runs, method, float(job.options.get("percentile", 99.99)))


def _watched(model: Any) -> list[int]:
    """The float tensors of the main graph that are not constants."""
    graph = model.subgraphs[0]
    made = {*graph.inputs, *(index for op in graph.operators for index in op.outputs)}
    return [int(i) for i in sorted(made) if tflite_file.dtype(graph.tensors[i]) == "float32"]


def _parts(model: Any) -> Iterator[Part]:
    for op, graph, operator in tflite_file.operators(model):
        names = [tflite_file.text(graph.tensors[index].name) for index in operator.outputs]
        if graph is model.subgraphs[0] and names:
            yield Part(names[0], op, ";".join(names) + ";")


def _require_float(model: Any, source: Path) -> None:
    for op, graph, operator in tflite_file.operators(model):
        for index in (*operator.inputs, *operator.outputs):
            tensor = graph.tensors[index]
            stored = tensor.quantization
            scaled = stored is not None and stored.scale is not None and len(stored.scale)
            if index >= 0 and scaled and tflite_file.dtype(tensor) in _INTEGERS:
                raise JobError(
                    f"{source.name}: is quantised already ({op} {tflite_file.text(tensor.name)}"
                    f" is {tflite_file.dtype(tensor)}); start from its float32 model"
                )


def _modernise(model: Any) -> None:
    """What ai-edge-quantizer takes for granted: every tensor has a name of its own, a list of
    signatures is there, and operations are in the field of today, not in that of before 2020.
    """
    model.signatureDefs = model.signatureDefs or []
    for code in model.operatorCodes:
        code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode)
    for place, graph in enumerate(model.subgraphs):
        taken: set[str] = set()
        for index, tensor in enumerate(graph.tensors):
            name = tflite_file.text(tensor.name) or f"tensor_{place}_{index}"
            if name in taken:
                name = f"{name}_{place}_{index}"
            taken.add(name)
            tensor.name = name.encode()
