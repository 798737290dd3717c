"""What is in a .tflite file, and its inputs and outputs put in order under their own names.

The file is read into the objects of TFLite's schema (`ModelT` of
`ai_edge_litert.schema_py_generated`), changed there, and written as a whole.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..job import Array, JobError

Model = Any  # ModelT
Spec = dict[str, Any]  # name, shape (-1 = open), dtype; scale and zero_point where it is quantised

_IDENTIFIER = b"TFL3"
_ALIGNMENT = 16  # force_align of Buffer.data in the schema; the Python writer does not know it
_BYTES_MAX = 2**31 - 1  # of a flatbuffer
_FLOATS = frozenset({"float16", "float32", "float64", "bfloat16"})


def read(path: Path) -> Model:
    """The model of a file. Raises JobError when it is none, or one of over 2 GB."""
    return parse(path.read_bytes(), str(path))


def parse(data: bytes, path: str = "the result") -> Model:
    """The model of a file's bytes; see `read`."""
    from ai_edge_litert import schema_py_generated as schema

    if data[4:8] != _IDENTIFIER:
        raise JobError(f"{path}: not a TensorFlow Lite file: it begins with {data[:8]!r}")
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    except (struct.error, IndexError, TypeError, ValueError) as exc:
        raise JobError(f"{path}: cut short or damaged: {exc}") from exc
    if len(data) > _BYTES_MAX:
        raise JobError(f"{path}: {len(data) / 2**30:.1f} GB; 2 GB is the limit")
    for buffer in model.buffers:
        if buffer.offset > 1:  # weights behind the graph, as some tools write them
            buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return model


def write(model: Model, path: Path) -> None:
    """Write a file whole: beside its place first, then into it."""
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_bytes(pack(model))
        os.replace(beside, path)  # noqa: PTH105
    finally:
        beside.unlink(missing_ok=True)


def pack(model: Model) -> bytes:
    """A model as the bytes of a file."""
    import flatbuffers

    class Aligned(flatbuffers.Builder):  # type: ignore[misc]
        head: int

        def CreateNumpyVector(self, x: Array) -> int:  # noqa: N802
            if x.dtype != np.uint8:
                return int(super().CreateNumpyVector(x))
            self.StartVector(1, x.size, _ALIGNMENT)
            self.head = int(self.head - x.size)
            self.Bytes[self.head : self.head + x.size] = x.tobytes()
            self.vectorNumElems = x.size
            return int(self.EndVector())

    builder = Aligned(2**20)
    builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def inputs(model: Model) -> list[Spec]:
    """The inputs of the main graph, in the order in which an interpreter gives them."""
    main = model.subgraphs[0]
    return [_spec(main.tensors[index]) for index in main.inputs]


def outputs(model: Model) -> list[Spec]:
    """The outputs of the main graph, in the order in which an interpreter gives them."""
    main = model.subgraphs[0]
    return [_spec(main.tensors[index]) for index in main.outputs]


def ops(model: Model) -> dict[str, int]:
    """How many operations of each name there are, in all graphs; the most frequent first."""
    return dict(Counter(name for name, _, _ in operators(model)).most_common())


def custom_ops(model: Model) -> list[tuple[str, str]]:
    """Operations that are not TFLite's own ("Flex..." are TensorFlow's), each with its layer."""
    builtin = set(_builtin_names().values())
    return [
        (name, text(graph.tensors[operator.outputs[0]].name))
        for name, graph, operator in operators(model)
        if name not in builtin
    ]


def float_tensors(model: Model) -> int:
    """How many float tensors operations compute with, weights included."""
    return len(
        {
            (id(graph), index)
            for _, graph, operator in operators(model)
            for index in (*operator.inputs, *operator.outputs)
            if index >= 0 and dtype(graph.tensors[index]) in _FLOATS
        }
    )


def float_ops(model: Model) -> list[tuple[str, str]]:
    """Operations that compute in float, each with the tensor that it gives.

    What only changes the type (QUANTIZE, DEQUANTIZE) is not among them.
    """
    return [
        (name, text(graph.tensors[operator.outputs[0]].name))
        for name, graph, operator in operators(model)
        if name not in ("QUANTIZE", "DEQUANTIZE")
        and any(dtype(graph.tensors[index]) in _FLOATS for index in operator.outputs)
    ]


def constant_bytes(model: Model) -> int:
    """The size of all weights and other constants."""
    return sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)


def arrange(model: Model, input_names: Mapping[str, str], output_names: Mapping[str, str]) -> None:
    """Order the inputs and outputs as the mappings are, and name them.

    Each mapping goes from the present name (of the signature where there is one, else of the
    tensor) to the wanted one. Tensors and signature get the new names. Raises JobError when the
    file has others, or one tensor would need two names.
    """
    main = model.subgraphs[0]
    signature = next((s for s in model.signatureDefs or [] if s.subgraphIndex == 0), None)
    main.inputs = _arrange(main, main.inputs, signature and signature.inputs, input_names)
    main.outputs = _arrange(main, main.outputs, signature and signature.outputs, output_names)
    indices = [*main.inputs, *main.outputs]
    for name, index in zip(output_names.values(), main.outputs, strict=True):
        if indices.count(index) > 1:
            raise JobError(f"output '{name}' is an input or another output too; leave it out")


def _arrange(
    graph: Any, indices: Sequence[int], entries: list[Any] | None, names: Mapping[str, str]
) -> list[int]:
    if entries:
        found = {text(entry.name): int(entry.tensorIndex) for entry in entries}
    else:
        found = {text(graph.tensors[index].name): int(index) for index in indices}
    if set(found) != set(names):
        raise JobError(f"the file has {', '.join(found)}, not {', '.join(names)}")
    ordered = [found[name] for name in names]
    for index, name in zip(ordered, names.values(), strict=True):
        graph.tensors[index].name = name.encode()
    if entries:
        entries.sort(key=lambda entry: list(names).index(text(entry.name)))
        for entry, name in zip(entries, names.values(), strict=True):
            entry.name = name.encode()
    return ordered


def dtype(tensor: Any) -> str:
    """The element type of a tensor, by numpy's name for it."""
    from ai_edge_litert import schema_py_generated as schema

    for name, code in vars(schema.TensorType).items():
        if code == tensor.type:
            return str(name).lower()
    return f"type {tensor.type}"


def _spec(tensor: Any) -> Spec:
    declared = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
    shape = [int(size) for size in (() if declared is None else declared)]
    spec: Spec = {"name": text(tensor.name), "shape": shape, "dtype": dtype(tensor)}
    stored = tensor.quantization
    if stored is not None and stored.scale is not None and len(stored.scale) == 1:
        spec["scale"] = float(stored.scale[0])
        spec["zero_point"] = int(stored.zeroPoint[0])
    return spec


def operators(model: Model) -> Iterator[tuple[str, Any, Any]]:
    """Each operation of each graph: its name, its graph, itself."""
    builtin = _builtin_names()
    names = []
    for entry in model.operatorCodes:
        code = max(entry.builtinCode, entry.deprecatedBuiltinCode)
        custom = text(entry.customCode) if entry.customCode else ""
        names.append(custom or builtin.get(code, f"operation {code}"))
    for graph in model.subgraphs:
        for operator in graph.operators or []:
            yield names[operator.opcodeIndex], graph, operator


def _builtin_names() -> dict[int, str]:
    from ai_edge_litert import schema_py_generated as schema

    named = vars(schema.BuiltinOperator).items()
    return {code: name for name, code in named if isinstance(code, int)}


def text(name: bytes | str | None) -> str:
    """A name as text."""
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name or "")
