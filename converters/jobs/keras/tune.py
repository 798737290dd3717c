"""Quantisation-aware training of a Keras network.

Options: those of keras_model and training. What is written is the float network with the weights
that stand INT8 better; the normal chain quantises it. Statistics of batch normalisation stay as
they are, and nothing is dropped out. What is rounded and how: see torch_fake.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from .. import training
from ..job import Facts, Job, JobError
from . import learner as keras_learner
from . import model as keras_model
from .source import Source

_LEVELS = 127.0
_KEEP = 0.9  # of the range so far, at each step
_KERNELS = ("Conv1D", "Conv2D", "Dense", "DepthwiseConv1D", "DepthwiseConv2D")
_JOINS = ("Add", "Concatenate")


def run(job: Job) -> Facts:
    """Tune and write."""
    how, right = training.settings(job), training.answers(job)
    keras_learner.settle(how)
    source = keras_learner.trainable(job)
    inputs = keras_learner.arrays(source, job, "train")
    probabilities = keras_learner.gives_probabilities(source, inputs, right)
    layers = [layer for layer in source.layers if type(layer).__name__ in _KERNELS]
    if not layers:
        raise JobError(f"{source.path}: has no convolution and no dense layer to tune")
    call, ranges = _fake(source)
    learner = keras_learner.KerasLearner(
        source,
        how,
        probabilities=probabilities,
        call=call,
        before=partial(_rounded, layers),
        more=ranges,
    )
    losses = training.fit(job, learner, inputs, right, how)
    keras_learner.write(source, job)
    return {
        **keras_model.facts(source),
        "parameters": keras_learner.parameters(source),
        "tuned": [layer.name for layer in layers],
        "training": training.facts(how, losses),
    }


def _rounded(layers: Sequence[Any]) -> Callable[[], None]:
    """Let kernels be what INT8 makes of them, per output channel; gives what undoes it.

    A gradient that is taken in between is applied to the true ones: the straight-through estimator.
    """
    import tensorflow as tf

    true = [tf.identity(layer.kernel.value) for layer in layers]
    for layer, kernel in zip(layers, true, strict=True):
        rank = len(kernel.shape)
        depthwise = type(layer).__name__.startswith("Depthwise")
        axes = list(range(rank - (2 if depthwise else 1)))  # (..., channels, multiplier)
        most = tf.reduce_max(tf.abs(kernel), axis=axes, keepdims=True)
        scale = tf.maximum(most / _LEVELS, 1e-12)
        layer.kernel.assign(tf.round(kernel / scale) * scale)

    def undo() -> None:
        for layer, kernel in zip(layers, true, strict=True):
            layer.kernel.assign(kernel)

    return undo


def _fake(source: Source) -> tuple[Callable[[Sequence[Any]], Any], list[Any]]:
    """The model with its own layers, and fake quantisers before those that compute with integers.

    Gives the call, and the variables of the ranges.
    """
    import keras

    quantiser = _quantiser()
    made: dict[int, Any] = {}
    variables: list[Any] = []

    def quantised(tensor: Any) -> Any:
        if id(tensor) not in made:
            layer = quantiser()
            made[id(tensor)] = (tensor, layer(tensor))  # the tensor is kept: its id stays its own
            variables.extend(layer.variables)
        return made[id(tensor)][1]

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if type(layer).__name__ in (*_KERNELS, *_JOINS):
            args = keras.tree.map_structure(quantised, args)
        return layer(*args, **kwargs)

    graph = getattr(source.owner, "_functional", None) or source.owner
    fake = keras.models.clone_model(graph, clone_function=lambda layer: layer, call_function=call)
    last = quantiser()
    last.build(None)
    variables.extend(last.variables)
    structure = fake._inputs_struct  # noqa: SLF001

    def run_it(tensors: Sequence[Any]) -> Any:
        packed = keras.tree.pack_sequence_as(structure, list(tensors))
        return last(keras.tree.flatten(fake(packed, training=False))[0])

    return run_it, variables


def _quantiser() -> Any:
    """A layer that rounds a tensor to 256 levels between the least and the largest value seen."""
    import keras
    import tensorflow as tf

    class Quantiser(keras.layers.Layer):  # type: ignore[misc]
        def build(self, _: Any) -> None:
            self.low = self.add_weight(shape=(), initializer="zeros", trainable=False)
            self.high = self.add_weight(shape=(), initializer="zeros", trainable=False)
            self.built = True

        def compute_output_shape(self, shape: Any) -> Any:
            return shape

        def call(self, values: Any) -> Any:
            low = tf.minimum(tf.reduce_min(values), 0.0)
            high = tf.maximum(tf.reduce_max(values), 0.0)
            first = tf.equal(self.high.value, self.low.value)
            keep = tf.where(first, 0.0, _KEEP)
            self.low.assign(keep * self.low.value + (1 - keep) * low)
            self.high.assign(keep * self.high.value + (1 - keep) * high)
            return tf.quantization.fake_quant_with_min_max_vars(
                values, self.low.value, tf.maximum(self.high.value, self.low.value + 1e-9)
            )

    return Quantiser
