"""A PyTorch network from any of its files: weights with a factory, .pt2, TorchScript.

Options: `factory` ("module:callable"), `path` (the folder that it is imported from, else the
current one), `weights` (a state_dict file; without it the source is one), `inputs` (name, shape
without batch, dtype of each), `outputs` (their names), `trust` (read pickles).
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np

from ..job import Facts, Job, JobError, MisfitError, by_name, read_cases
from .archive import check_program, check_still, kind_of
from .weights import RAISED, build, check_finite, fill, first_line, read

METADATA = "metadata.json"  # in the archives that torch_export writes


@dataclass(frozen=True, slots=True)
class Input:
    """One input; `shape` has no batch axis, `dtype` is numpy's name."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"


@dataclass(frozen=True, slots=True)
class Network:
    """A network to call, in evaluation mode on the CPU.

    `kind` is "module", "program" or "script"; `inputs` stand in the order of its arguments;
    `batch` is how many cases a call takes, 0 for any number.
    """

    path: Path
    kind: str
    module: Any
    inputs: tuple[Input, ...]
    batch: int = 0
    notes: tuple[str, ...] = ()
    program: Any = None


def load(job: Job) -> Network:
    """The network of a job. Raises JobError for what cannot be read, or must not be."""
    import torch

    torch.backends.mha.set_fastpath_enabled(False)  # an operation that no export knows
    trust = bool(job.options.get("trust"))
    import_path(job)
    if job.options.get("factory"):
        return _from_factory(job, trust=trust)
    kind = kind_of(job.source)
    if kind == "program":
        return _from_program(job, trust=trust)
    if kind == "script":
        return _from_script(job)
    return _from_pickle(job, trust=trust)


def import_path(job: Job) -> None:
    """Let the folder of the user's own module be imported from, where it may be."""
    if job.options.get("trust") or job.options.get("factory"):
        sys.path.insert(0, str(Path(job.options.get("path") or ".").resolve()))


def facts(network: Network) -> Facts:
    """What a job tells of its source."""
    import torch

    return {
        "inputs": [
            {"name": each.name, "shape": [network.batch or -1, *each.shape], "dtype": each.dtype}
            for each in network.inputs
        ],
        "versions": {"torch": torch.__version__},
        "notes": list(network.notes),
    }


def _from_factory(job: Job, *, trust: bool) -> Network:
    factory = str(job.options["factory"])
    weights = Path(job.options.get("weights") or job.source)
    if not weights.is_file():
        raise JobError(f"{weights}: there is no such file of weights for {factory}")
    module = build(factory)
    notes = fill(module, weights, trust=trust)
    return _of_module(job, weights, module, notes)


def _from_pickle(job: Job, *, trust: bool) -> Network:
    """A whole module that was pickled, read only with trust."""
    import torch

    value = read(job.source, trust=trust)
    if not isinstance(value, torch.nn.Module):
        raise JobError(
            f"{job.source}: holds weights and not the network; name what builds it as "
            "module:callable, or save the network with torch.export.save (.pt2)"
        )
    note = f"the pickle {job.source.name} was read, since it is trusted"
    return _of_module(job, job.source, value, [note])


def _of_module(job: Job, path: Path, module: Any, notes: Sequence[str]) -> Network:
    module = module.cpu().eval()
    parameters = dict(module.named_parameters())
    check_finite(path, parameters, dict(module.named_buffers()))
    takes = [
        (name, given.default is given.empty)
        for name, given in inspect.signature(module.forward).parameters.items()
        if given.kind in (given.POSITIONAL_ONLY, given.POSITIONAL_OR_KEYWORD)
    ]
    inputs = _ordered(path, _inputs(job), takes)
    return Network(path, "module", module, inputs, notes=tuple(notes))


def _from_script(job: Job) -> Network:
    import torch

    extra = {METADATA: ""}
    try:
        script = torch.jit.load(str(job.source), map_location="cpu", _extra_files=extra).eval()
    except RuntimeError as exc:
        raise JobError(f"{job.source}: damaged TorchScript: {first_line(exc)}") from exc
    check_finite(job.source, dict(script.named_parameters()), dict(script.named_buffers()))
    takes = [
        (argument.name, not argument.has_default_value())
        for argument in script.forward.schema.arguments[1:]
    ]
    inputs = _ordered(job.source, _inputs(job, _told(extra[METADATA])), takes)
    # A trace may hold the batch of its example, so cases are run one by one.
    return Network(job.source, "script", script, inputs, batch=1)


