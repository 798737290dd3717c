"""A network captured as a graph (torch.export), and where in it an operation comes from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..job import Array, JobError
from .model import Network
from .run import named_failures, tensors
from .weights import first_line

_OPEN_SAMPLE = 2  # the capture takes an axis of 1 for fixed


def capture(network: Network, arrays: Sequence[Array], batch: int) -> Any:
    """The network as an ExportedProgram that takes `batch` cases, any number for 0.

    Raises JobError naming the module that cannot be captured, or what holds the batch fixed.
    """
    import torch

    if network.kind == "script":
        raise JobError(
            f"{network.path}: TorchScript cannot be captured by torch.export: save the module that "
            "it was made from with torch.export.save (.pt2), or name it as module:callable"
        )
    if network.program is not None and network.batch == batch:
        return network.program
    if network.program is not None and network.batch:
        wanted = f"a batch of {batch}" if batch else "an open batch"
        raise JobError(
            f"{network.path}: was exported with a batch of {network.batch}: for {wanted} export it "
            "with dynamic_shapes={input: {0: Dim('batch')}}"
        )
    example = tensors(arrays, batch or _OPEN_SAMPLE)
    axes = None if batch else ({0: torch.export.Dim("batch")},) * len(example)  # one for all
    try:
        with named_failures(network):
            program = torch.export.export(
                network.module, example, dynamic_shapes=axes, strict=False
            )
    except torch._dynamo.exc.UserError as exc:  # noqa: SLF001 - torch.export raises it
        raise JobError(_user_error(network, exc)) from exc
    return program


def place_of(program: Any, operator: str) -> str:
    """The module that calls an operator ("aten._linalg_svd"), by path and type; "" if unknown."""
    for graph in (program, program.run_decompositions()):
        for node in graph.graph.nodes:
            if node.op == "call_function" and str(node.target).startswith(operator):
                stack = list(node.meta.get("nn_module_stack", {}).values())
                path, kind = stack[-1] if stack else ("", "")
                return f"`{path}` ({_type_name(kind)})" if path else ""
    return ""


def recurrent_modules(program: Any) -> list[tuple[str, int]]:
    """GRU, LSTM and RNN layers, each with the number of steps that it runs."""
    found = []
    for node in program.graph.nodes:
        if re.match(r"aten\.(gru|lstm|rnn_tanh|rnn_relu)\.", str(node.target)):
            stack = list(node.meta.get("nn_module_stack", {}).values())
            batch_first = node.args[-1] is True
            steps = node.args[0].meta["val"].shape[1 if batch_first else 0]
            found.append((stack[-1][0] if stack else node.name, int(steps)))
    return found


def _user_error(network: Network, exc: Exception) -> str:
    text = str(exc)
    held = re.search(r"specialized|Constraints violated", text)
    if held:
        return (
            f"{network.path}: the network itself holds the batch fixed: {first_line(exc)}; write "
            "x.shape[0] for the batch in forward, or convert with a fixed batch"
        )
    return f"{network.path}: cannot be captured: {first_line(exc)}"


def _type_name(kind: Any) -> str:
    return str(kind if isinstance(kind, str) else kind.__name__).rpartition(".")[2]


def ranks_of_convolutions(program: Any) -> set[int]:
    """How many axes the inputs of convolutions have, batch and channels included."""
    return {
        len(node.args[0].meta["val"].shape)
        for node in program.graph.nodes
        if re.match(r"aten\.conv", str(node.target))
    }
