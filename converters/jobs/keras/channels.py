"""Takes channels out of a Keras network that is one chain of layers.

A chain is followed from layer to layer with the channels that are left. Branches that join would
have to lose the same channels, which Keras' graph does not tell; such networks are refused.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..job import Array, Facts, JobError
from .model import load_keras
from .source import Source

_ROUND = 4  # channels that stay are a multiple of it: what kernels work on at once
_PASS = (
    "Activation", "AveragePooling1D", "AveragePooling2D", "Cropping1D", "Cropping2D", "Dropout",
    "ELU", "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalMaxPooling1D",
    "GlobalMaxPooling2D", "InputLayer", "LeakyReLU", "MaxPooling1D", "MaxPooling2D", "ReLU",
    "Softmax", "SpatialDropout1D", "SpatialDropout2D", "UpSampling1D", "UpSampling2D",
    "ZeroPadding1D", "ZeroPadding2D",
)  # fmt: skip
_WEIGHTED = {"Conv1D": "filters", "Conv2D": "filters", "Dense": "units"}
_DEPTHWISE = ("DepthwiseConv1D", "DepthwiseConv2D")


def without(source: Source, share: float) -> tuple[Source, list[Facts]]:
    """The model without that share of each layer's channels, those of the least L2 norm.

    The layer that gives the output keeps its own. Raises JobError naming a layer that is none of a
    chain, or when there is nothing to take.
    """
    layers = _chain(source)
    last = max(at for at, layer in enumerate(layers) if _kind(layer) in _WEIGHTED)
    left: Array = np.arange(int(source.inputs[0].shape[-1] or 0))
    plan: list[tuple[int, list[Array]]] = []
    facts = []
    for at, layer in enumerate(layers):
        weights, kind = layer.get_weights(), _kind(layer)
        size = 0
        if kind in _WEIGHTED:
            taken, left = left, _best(weights[0], 0 if at == last else share)
            size = len(left)
            weights = [weights[0][..., taken, :][..., left], *(each[left] for each in weights[1:])]
            facts.append(
                {"layer": layer.name, "before": _out(layer), "after": list(weights[0].shape)}
            )
        elif kind in _DEPTHWISE:
            weights = [weights[0][..., left, :], *(each[left] for each in weights[1:])]
        elif kind == "BatchNormalization":
            weights = [each[left] for each in weights]
        elif kind == "Flatten":
            shape = layer.input.shape[1:]
            places = np.arange(int(np.prod(shape))).reshape(shape)
            left = places[..., left].ravel()
        plan.append((size, weights))
    if all(fact["before"] == fact["after"] for fact in facts):
        raise JobError(
            f"{source.path}: no layer has a channel to spare at --share {share:g}: its hidden"
            f" layers must have more than {_ROUND} channels"
        )
    return _rebuilt(source, layers, plan), facts


def _chain(source: Source) -> list[Any]:
    """The layers in their order. Raises JobError for what does not follow channels one by one."""
    graph = getattr(source.owner, "_functional", None) or source.owner
    steps = graph._nodes_by_depth  # noqa: SLF001 - the deepest is the input
    used = [node.operation for depth in sorted(steps, reverse=True) for node in steps[depth]]
    for layer in used:
        if used.count(layer) > 1 or not _follows(layer):
            kind = _kind(layer)
            raise JobError(
                f"{source.path}: layer '{layer.name}' ({kind}) is none of a chain; {_AWAY}"
            )
    if len(used) != len(steps):
        raise JobError(f"{source.path}: has branches; {_AWAY}")
    if not any(_kind(layer) in _WEIGHTED for layer in used):
        raise JobError(f"{source.path}: has no convolution and no dense layer to prune")
    return [layer for layer in used if _kind(layer) != "InputLayer"]


def _follows(layer: Any) -> bool:
    """Whether what goes in and out of a layer is known channel by channel."""
    known = _kind(layer) in (*_PASS, *_WEIGHTED, *_DEPTHWISE, "BatchNormalization", "Flatten")
    if _kind(layer) == "Softmax" or not known:
        return known
    return (
        getattr(layer, "groups", 1) == 1
        and getattr(layer, "depth_multiplier", 1) == 1
        and getattr(layer, "data_format", "channels_last") == "channels_last"
        and getattr(layer, "axis", -1) in (-1, len(layer.output.shape) - 1)
    )


_AWAY = (
    "only a chain of convolutions, normalisations, poolings and dense layers can lose channels in"
    " Keras: prune single weights (without --structured), or build the network in PyTorch"
)


def _kind(layer: Any) -> str:
    return type(layer).__name__


def _out(layer: Any) -> list[int]:
    return [int(size) for size in layer.get_weights()[0].shape]


def _best(kernel: Array, share: float) -> Array:
    """The channels that stay, (channels,) rising."""
    norms = np.sqrt(np.square(kernel.astype(np.float64)).sum(axis=tuple(range(kernel.ndim - 1))))
    count = round(len(norms) * (1 - share))
    count = min(len(norms), max(_ROUND, -(-count // _ROUND) * _ROUND)) if share else len(norms)
    return np.sort(np.argsort(-norms, kind="stable")[:count])


def _rebuilt(source: Source, layers: Sequence[Any], plan: Sequence[tuple[int, Any]]) -> Source:
    """A sequential model of the same layers with fewer channels, and the weights that stay."""
    import keras

    given = source.inputs[0]
    model = keras.Sequential(name=source.owner.name)
    model.add(keras.Input(given.shape[1:], dtype=given.dtype, name=given.name))
    for layer, (size, weights) in zip(layers, plan, strict=True):
        config = layer.get_config()
        if size:
            config[_WEIGHTED[_kind(layer)]] = size
        model.add(type(layer).from_config(config))
        model.layers[-1].set_weights(weights)
    with tempfile.TemporaryDirectory() as folder:  # read back as the source was: one way to load
        path = Path(folder, f"pruned{os.extsep}keras")
        model.save(path)
        return replace(load_keras(path), path=source.path)
