"""The recipe of the two models that `edge-run doctor` runs: `python -m tests.unit.probe_models`.

Both compute output[i] = input[i - 1] + 1 over 8 float32 values, as one matrix product: the
operation whose kernels are written for one instruction set each.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

SIZE = 8
WEIGHTS = np.roll(np.eye(SIZE, dtype=np.float32), 1, axis=0)  # (output, input)
BIAS = np.ones(SIZE, np.float32)


def tflite_model() -> bytes:
    """FULLY_CONNECTED, by LiteRT's own schema."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.FULLY_CONNECTED
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = [0, 1, 2], [3]
    operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    operator.builtinOptions = schema.FullyConnectedOptionsT()
    graph = schema.SubGraphT()
    graph.inputs, graph.outputs, graph.operators = [0], [3], [operator]
    graph.tensors = [
        _tensor(schema, "input", (1, SIZE), 0),
        _tensor(schema, "weights", (SIZE, SIZE), 1),
        _tensor(schema, "bias", (SIZE,), 2),
        _tensor(schema, "output", (1, SIZE), 0),
    ]
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [schema.BufferT() for _ in range(3)]
    model.buffers[1].data = np.frombuffer(WEIGHTS.tobytes(), np.uint8)
    model.buffers[2].data = np.frombuffer(BIAS.tobytes(), np.uint8)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _tensor(schema, name: str, shape: tuple[int, ...], buffer: int):
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.buffer = name, list(shape), buffer
    tensor.type = schema.TensorType.FLOAT32
    return tensor


def onnx_model() -> bytes:
    """Gemm, opset 13, IR 7: any onnxruntime of the last five years takes it."""
    weights = _initializer("weights", np.ascontiguousarray(WEIGHTS.T))
    bias = _initializer("bias", BIAS)
    node = b"".join(_field(1, name) for name in (b"input", b"weights", b"bias"))
    node += _field(2, b"output") + _field(4, b"Gemm")
    graph = _field(1, node) + _field(2, b"probe") + _field(5, weights) + _field(5, bias)
    graph += _field(11, _value("input")) + _field(12, _value("output"))
    return _number(1, 7) + _field(7, graph) + _field(8, _field(1, b"") + _number(2, 13))


def _value(name: str) -> bytes:
    shape = b"".join(_field(1, _number(1, size)) for size in (1, SIZE))
    return _field(1, name.encode()) + _field(2, _field(1, _number(1, 1) + _field(2, shape)))


def _initializer(name: str, array: np.ndarray) -> bytes:
    sizes = b"".join(_number(1, size) for size in array.shape)
    return sizes + _number(2, 1) + _field(8, name.encode()) + _field(9, array.tobytes())


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return bytes([number << 3]) + _varint(value)


def _varint(value: int) -> bytes:
    low = bytes([value & 0x7F | (0x80 if value > 0x7F else 0)])
    return low + (_varint(value >> 7) if value > 0x7F else b"")


if __name__ == "__main__":
    folder = Path(__file__).parents[2] / "edge_runtime/backends"
    (folder / "probe.tflite").write_bytes(tflite_model())
    (folder / "probe.onnx").write_bytes(onnx_model())
