"""Fake quantisation of a captured PyTorch graph: INT8 arithmetic as float numbers can show it.

Weights of convolutions and dense layers: 8 bits, symmetric, for each output channel. What they
take, what is added, and what the graph gives: 8 bits for the whole tensor, with the range seen in
training (Jacob et al., arXiv:1712.05877). Gradients pass as if nothing were rounded (the
straight-through estimator, Bengio et al., arXiv:1308.3432), but not beyond the range.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..job import JobError

_WEIGHTED = re.compile(r"aten\.(conv1d|conv2d|linear)\.")
_ADDED = re.compile(r"aten\.(add|cat)\.")
_LEVELS = 127.0
_KEEP = 0.9  # of the range so far, at each step


def insert(graph_module: Any) -> list[str]:
    """Put fake quantisers into a graph module; gives the names of the weights that take part.

    Raises JobError when no layer of it could be integer.
    """
    graph = graph_module.graph
    weights, takers = [], []
    for node in list(graph.nodes):
        target = str(node.target)
        if node.op == "call_function" and _WEIGHTED.match(target):
            weights.append(str(node.args[1].target))
            takers.append((node, [node.args[0]]))
        elif node.op == "output" or (node.op == "call_function" and _ADDED.match(target)):
            takers.append((node, node.all_input_nodes))
    if not weights:
        raise JobError("the network has no convolution and no dense layer to tune")
    made: dict[Any, Any] = {}
    for taker, given in takers:
        for node in given:
            if _is_float(node):
                _between(graph_module, node, taker, made)
    graph.lint()
    graph_module.recompile()
    return sorted(set(weights))


def remove(graph_module: Any) -> None:
    """Take them out again."""
    for node in list(graph_module.graph.nodes):
        if node.op == "call_module" and str(node.target).startswith(_NAME):
            node.replace_all_uses_with(node.args[0])
            graph_module.graph.erase_node(node)
    graph_module.delete_all_unused_submodules()
    graph_module.recompile()


@contextmanager
def rounded(graph_module: Any, names: list[str]) -> Iterator[None]:
    """Let the named weights be what INT8 makes of them, and the true ones again afterwards.

    A gradient that is taken inside is applied to the true ones: the straight-through estimator.
    """
    import torch

    found = [graph_module.get_parameter(name) for name in names]
    true = [each.data for each in found]
    for each in found:
        flat = each.data.flatten(1).abs().amax(dim=1)
        scale = (flat / _LEVELS).clamp_min(1e-12).reshape(-1, *[1] * (each.data.dim() - 1))
        each.data = torch.round(each.data / scale) * scale
    try:
        yield
    finally:
        for each, data in zip(found, true, strict=True):
            each.data = data


_NAME = "fake_quantiser_"


def _between(graph_module: Any, node: Any, taker: Any, made: dict[Any, Any]) -> None:
    """Give `taker` the quantised form of a node's value; there is one for all that take it."""
    if node not in made:
        name = f"{_NAME}{len(made)}"
        graph_module.add_submodule(name, _quantiser())
        with graph_module.graph.inserting_after(node):
            made[node] = graph_module.graph.call_module(name, (node,))
    taker.replace_input_with(node, made[node])


def _is_float(node: Any) -> bool:
    value = node.meta.get("val")
    return value is not None and value.dtype.is_floating_point and node.op != "get_attr"


def _quantiser() -> Any:
    """A module that rounds a tensor to 256 levels between the least and the largest value seen."""
    import torch

    class Quantiser(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("low", torch.zeros(()))
            self.register_buffer("high", torch.zeros(()))

        def forward(self, values: Any) -> Any:
            with torch.no_grad():
                self._widen(values)
                scale = ((self.high - self.low) / 255).clamp_min(1e-12)
                zero = torch.round(-self.low / scale)
            inside = values.clamp((0 - zero) * scale, (255 - zero) * scale)
            levels = torch.round(inside / scale) * scale
            return inside + (levels - inside).detach()

        def _widen(self, values: Any) -> None:
            low, high = values.min().clamp_max(0), values.max().clamp_min(0)
            if bool(self.high == self.low):
                self.low.copy_(low)
                self.high.copy_(high)
            else:
                self.low.mul_(_KEEP).add_(low * (1 - _KEEP))
                self.high.mul_(_KEEP).add_(high * (1 - _KEEP))

    return Quantiser()
