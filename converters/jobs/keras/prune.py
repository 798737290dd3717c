"""Takes weights or whole channels out of a Keras network, and trains on what is left.

Options: those of keras_model and training; `structured`, `share`; `evaluate` (.npz of cases) and
`untuned` (.npz to write): what the network gives for them before it is trained.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .. import training
from ..job import Facts, Job, JobError
from . import channels as keras_channels
from . import learner as keras_learner
from . import model as keras_model
from .source import Source

_KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")


def run(job: Job) -> Facts:
    """Prune, tune, write."""
    how, right = training.settings(job), training.answers(job)
    keras_learner.settle(how)
    source = keras_learner.trainable(job)
    inputs = keras_learner.arrays(source, job, "train")
    probabilities = keras_learner.gives_probabilities(source, inputs, right)
    before = keras_learner.parameters(source)
    share, masked = float(job.options["share"]), _nothing
    if job.options.get("structured"):
        source, layers = keras_channels.without(source, share)
    else:
        layers, masked = _masks(source, share)
        masked()
    keras_learner.predictions(source, job, "untuned")
    learner = keras_learner.KerasLearner(source, how, probabilities=probabilities, after=masked)
    losses = training.fit(job, learner, inputs, right, how)
    keras_learner.write(source, job)
    return {
        **keras_model.facts(source),
        "parameters": {"before": before, "after": keras_learner.parameters(source)},
        "zeros": sum(int(np.sum(np.array(each) == 0)) for _, each in _kernels(source)),
        "layers": layers,
        "training": training.facts(how, losses),
    }


def _nothing() -> None:
    """No mask."""


def _kernels(source: Source) -> list[tuple[str, Any]]:
    """Kernels of convolutions and dense layers, each with its layer's name."""
    from keras.layers import RNN

    return [
        (layer.name, weight)
        for layer in source.layers
        if not isinstance(layer, RNN)
        for weight in layer._trainable_variables  # noqa: SLF001 - its own, not of layers inside
        if weight.name in _KERNELS
    ]


def _masks(source: Source, share: float) -> tuple[list[Facts], Callable[[], None]]:
    """The smallest weights of all layers together (Han et al., arXiv:1506.02626).

    Gives the layers, and what sets those weights to zero, now and after each step.
    """
    kernels = _kernels(source)
    if not kernels:
        raise JobError(f"{source.path}: has no convolution and no dense layer to prune")
    sizes = np.concatenate([np.abs(np.array(weight)).ravel() for _, weight in kernels])
    kept = np.ones(len(sizes), np.float32)
    kept[np.argsort(sizes, kind="stable")[: round(share * len(sizes))]] = 0
    masks, layers, at = [], [], 0
    for name, weight in kernels:
        count = int(np.prod(weight.shape))
        masks.append((weight, kept[at : at + count].reshape(weight.shape)))
        layers.append({"layer": name, "before": count, "after": int(masks[-1][1].sum())})
        at += count
    return layers, partial(_apply, masks)


def _apply(masks: list[tuple[Any, Any]]) -> None:
    for weight, mask in masks:
        weight.assign(weight * mask)
