"""What was converted, against the source it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..job import Array, Facts, JobError
from ..tflite import file as tflite_file
from .predict import predict
from .source import Source

_CASES = 8
_OPEN = 64  # the size that noise has along an open dimension
_TOLERANCE = 0.01  # of the largest value of an output; float16 weights have 11 bits


def check(source: Source, path: Path, cases: Sequence[Array] | None, *, exact: bool) -> Facts:
    """Compare the first cases, or noise where there are none.

    As `compare`. Raises JobError too when operations are not TFLite's own, or the weights are
    not in the file.
    """
    model = tflite_file.read(path)
    foreign = tflite_file.custom_ops(model)
    if foreign:
        name, tensor = foreign[0]
        raise JobError(
            f"'{tensor}': {name} is not an operation of TFLite; no device runtime carries it"
        )
    _check_weights(source, model)
    inputs = first_cases(source, cases)
    return compare(source, inputs, run(path, inputs), exact=exact)


def first_cases(source: Source, cases: Sequence[Array] | None) -> list[Array]:
    """A few of the cases, or noise where there are none: (cases, ...) for each input."""
    if cases is not None:
        return [array[:_CASES] for array in cases]
    generator = np.random.default_rng(0)
    return [
        generator.random([_CASES, *(size or _OPEN for size in tensor.shape[1:])]).astype(
            tensor.dtype
        )
        for tensor in source.inputs
    ]


def compare(
    source: Source, inputs: Sequence[Array], given: Sequence[Array], *, exact: bool
) -> Facts:
    """The largest error by output name, for what a conversion has given for these inputs.

    Raises JobError when a shape is another or a value is no number, and (`exact`) when an error
    is more than can come from rounding.
    """
    wanted = predict(source, inputs, lambda done, total, what: None)  # noqa: ARG005
    errors = {}
    for tensor, one, other in zip(source.outputs, wanted, given, strict=True):
        if one.shape != other.shape:
            raise JobError(f"output '{tensor.name}' became {other.shape}, was {one.shape}")
        error = float(np.max(np.abs(one.astype(np.float64) - other), initial=0.0))
        errors[tensor.name] = error
        if not np.isfinite(error):
            raise JobError(f"output '{tensor.name}' of the converted file is NaN or infinite")
        if exact and error > _TOLERANCE * max(1e-3, float(np.max(np.abs(one), initial=0.0))):
            raise JobError(
                f"output '{tensor.name}' of the converted file is off by {error:.3g}: the"
                " converter has changed the model; try the other batch, --unroll or format"
            )
    return {"max_error": errors, "compared": len(inputs[0])}


def run(path: Path, inputs: Sequence[Array]) -> list[Array]:
    """The outputs for cases (real values in and out), one case at a time: (cases, ...) each."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
        answers = []
        for case in zip(*inputs, strict=True):
            for detail, value in zip(interpreter.get_input_details(), case, strict=True):
                interpreter.set_tensor(detail["index"], _stored(value[None], detail))
            interpreter.invoke()
            answers.append([_real(interpreter, each) for each in interpreter.get_output_details()])
    except (RuntimeError, ValueError) as exc:
        raise JobError(f"the converted file does not run: {exc}") from exc
    return [np.concatenate(each) for each in zip(*answers, strict=True)]


def _check_weights(source: Source, model: Any) -> None:
    """A file without the weights' bytes is the empty-variables trap. Four bits are the least."""
    matrices = [weight for weight in source.weights.values() if len(weight.shape) > 1]
    count = sum(int(np.prod(weight.shape)) for weight in matrices)
    found = tflite_file.constant_bytes(model)
    if found < count // 2:
        raise JobError(
            f"the file holds {found} bytes of constants for {count} weights: they were lost"
        )


def _stored(value: Array, detail: dict[str, Any]) -> Array:
    scale, zero_point = detail["quantization"]
    kind = np.dtype(detail["dtype"])
    if scale and kind.kind in "iu":
        limits = np.iinfo(kind)
        value = np.clip(np.round(value / scale) + zero_point, limits.min, limits.max)
    return value.astype(kind)


def _real(interpreter: Any, detail: dict[str, Any]) -> Array:
    value = interpreter.get_tensor(detail["index"])
    scale, zero_point = detail["quantization"]
    if scale and value.dtype.kind in "iu":
        return np.asarray((value.astype(np.float32) - zero_point) * scale)
    return np.asarray(value)
