"""Runs a PyTorch network: the reference for what is made from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import starmap
from typing import Any

import numpy as np

from ..difference import Outputs
from ..job import Array, Job, JobError, by_name, read_cases
from .model import Network
from .weights import RAISED, first_line

_BATCH = 32
_SAMPLES = 4


def samples(network: Network, job: Job) -> list[Array]:
    """The cases of a job for each input, (cases, ...); without any, a few random ones.

    Raises JobError for a case that is no number.
    """
    if not job.cases:
        random = np.random.default_rng(0)
        return [
            (
                random.standard_normal((_SAMPLES, *each.shape))
                if np.dtype(each.dtype).kind == "f"
                else np.zeros((_SAMPLES, *each.shape))  # an index that every table has
            ).astype(each.dtype)
            for each in network.inputs
        ]
    names = [each.name for each in network.inputs]
    cases = by_name(read_cases(job.cases), names)
    for name, array in cases.items():
        if not np.all(np.isfinite(array)):
            raise JobError(f"input {name}: a case holds NaN or infinity")
    return [cases[each.name].astype(each.dtype) for each in network.inputs]


def tensors(arrays: Sequence[Array], count: int) -> tuple[Any, ...]:
    """The first `count` cases as arguments, repeated where there are fewer."""
    import torch

    return tuple(
        torch.from_numpy(np.ascontiguousarray(array[np.arange(count) % len(array)]))
        for array in arrays
    )


def predict(network: Network, arrays: Sequence[Array], job: Job) -> Outputs:
    """The outputs for all cases by name, (cases, ...) each.

    Raises JobError when an output has no batch axis first, is not finite, or is another when the
    same is asked again.
    """
    if network.batch > 1:
        raise JobError(
            f"{network.path}: takes {network.batch} cases at once; export it with a batch of 1, or "
            "an open one"
        )
    size, total = network.batch or _BATCH, len(arrays[0])
    parts: list[list[Array]] = []
    named: list[tuple[str, Array]] = []
    for start in range(0, total, size):
        part = [array[start : start + size] for array in arrays]
        named = call(network, part)
        parts.append([array for _, array in named])
        _check(network, named, start, len(part[0]))
        job.progress(min(start + size, total), total, "predict")
    _check_same(network, parts[-1], [array for _, array in call(network, part)])
    joined = [np.concatenate(each) for each in zip(*parts, strict=True)]
    return dict(zip(output_names(job, [name for name, _ in named]), joined, strict=True))


def call(network: Network, arrays: Sequence[Array]) -> list[tuple[str, Array]]:
    """The outputs of one call, each with its name where forward gives names, else ""."""
    import torch

    arguments = tensors(arrays, len(arrays[0]))
    with torch.no_grad(), named_failures(network):
        outputs = network.module(*arguments)
    return [(name, _array(tensor)) for name, tensor in flatten(outputs)]


def replay(
    run: Callable[[list[Array]], list[Array]], arrays: Sequence[Array], batch: int
) -> list[Array]:
    """The outputs of a result for all cases, `batch` of them at a time.

    An open batch (0) is proved by runs of two sizes: all cases but the last, and the last alone.
    """
    total, start, parts = len(arrays[0]), 0, []
    for count in [batch] * -(-total // batch) if batch else [max(total - 1, 2), 1]:
        places = (start + np.arange(count)) % total
        outputs = run([np.ascontiguousarray(array[places]) for array in arrays])
        kept = min(count, total - start)
        parts.append([array[:kept] for array in outputs])
        start += kept
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


def flatten(outputs: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Tensors in the order in which a network gives them, with the keys that it gives them."""
    import torch

    if isinstance(outputs, torch.Tensor):
        yield name, outputs
    elif isinstance(outputs, Mapping):
        for key, value in outputs.items():
            yield from flatten(value, f"{name}.{key}" if name else str(key))
    elif isinstance(outputs, (tuple, list)):
        keys = getattr(outputs, "_fields", [name] * len(outputs))
        for inner in starmap(flatten, zip(outputs, keys, strict=True)):
            yield from inner
    elif outputs is not None:
        raise JobError(
            f"output {name or 'of the network'} is a {type(outputs).__name__}, not a tensor"
        )


def output_names(job: Job, found: Sequence[str]) -> list[str]:
    """The names of the outputs: the job's, else the network's own, else their places "0", "1"."""
    given = [str(name) for name in job.options.get("outputs") or ()]
    if given and len(given) != len(found):
        raise JobError(
            f"the network has {len(found)} outputs; {len(given)} are named: {', '.join(given)}"
        )
    if given:
        return given
    named = all(found) and len(set(found)) == len(found)
    return list(found) if named else [str(place) for place in range(len(found))]


def file_names(names: Sequence[str]) -> list[str]:
    """Names for a file, where a bare number would be no name."""
    if len(names) == 1 and names[0] == "0":
        return ["output"]
    return [f"output_{name}" if name.isdigit() else name for name in names]


@contextmanager
def named_failures(network: Network) -> Iterator[None]:
    """Turns what a network raises into a JobError with the path of the module that did it."""
    entered: list[tuple[str, str]] = []
    hooks = []

    def leave(*_: Any) -> None:
        entered.pop()

    for name, module in network.module.named_modules() if network.kind == "module" else ():

        def enter(module: Any, _: Any, name: str = name) -> None:
            entered.append((name, type(module).__name__))

        hooks += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    try:
        yield
    except RAISED as exc:
        name, kind = entered[-1] if entered else ("", type(network.module).__name__)
        where = f"`{name}` ({kind})" if name else f"the network ({kind})"
        given = ", ".join(f"{each.name} {each.shape}" for each in network.inputs)
        raise JobError(
            f"{network.path}: {where} fails: {_reason(exc)}; the inputs are {given}"
        ) from exc
    finally:
        for hook in hooks:
            hook.remove()


def _reason(exc: Exception) -> str:
    """The line that tells: TorchScript puts it last, torch.export and Python first."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(("RuntimeError:", "IndexError:"))]
    return told[-1] if told else first_line(exc)


def _array(tensor: Any) -> Array:
    tensor = tensor.detach()
    array: Array = (tensor.float() if tensor.dtype.is_floating_point else tensor).numpy()
    return array


def _check(network: Network, named: Sequence[tuple[str, Array]], start: int, count: int) -> None:
    for place, (name, array) in enumerate(named):
        title = f"output {name or place}"
        if array.shape[:1] != (count,):
            raise JobError(
                f"{network.path}: {title} is {array.shape} for {count} cases: the first axis of "
                "every output must be the batch; give it so, or leave it out"
            )
        rows = np.isfinite(array.reshape(count, -1)).all(axis=1)
        if not rows.all():
            raise JobError(
                f"{network.path}: {title} of the network itself is NaN or infinite for case "
                f"{start + int(rows.argmin())}"
            )


def _check_same(network: Network, first: Sequence[Array], second: Sequence[Array]) -> None:
    for one, other in zip(first, second, strict=True):
        if not np.allclose(one, other, 1e-3, 1e-5):
            raise JobError(
                f"{network.path}: gives something else when the same is asked again: it was "
                "exported in training mode (dropout), or draws random numbers"
            )
