"""Operations of a frozen graph put in other words, where a converter or a kernel lacks them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .saved import Frozen


def for_integers(frozen: Frozen) -> Frozen:
    """The same with -x as -1 * x, and (x - y)^2 as a product.

    Keras' normalisation layers have one of each: in integer models NEG stays float, and
    SQUARED_DIFFERENCE of int16 converts and then does not run. The negation in a GELU stays: it
    is part of a pattern that the converter makes one operation of.
    """
    graph = _copy(frozen)
    for node in list(graph.node):
        if node.op == "Neg" and "Gelu" not in node.name:
            node.input.append(_constant(graph, node, -1))
        elif node.op == "SquaredDifference":
            difference = _add(graph, node, "Sub", list(node.input))
            node.input[:] = [difference, difference]
        else:
            continue
        node.op = "Mul"
    return replace(frozen, graph=graph)


def without_erfc(frozen: Frozen) -> Frozen:
    """The same with erfc(x) as 1 - erf(x), which ONNX has: the exact GELU of Keras needs it."""
    graph = _copy(frozen)
    for node in [node for node in graph.node if node.op == "Erfc"]:
        node.input[:] = [_constant(graph, node, 1), _add(graph, node, "Erf", list(node.input))]
        node.op = "Sub"
    return replace(frozen, graph=graph)


def _copy(frozen: Frozen) -> Any:
    graph = type(frozen.graph)()
    graph.CopyFrom(frozen.graph)
    return graph


def _add(graph: Any, node: Any, operation: str, inputs: list[str]) -> str:
    """A new node of the type of another, whose name it carries on; its own name."""
    added = graph.node.add(name=f"{node.name}/{operation}", op=operation, input=inputs)
    added.attr["T"].CopyFrom(node.attr["T"])
    return str(added.name)


def _constant(graph: Any, node: Any, value: int) -> str:
    """A new constant of the type of a node; its name."""
    import tensorflow as tf

    kind = tf.as_dtype(node.attr["T"].type)
    added = graph.node.add(name=f"{node.name}/Const", op="Const")
    added.attr["dtype"].type = kind.as_datatype_enum
    added.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, kind))
    return str(added.name)
