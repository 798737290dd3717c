"""The loop of all training: order, learning rate, progress and checkpoints. No framework.

Options: `train` (.npz of inputs by name), `answers` (.npz of `labels`, and of `teacher`: the
logarithm of a teacher's probabilities), `epochs`, `batch`, `rate`, `seed`, `threads`,
`temperature`, `weight` (of the teacher), `checkpoint` (a file) and `key` (digests of what the run
is of, by name). The same options give the same weights, whether or not the run was broken off.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from . import checkpoint
from .job import Array, Job, JobError

_TELL_S = 0.2
_LEAST = 1e-7  # of a probability, before its logarithm
_ONE = 1e-3  # by how much probabilities may fail to add up to 1


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train. `rate` falls to zero along a cosine (Loshchilov, arXiv:1608.03983)."""

    epochs: int
    batch: int
    rate: float
    seed: int
    threads: int = 1
    temperature: float = 1.0
    weight: float = 0.0


@dataclass(frozen=True, slots=True)
class Answers:
    """What is right for each case: (cases,) classes, and (cases, classes) of the teacher."""

    labels: Array
    teacher: Array | None = None


class Learner(Protocol):
    """A network with its optimiser."""

    def begin(self, seed: int) -> None:
        """An epoch starts: seed whatever is drawn in it."""

    def step(self, inputs: Sequence[Array], answers: Answers, rate: float) -> float:
        """One step on a batch; gives its loss, and leaves all as it is when that is no number."""

    def state(self) -> dict[str, Array]:
        """All that must be kept to go on: weights, and the optimiser's sums."""

    def restore(self, state: dict[str, Array]) -> None:
        """Take a kept state back. Raises JobError when it is of another network."""


def settings(job: Job) -> Settings:
    """Of a job."""
    given = job.options
    return Settings(
        epochs=int(given["epochs"]),
        batch=int(given.get("batch_size", 64)),
        rate=float(given.get("rate", 1e-3)),
        seed=int(given.get("seed", 0)),
        threads=int(given.get("threads", 1)),
        temperature=float(given.get("temperature", 1.0)),
        weight=float(given.get("weight", 0.0)),
    )


def answers(job: Job) -> Answers:
    """Labels and, where there is one, the teacher's word."""
    with np.load(Path(job.options["answers"]), allow_pickle=False) as file:
        teacher = file["teacher"].astype(np.float32) if "teacher" in file.files else None
        return Answers(file["labels"].astype(np.int64), teacher)


def check_scores(scores: Array, right: Answers, where: Path) -> bool:
    """Whether an output, (cases, classes), gives probabilities; else it gives logits.

    Raises JobError when it is not one score for each class that the labels name.
    """
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise JobError(
            f"{where}: its first output is {scores.shape[1:]} for a case: only a network that gives"
            " a score for each of two or more classes can be trained here"
        )
    if int(right.labels.max()) >= scores.shape[1]:
        raise JobError(
            f"{where}: gives {scores.shape[1]} scores, and a label is {int(right.labels.max())}"
        )
    if right.teacher is not None and right.teacher.shape[1] != scores.shape[1]:
        raise JobError(
            f"{where}: gives {scores.shape[1]} scores, and the teacher {right.teacher.shape[1]}:"
            " they must know the same classes in the same order"
        )
    return are_probabilities(scores)


def are_probabilities(scores: Array) -> bool:
    """Whether every row is at least 0 and adds up to 1: the output of a softmax."""
    return bool(np.all(scores >= 0) and np.all(np.abs(scores.sum(axis=1) - 1) < _ONE))


def least_probability() -> float:
    """What stands in for a probability of zero before its logarithm is taken."""
    return _LEAST


def fit(
    job: Job, learner: Learner, inputs: Sequence[Array], right: Answers, how: Settings
) -> list[float]:
    """Train, or go on where a checkpoint stands; gives the mean loss of each epoch.

    Raises JobError when the loss is no number, or a checkpoint is of another run.
    """
    path, key = Path(job.options["checkpoint"]), dict(job.options.get("key", {}))
    kept = checkpoint.read(path, key)
    losses = list(kept.losses) if kept else []
    if kept:
        learner.restore(kept.state)
    run = _Run(job, learner, inputs, right, how)
    for epoch in range(len(losses), how.epochs):
        try:
            losses.append(run.epoch(epoch))
        except _NoNumberError as exc:
            path.unlink(missing_ok=True)  # it would only lead here again
            raise JobError(_diverged(job, how, f"the loss is {exc}", epoch)) from exc
        state = learner.state()
        if not all(np.isfinite(array).all() for array in state.values()):
            path.unlink(missing_ok=True)
            raise JobError(_diverged(job, how, "a weight is NaN or infinite", epoch))
        checkpoint.write(path, checkpoint.Checkpoint(key, losses, state))
    return losses


def _diverged(job: Job, how: Settings, what: str, epoch: int) -> str:
    return (
        f"{job.source}: {what} in epoch {epoch + 1} of {how.epochs}: lower the learning rate"
        f" (--rate {how.rate / 10:g})"
    )


class _NoNumberError(Exception):
    """The loss became NaN or infinite."""


class _Run:
    """One training: what is drawn in an epoch depends on the seed and its number alone."""

    def __init__(
        self, job: Job, learner: Learner, inputs: Sequence[Array], right: Answers, how: Settings
    ) -> None:
        self._job, self._learner = job, learner
        self._inputs, self._right, self._how = inputs, right, how
        self._told = 0.0

    def epoch(self, number: int) -> float:
        """The mean loss. Raises _NoNumberError."""
        how, right = self._how, self._right
        random = np.random.SeedSequence([how.seed, number])
        self._learner.begin(int(random.generate_state(1)[0]))
        order = np.random.default_rng(random).permutation(len(right.labels))
        count = _batches(len(order), how.batch)
        losses = []
        for at in range(count):
            rows = order[at * how.batch : (at + 1) * how.batch]
            done, total = number * count + at, how.epochs * count
            rate = how.rate * 0.5 * (1 + math.cos(math.pi * done / total))
            part = [np.ascontiguousarray(array[rows]) for array in self._inputs]
            teacher = None if right.teacher is None else right.teacher[rows]
            losses.append(self._learner.step(part, Answers(right.labels[rows], teacher), rate))
            if not math.isfinite(losses[-1]):
                raise _NoNumberError(losses[-1])
            self._tell(done + 1, total, f"epoch {number + 1}, loss {losses[-1]:.4f}, step")
        return float(np.mean(losses))

    def _tell(self, done: int, total: int, what: str) -> None:
        if time.monotonic() - self._told > _TELL_S:
            self._told = time.monotonic()
            self._job.progress(done, total, what)


def _batches(cases: int, size: int) -> int:
    """How many batches; a last one of a single case has no variance, and is left out."""
    return max(cases // size + (cases % size > 1), 1)


def facts(how: Settings, losses: Sequence[float]) -> dict[str, Any]:
    """What a job tells of its training."""
    return {
        "epochs": how.epochs,
        "batch_size": how.batch,
        "rate": how.rate,
        "seed": how.seed,
        "threads": how.threads,
        "losses": [float(loss) for loss in losses],
    }
