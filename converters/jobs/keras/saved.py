"""A source as a frozen graph with fixed names, and that as a SavedModel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..job import JobError
from .source import Source

# TensorFlow sorts a signature by name, and makes its own of what is no identifier.
INPUT, OUTPUT = "in_{:04d}", "out_{:04d}"


@dataclass(frozen=True, slots=True)
class Frozen:
    """A GraphDef whose weights are constants; inputs and outputs in the order of the source's."""

    graph: Any
    specs: tuple[Any, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def nodes(self) -> Iterator[Any]:
        """Every operation, those in loops too."""
        yield from self.graph.node
        for each in self.graph.library.function:
            yield from each.node_def


def aliases(source: Source) -> tuple[dict[str, str], dict[str, str]]:
    """From the names in the signature to the source's, for inputs and for outputs."""
    inputs = {INPUT.format(at): tensor.name for at, tensor in enumerate(source.inputs)}
    outputs = {OUTPUT.format(at): tensor.name for at, tensor in enumerate(source.outputs)}
    return inputs, outputs


def signature(source: Source, batch: int, *, may_be_open: bool = False) -> list[Any]:
    """The TensorSpecs of the inputs; `batch` 0 leaves the batch axis open.

    Raises JobError when the source has another batch size, or an open dimension.
    """
    import tensorflow as tf

    specs = []
    for at, tensor in enumerate(source.inputs):
        if tensor.shape[:1] not in ((None,), (batch,)):
            raise JobError(
                f"input '{tensor.name}' is {tensor.shape}: its first axis should be"
                f" {batch or 'open'}; export the source with an open batch axis"
            )
        if None in tensor.shape[1:] and not may_be_open:
            raise JobError(
                f"input '{tensor.name}' is {tensor.shape} (None is open): give its"
                " shape in the contract"
            )
        shape = (batch or None, *tensor.shape[1:])
        specs.append(tf.TensorSpec(shape, tensor.dtype, name=INPUT.format(at)))
    return specs


def freeze(source: Source, batch: int, *, may_be_open: bool = False) -> Frozen:
    """Trace the source and make its weights constants.

    TensorFlow's converter does not find the variables of a Keras 3 model that a module of ours
    owns: it then writes a file without weights and ends well (seen with TF 2.21).
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    specs = signature(source, batch, may_be_open=may_be_open)
    traced = tf.function(lambda *tensors: source.call(tensors), input_signature=specs)
    frozen = convert_variables_to_constants_v2(
        traced.get_concrete_function(), lower_control_flow=False
    )
    return Frozen(
        graph=frozen.graph.as_graph_def(),
        specs=tuple(specs),
        inputs=tuple(tensor.name for tensor in frozen.inputs),
        outputs=tuple(tensor.name for tensor in frozen.outputs),
    )


def save(frozen: Frozen, folder: Path, outputs: Sequence[str] = ()) -> None:
    """Write a SavedModel folder; the outputs are called as OUTPUT says when they have no names."""
    import tensorflow as tf
    from tensorflow.python.eager.wrap_function import function_from_graph_def

    call = function_from_graph_def(frozen.graph, list(frozen.inputs), list(frozen.outputs))
    names = outputs or [OUTPUT.format(at) for at in range(len(frozen.outputs))]

    def named(*tensors: Any) -> dict[str, Any]:
        return dict(zip(names, call(*tensors), strict=True))

    module = tf.Module()
    module.serve = tf.function(named, input_signature=list(frozen.specs))
    tf.saved_model.save(module, str(folder), signatures=module.serve.get_concrete_function())
