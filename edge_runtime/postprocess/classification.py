"""Scores to the best labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from edge_runtime.errors import ConfigError
from edge_runtime.frame import Array, Frame, Placement
from edge_runtime.interfaces import TensorSpec
from edge_runtime.manifest import Manifest
from edge_runtime.outcome import Label, Labels
from edge_runtime.preprocess.quantise import dequantise

from .groups import Groups
from .outputs import Names, activate, find


class Classification:
    """The `top_k` classes with a score of at least `threshold`, best first.

    Equal scores stand in the order of their classes. Scores are compared as they are stored, and
    an 8-bit one is made real by a table; a softmax needs all of them real first.

    With `groups`, the scores of the classes of a group are summed and the groups are reported,
    numbered in the order in which the file first names them; classes of no group are left out.

    Raises ConfigError when the manifest names no scores or cannot be right.
    """

    def __init__(self, manifest: Manifest, outputs: tuple[TensorSpec, ...]) -> None:
        self._rules = rules = manifest.postprocess
        if rules.top_k < 1:
            raise ConfigError(f"{manifest.name}: [postprocess] top_k: {rules.top_k} is below 1")
        self._scores = find(manifest, outputs, "scores")
        self._names = Names.of(manifest)
        self._first = max(0, (1 if self._names.background else 0) - self._names.offset)
        self._table = _table(self._scores.spec, rules.activation)
        self._groups = Groups.of(manifest, self._scores.spec)
        if self._groups:
            self._names, self._first, self._table = Names(self._groups.names, 0, False), 0, []

    def __call__(
        self, outputs: Sequence[Array], frame: Frame, placement: Placement | None
    ) -> Labels:
        """Raises FrameError when a score is NaN or infinite."""
        del frame, placement
        if self._table:
            scores = self._scores.raw(outputs).reshape(-1).astype(np.int16)
        else:
            scores = activate(self._scores.real(outputs).reshape(-1), self._rules.activation)
        if self._groups:
            scores = self._groups.summed(scores)
        return Labels(tuple(self._best(scores)))

    def _best(self, scores: Array) -> Iterator[Label]:
        """The largest scores in turn; an array of its own, for each one found is struck out."""
        struck_out = np.iinfo(np.int16).min if self._table else -np.inf
        left = scores[self._first :]
        for _ in range(min(self._rules.top_k, len(left))):
            place = int(left.argmax())
            score = self._table[left[place]] if self._table else float(left[place])
            if score < self._rules.threshold:
                return
            left[place] = struck_out
            yield self._names.label(place + self._first, score)


def _table(spec: TensorSpec, activation: str) -> list[float]:
    """The real score of every 8-bit value, negative ones at the end; else empty.

    Softmax has none: a score then depends on all the others. Activations keep the order.
    """
    if spec.dtype not in ("uint8", "int8") or activation == "softmax":
        return []
    values = np.arange(256).astype(np.uint8).view(spec.dtype)
    if spec.quantisation is not None and len(spec.quantisation.scale) > 1:
        return []
    table: list[float] = activate(dequantise(values, spec), activation).tolist()
    return table
