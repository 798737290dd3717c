"""A trained network as it is deployed: batch normalisation folded, probabilities out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import network
import numpy as np
import tensorflow as tf
from keras import layers
from network import HEADS, LEADS
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Run = Callable[[Floats], Floats]  # (cases, samples, 12) mV -> (cases, 9) probabilities

INPUT, OUTPUT = "signal", "scores"


def folded(model: keras.Model, name: str, samples: int) -> keras.Model:
    """The same network without batch normalisation: each is part of the convolution before it."""
    made = network.build(name, samples, folded=True)
    ours = {layer.name: layer for layer in made.layers}
    for layer in model.layers:
        norm = f"{layer.name}_norm"
        if norm in [one.name for one in model.layers]:
            given = model.get_layer(norm)
            gamma, beta, mean, variance = given.get_weights()
            gain = gamma / np.sqrt(variance + given.epsilon)
            (kernel,) = layer.get_weights()
            by_channel = gain[:, None] if isinstance(layer, layers.DepthwiseConv2D) else gain
            ours[layer.name].set_weights([kernel * by_channel, beta - mean * gain])
        elif layer.get_weights() and layer.name in ours:
            ours[layer.name].set_weights(layer.get_weights())
    return made


def deployed(models: dict[str, keras.Model], samples: int = 1000) -> keras.Model:
    """(samples, 12) mV to nine probabilities in the order of `LABELS`; of several, their mean."""
    signal = keras.Input((samples, len(LEADS)), name=INPUT)
    each = []
    for name, model in models.items():
        logits = folded(model, name, samples)(signal)
        parts = [
            layers.Softmax()(logits[head]) if head == "rhythm" else layers.Activation("sigmoid")(x)
            for head, x in ((head, logits[head]) for head in HEADS)
        ]
        each.append(layers.Concatenate(name=f"{name}_scores")(parts))
    scores = each[0] if len(each) == 1 else layers.Average(name=OUTPUT)(each)
    return keras.Model(signal, scores)


def save(model: keras.Model, folder: Path) -> None:
    """A SavedModel, which needs none of our classes: what `edge-convert` takes."""
    shape = (None, *model.input_shape[1:])
    module = tf.Module()
    module.model = model
    module.serve = tf.function(
        lambda signal: {OUTPUT: model(signal, training=False)},
        input_signature=[tf.TensorSpec(shape, tf.float32, name=INPUT)],
    )
    tf.saved_model.save(module, str(folder), signatures=module.serve.get_concrete_function())


def run_keras(model: keras.Model) -> Run:
    """The float network."""
    return lambda cases: model.predict(cases, batch_size=32, verbose=0)
