"""ONNX Runtime on one CPU thread, and what to feed it case by case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..difference import Outputs, stack
from ..job import Array, JobError, MisfitError, by_name, read_cases
from .file import first_line


def session(model: Any) -> Any:
    """An inference session on one CPU thread. Raises JobError with the runtime's reason."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    given = str(model) if isinstance(model, Path) else model.SerializeToString()
    try:
        return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    except _refusals() as exc:
        raise JobError(f"ONNX Runtime refuses the model: {first_line(exc)}") from exc


def run(opened: Any, feed: Mapping[str, Array]) -> list[Array]:
    """The outputs for one feed. Raises JobError with the runtime's reason, which names the node."""
    try:
        outputs: list[Array] = opened.run(None, dict(feed))
    except _refusals() as exc:
        raise JobError(f"ONNX Runtime cannot run the model: {first_line(exc)}") from exc
    return outputs


def predict(opened: Any, cases: Sequence[Mapping[str, Array]]) -> Outputs:
    """The outputs of all feeds by name, with a leading case axis."""
    names = [output.name for output in opened.get_outputs()]
    return stack(names, [run(opened, feed) for feed in cases])


def feeds(opened: Any, cases: Path | None) -> list[dict[str, Array]]:
    """What to give a session for each case; random values without a file of cases.

    A case has no batch axis: one of 1 is put before it where the input has one dimension more.
    """
    nodes = opened.get_inputs()
    names = [node.name for node in nodes]
    arrays = by_name(read_cases(cases), names) if cases else _random(nodes)
    found: list[dict[str, Array]] = []
    for node in nodes:
        array = arrays[node.name].astype(DTYPES[node.type], copy=False)
        _check_shape(node, np.array(array[0], ndmin=len(node.shape)).shape)
        found = found or [{} for _ in array]
        for feed, case in zip(found, array, strict=True):
            feed[node.name] = np.array(case, ndmin=len(node.shape))
    return found


def _check_shape(node: Any, shape: tuple[int, ...]) -> None:
    pairs = zip(node.shape, shape, strict=False)  # an open size is a name, or None
    if len(node.shape) != len(shape) or any(
        isinstance(size, int) and size > 0 and size != given for size, given in pairs
    ):
        raise MisfitError(
            f"input '{node.name}' is {node.shape}, and a case {list(shape)}: mend shape or layout "
            "in the contract"
        )


DTYPES: dict[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(double)": np.dtype(np.float64),
    "tensor(int64)": np.dtype(np.int64),
    "tensor(int32)": np.dtype(np.int32),
    "tensor(int8)": np.dtype(np.int8),
    "tensor(uint8)": np.dtype(np.uint8),
    "tensor(bool)": np.dtype(np.bool_),
}


def _random(nodes: Sequence[Any], count: int = 4) -> dict[str, Array]:
    random = np.random.default_rng(0)
    arrays = {}
    for node in nodes:
        shape = [size if isinstance(size, int) and size > 0 else 1 for size in node.shape]
        values = random.standard_normal((count, *shape))
        arrays[node.name] = np.abs(values * 64) if "int" in node.type else values
    return arrays


def _refusals() -> tuple[type[Exception], ...]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return tuple(
        getattr(state, name)
        for name in dir(state)
        if isinstance(getattr(state, name), type) and issubclass(getattr(state, name), Exception)
    )