def _from_program(job: Job, *, trust: bool) -> Network:
    import torch

    if not trust:
        check_program(job.source)
    extra = {METADATA: ""}
    try:
        program = torch.export.load(job.source, extra_files=extra)
    except (*RAISED, UnpicklingError) as exc:
        raise JobError(
            f"{job.source}: torch {torch.__version__} cannot read it: {first_line(exc)}; export "
            "it again with this version"
        ) from exc
    check_still(job.source, program)
    check_finite(job.source, dict(program.named_parameters()), _others(program))
    values = {node.name: node.meta["val"] for node in program.graph.nodes if "val" in node.meta}
    own, batch = [], 1
    names = _argument_names(program)
    for name, inside in zip(names, program.graph_signature.user_inputs, strict=True):
        sizes = values[inside].shape
        dtype = str(values[inside].dtype).removeprefix("torch.")
        shape = [size if isinstance(size, int) else -1 for size in sizes]
        own.append(Input(name, tuple(shape[1:]), dtype))
        batch = max(shape[0], 0) if shape else 1
    given = _inputs(job, _told(extra[METADATA]) or own)
    inputs = _ordered(job.source, given, [(name, True) for name in names])
    for given_, owned in zip(inputs, own, strict=True):
        fits = len(given_.shape) == len(owned.shape) and all(
            b in (-1, a) for a, b in zip(given_.shape, owned.shape, strict=True)
        )
        if not fits:
            raise MisfitError(
                f"{job.source}: input {given_.name} is {owned.shape} in the program and "
                f"{given_.shape} in the contract (without batch)"
            )
    return Network(job.source, "program", program.module(), inputs, batch, program=program)


def _argument_names(program: Any) -> list[str]:
    """The names of forward's arguments, or of the graph's where those are nested."""
    inside = list(program.graph_signature.user_inputs)
    signature = program.module_call_graph[0].signature
    names = list((signature and signature.forward_arg_names) or ())
    return names if len(names) == len(inside) else inside


def _others(program: Any) -> dict[str, Any]:
    return {**dict(program.named_buffers()), **program.constants}


def _told(metadata: str | bytes) -> list[Input]:
    """The inputs that torch_export wrote beside a network; none when it was saved otherwise."""
    try:
        return [_input(each) for each in json.loads(metadata)["inputs"]]
    except (ValueError, LookupError, TypeError):
        return []


def _input(given: Facts) -> Input:
    sizes = tuple(int(size or -1) for size in given["shape"])
    return Input(str(given["name"]), sizes, str(given.get("dtype") or "float32"))


def _inputs(job: Job, own: Sequence[Input] = ()) -> list[Input]:
    """What the job says the inputs are, else the file, else the cases; every size known."""
    given = [_input(each) for each in job.options.get("inputs") or ()] or list(own)
    cases = read_cases(job.cases) if job.cases else {}
    if not given and not cases:
        raise JobError(f"{job.source}: does not tell its inputs: give their names and shapes")
    if not given:
        return [Input(name, case.shape[1:], case.dtype.name) for name, case in cases.items()]
    if cases:
        cases = by_name(cases, [each.name for each in given])
    return [_sized(each, cases.get(each.name)) for each in given]


def _sized(given: Input, cases: Any) -> Input:
    """An input with its open sizes taken from the cases. Raises MisfitError where they differ."""
    try:
        np.dtype(given.dtype)
    except TypeError as exc:
        raise MisfitError(f"input {given.name}: there is no type '{given.dtype}'") from exc
    if cases is None:
        if min(given.shape, default=1) < 1:
            raise MisfitError(f"input {given.name}: its shape {given.shape} leaves sizes open")
        return given
    shape = cases.shape[1:]
    fits = len(shape) == len(given.shape) and all(
        want in (-1, size) for want, size in zip(given.shape, shape, strict=True)
    )
    if not fits:
        raise MisfitError(f"input {given.name}: a case is {shape}, the network takes {given.shape}")
    return Input(given.name, shape, given.dtype)


def _ordered(
    path: Path, inputs: Sequence[Input], takes: Sequence[tuple[str, bool]]
) -> tuple[Input, ...]:
    """The inputs in the order of the arguments (name, needed), by name if all are named so.
    Those that go by position, "0", get the names of the arguments.
    """
    names = [name for name, _ in takes]
    if {each.name for each in inputs} == {str(at) for at in range(len(inputs))}:
        placed = sorted(inputs, key=lambda each: int(each.name))
        named = [replace(each, name=name) for each, name in zip(placed, names, strict=False)]
        inputs = [*named, *placed[len(named) :]]
    if {each.name for each in inputs} == set(names):
        return tuple(sorted(inputs, key=lambda each: names.index(each.name)))
    needed = sum(need for _, need in takes)
    if takes and not needed <= len(inputs) <= len(takes):
        raise MisfitError(
            f"{path}: the network takes {', '.join(names)}; the inputs given are "
            f"{', '.join(each.name for each in inputs)}"
        )
    return tuple(inputs)
