"""The layers of a Keras model: which loop over time, and which one an operation is of."""

from __future__ import annotations

import re
from typing import Any

from ..job import JobError
from .source import Source


def recurrent(source: Source) -> list[tuple[str, Any]]:
    """The recurrent layers that loop over time (those not unrolled), with the user's name of each.

    The two of a Bidirectional go by its name.
    """
    import keras

    names = {}
    for layer in source.layers:
        if isinstance(layer, keras.layers.Bidirectional):
            names[id(layer.forward_layer)] = names[id(layer.backward_layer)] = layer.name
    return [
        (names.get(id(layer), layer.name), layer)
        for layer in source.layers
        if isinstance(layer, keras.layers.RNN) and not layer.unroll
    ]


def unroll(source: Source) -> list[str]:
    """Make each recurrent layer a chain of its steps. Gives the names of those that were loops.

    Raises JobError where there are no layers, or the number of steps is open.
    """
    if not source.layers:
        raise JobError(f"{source.path}: unroll: a SavedModel has no layers; give the .keras file")
    loops = recurrent(source)
    for tensor in source.inputs if loops else ():
        if None in tensor.shape[1:]:
            raise JobError(
                f"unroll: input '{tensor.name}' is {tensor.shape} (None is open), and a loop is"
                " unrolled over a known number of steps; give its shape in the contract"
            )
    for _, layer in loops:
        layer.unroll = True
    return sorted({name for name, _ in loops})


def layer_of(source: Source, node: str) -> str:
    """The innermost layer that the name of a node or tensor leads through, else that name.

    TensorFlow numbers names that it has seen: "functional_1/dense_1/MatMul" is of `dense`.
    """
    names = {layer.name for layer in source.layers}
    for part in reversed(re.split(r"[/;]", node)):
        for name in (part, re.sub(r"_\d+$", "", part)):
            if name in names:
                return name
    return node
