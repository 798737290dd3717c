"""Scores of several tasks to the labels of each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from edge_runtime.errors import ConfigError
from edge_runtime.frame import Array, Frame, Placement
from edge_runtime.interfaces import TensorSpec
from edge_runtime.manifest import Manifest
from edge_runtime.outcome import Label, Labels
from edge_runtime.readout import HeadEntry

from .outputs import activate, locate


class Heads:
    """What each head says, in the order of the manifest, its best label first.

    A label's index is its place in its head. Equal scores stand in the order of their classes.

    Raises ConfigError when an output is not in the file or has more or fewer scores than labels.
    """

    def __init__(self, manifest: Manifest, outputs: tuple[TensorSpec, ...]) -> None:
        self._name, self._heads = manifest.name, manifest.head
        entries = [entry for entry in manifest.output if entry.meaning == "scores"]
        self._outputs = {entry.name: locate(manifest, outputs, entry) for entry in entries}
        self._sizes = {head.output: 0 for head in self._heads}
        for head in self._heads:
            self._sizes[head.output] = max(self._sizes[head.output], head.end)
        for entry, output in self._outputs.items():
            if None not in output.spec.shape[1:]:
                self._check(entry, tuple(size or 1 for size in output.spec.shape))

    def __call__(
        self, outputs: Sequence[Array], frame: Frame, placement: Placement | None
    ) -> Labels:
        """Raises FrameError when a score is NaN or infinite, ConfigError as the constructor."""
        del frame, placement
        real = {}
        for entry, output in self._outputs.items():
            values = output.real(outputs)
            self._check(entry, values.shape)
            real[entry] = values.reshape(-1)
        return Labels(tuple(label for head in self._heads for label in _said(head, real)))

    def _check(self, entry: str, shape: tuple[int, ...]) -> None:
        """The output is one row, and each score of it has a label."""
        size = math.prod(shape)
        if size != self._sizes[entry] or size != max(shape, default=1):
            raise ConfigError(
                f"{self._name}: [[head]] labels: {self._sizes[entry]} for output '{entry}', which "
                f"is {shape}: each score of a row is in one head"
            )


def _said(head: HeadEntry, real: Mapping[str, Array]) -> Iterator[Label]:
    scores = activate(real[head.output][head.first : head.end], head.activation)
    best = (-scores).argsort(kind="stable").tolist()
    for index in best[: 1 if head.report == "best" else None]:
        if scores[index] >= head.threshold:
            yield Label(index, head.labels[index], float(scores[index]), head.name)
