"""What the source itself answers: the reference with which every conversion is compared."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np

from ..job import Array, Facts, Job, JobError, MisfitError, by_name, read_cases
from .model import facts, load
from .source import Source

_BATCH = 32


def run(job: Job) -> Facts:
    """Run the cases, and write the outputs by name with a leading case axis."""
    source = load(job)
    if job.cases is None:
        raise JobError("there are no cases to predict")
    answers = predict(source, cases_of(source, read_cases(job.cases)), job.progress)
    names = [tensor.name for tensor in source.outputs]
    beside = job.out.with_name(f".{job.out.name}.part")
    try:
        with beside.open("wb") as file:
            np.savez(file, **dict(zip(names, answers, strict=True)))  # type: ignore[arg-type]
        os.replace(beside, job.out)  # noqa: PTH105
    finally:
        beside.unlink(missing_ok=True)
    return {**facts(source), "cases": len(answers[0])}


def cases_of(source: Source, arrays: dict[str, Array]) -> list[Array]:
    """The cases in the order and the types of the inputs: (cases, ...) each.

    Raises MisfitError where names or shapes are not the source's, JobError where a value is no
    number.
    """
    arrays = by_name(arrays, [tensor.name for tensor in source.inputs])
    found = []
    for tensor in source.inputs:
        array, shape = arrays[tensor.name], tensor.shape[1:]
        fits = len(shape) == array.ndim - 1 and all(
            size in (None, given) for size, given in zip(shape, array.shape[1:], strict=True)
        )
        if not fits:
            raise MisfitError(
                f"input '{tensor.name}': a case is {array.shape[1:]}, the model wants {shape}"
            )
        if not np.all(np.isfinite(array)):
            raise JobError(f"input '{tensor.name}': a case holds NaN or infinity")
        found.append(array.astype(tensor.dtype))
    return found


def predict(
    source: Source, cases: Sequence[Array], progress: Callable[[int, int, str], None]
) -> list[Array]:
    """The outputs for all cases, (cases, ...) each. Raises JobError when one is no number."""
    import tensorflow as tf

    first = source.inputs[0].shape[0]
    if any(tensor.shape[0] != first for tensor in source.inputs) or first not in (None, 1):
        raise JobError(f"{source.path}: wants batches of {first}; export with an open batch axis")
    size, total = first or _BATCH, len(cases[0])
    function = tf.function(lambda *tensors: source.call(tensors))
    parts = []
    for start in range(0, total, size):
        part = [tf.constant(array[start : start + size]) for array in cases]
        parts.append([tensor.numpy() for tensor in function(*part)])
        _check(source, parts[-1], start, len(part[0]))
        progress(min(start + size, total), total, "predict")
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


def _check(source: Source, answers: Sequence[Array], start: int, count: int) -> None:
    for tensor, answer in zip(source.outputs, answers, strict=True):
        if answer.shape[:1] != (count,):
            raise JobError(f"output '{tensor.name}' has no batch axis: it is {answer.shape}")
        rows = ~np.isfinite(answer.reshape(count, -1)).all(axis=1)
        if rows.any():
            case = start + int(np.argmax(rows))
            raise JobError(
                f"{source.path}: output '{tensor.name}' of the source itself is NaN or infinite"
                f" for case {case}"
            )
