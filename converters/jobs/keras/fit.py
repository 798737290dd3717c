"""Trains a Keras network on labels, and on a teacher's word where one is given.

Options: those of keras_model and training. The network starts from the weights of its file.
"""

from __future__ import annotations

from .. import training
from ..job import Facts, Job
from . import learner as keras_learner
from . import model as keras_model


def run(job: Job) -> Facts:
    """Train and write."""
    how, right = training.settings(job), training.answers(job)
    keras_learner.settle(how)
    source = keras_learner.trainable(job)
    inputs = keras_learner.arrays(source, job, "train")
    probabilities = keras_learner.gives_probabilities(source, inputs, right)
    learner = keras_learner.KerasLearner(source, how, probabilities=probabilities)
    losses = training.fit(job, learner, inputs, right, how)
    keras_learner.write(source, job)
    return {
        **keras_model.facts(source),
        "parameters": keras_learner.parameters(source),
        "training": training.facts(how, losses),
    }
