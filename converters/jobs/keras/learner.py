"""Trains a Keras network on classes, with a teacher where there is one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import tensors_file
from ..job import Array, Job, JobError, read_cases
from ..training import Answers, Settings, check_scores, least_probability
from .model import load
from .predict import cases_of, predict
from .source import Source


class KerasLearner:
    """Adam (Kingma and Ba, arXiv:1412.6980) on all trainable weights of a model.

    `call` runs the model on a list of tensors as it is trained. `before` is run ahead of each
    forward pass and gives what undoes it, `after` at the end of each step.
    """

    def __init__(
        self,
        source: Source,
        how: Settings,
        *,
        probabilities: bool,
        call: Callable[[Sequence[Any]], Any] | None = None,
        before: Callable[[], Callable[[], None]] = lambda: lambda: None,
        after: Callable[[], None] = lambda: None,
        more: Sequence[Any] = (),
    ) -> None:
        import keras
        import tensorflow as tf

        self._how, self._probabilities = how, probabilities
        self._call = call or training_call(source)
        self._before, self._after = before, after
        self._weights = source.owner.trainable_variables
        if not self._weights:
            raise JobError(f"{source.path}: has no weight that can be trained")
        self._optimiser = keras.optimizers.Adam(how.rate)
        self._optimiser.build(self._weights)
        self._kept = [*source.owner.variables, *more, *self._optimiser.variables]
        self._step = tf.function(self._train, reduce_retracing=True)

    def begin(self, seed: int) -> None:
        import keras

        keras.utils.set_random_seed(seed % 2**31)

    def step(self, inputs: Sequence[Array], answers: Answers, rate: float) -> float:
        import tensorflow as tf

        self._optimiser.learning_rate.assign(rate)
        teacher = answers.teacher if self._how.weight else None
        given = [tf.constant(array) for array in inputs]
        return float(self._step(given, tf.constant(answers.labels), teacher))

    def state(self) -> dict[str, Array]:
        """All variables by their place."""
        return {str(place): np.array(each) for place, each in enumerate(self._kept)}

    def restore(self, state: dict[str, Array]) -> None:
        fits = len(state) == len(self._kept) and all(
            state[str(place)].shape == tuple(each.shape) for place, each in enumerate(self._kept)
        )
        if not fits:
            raise JobError(
                "the checkpoint is of a network of another form: delete it to start anew"
            )
        for place, each in enumerate(self._kept):
            each.assign(state[str(place)])

    def _train(self, inputs: Sequence[Any], labels: Any, teacher: Any) -> Any:
        import tensorflow as tf

        undo = self._before()
        with tf.GradientTape() as tape:
            loss = self._loss(self._call(inputs), labels, teacher)
        gradients = tape.gradient(loss, [each.value for each in self._weights])
        undo()
        self._optimiser.apply(gradients, self._weights)
        self._after()
        return loss

    def _loss(self, scores: Any, labels: Any, teacher: Any) -> Any:
        """Cross-entropy, and that with the teacher's softened word (Hinton, arXiv:1503.02531)."""
        import tensorflow as tf

        scores = tf.cast(scores, tf.float32)
        if self._probabilities:
            scores = tf.math.log(tf.maximum(scores, least_probability()))
        hard = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=scores)
        )
        if teacher is None:
            return hard
        heat, share = self._how.temperature, self._how.weight
        wanted = tf.nn.log_softmax(teacher / heat)
        given = tf.nn.log_softmax(scores / heat)
        apart = tf.reduce_mean(tf.reduce_sum(tf.exp(wanted) * (wanted - given), axis=1))
        return (1 - share) * hard + share * heat * heat * apart


def settle(how: Settings) -> None:
    """One thread and no free choice of kernels: the same run gives the same figures."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(how.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(how.seed)


def trainable(job: Job) -> Source:
    """The Keras model of a job. Raises JobError for a SavedModel, which has no layers."""
    source = load(job)
    if not source.layers:
        raise JobError(f"{job.source}: has no layers to train: give the .keras file it was made of")
    return source


def training_call(source: Source) -> Callable[[Sequence[Any]], Any]:
    """The first output of the model, in training mode, from a list of tensors."""
    import keras

    model = source.owner
    structure = (getattr(model, "_functional", None) or model)._inputs_struct  # noqa: SLF001

    def call(tensors: Sequence[Any]) -> Any:
        packed = keras.tree.pack_sequence_as(structure, list(tensors))
        return keras.tree.flatten(model(packed, training=True))[0]

    return call


def arrays(source: Source, job: Job, option: str) -> list[Array]:
    """The inputs in the .npz that an option of the job names, in the model's order."""
    return cases_of(source, read_cases(Path(job.options[option])))


def gives_probabilities(source: Source, inputs: Sequence[Array], right: Answers) -> bool:
    """Whether the first output is probabilities; see training.check_scores."""
    few = [array[:8] for array in inputs]
    scores = predict(source, few, lambda done, total, what: None)[0]  # noqa: ARG005
    return check_scores(scores, right, source.path)


def predictions(source: Source, job: Job, option: str) -> None:
    """Write what the model gives for the evaluation cases, where an option names a file."""
    if job.options.get(option):
        found = predict(source, arrays(source, job, "evaluate"), job.progress)
        names = [tensor.name for tensor in source.outputs]
        named = {name: array[:, np.newaxis] for name, array in zip(names, found, strict=True)}
        tensors_file.write(Path(job.options[option]), named)


def write(source: Source, job: Job) -> None:
    """Write job.out, a .keras file, whole. Raises JobError, as when the disk is full."""
    beside = job.out.with_name(f".part-{job.out.name}")
    try:
        source.owner.save(beside)
        beside.replace(job.out)
    except OSError as exc:
        raise JobError(f"{job.out}: cannot be written: {exc.strerror or exc}") from exc
    finally:
        beside.unlink(missing_ok=True)


def parameters(source: Source) -> int:
    """How many numbers are trained."""
    return sum(int(np.prod(each.shape)) for each in source.owner.trainable_variables)
