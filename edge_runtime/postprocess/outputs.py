"""The outputs of a model, found by what the manifest says they mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_runtime.errors import ConfigError, FrameError
from edge_runtime.frame import Array
from edge_runtime.interfaces import TensorSpec
from edge_runtime.manifest import Manifest
from edge_runtime.outcome import Label
from edge_runtime.preprocess.quantise import dequantise, with_quantisation
from edge_runtime.readout import OutputEntry


@dataclass(frozen=True, slots=True)
class Output:
    """One output: where it stands among the others, and how it stores real values."""

    position: int
    spec: TensorSpec

    def raw(self, outputs: Sequence[Array]) -> Array:
        """The stored values."""
        return outputs[self.position]

    def real(self, outputs: Sequence[Array]) -> Array:
        """The real values, float32. Raises FrameError when one is NaN or infinite."""
        return self.known(dequantise(outputs[self.position], self.spec))

    def rows(self, outputs: Sequence[Array], count: int, width: int = 1) -> Array:
        """The first `count` rows (count, width) of `real`; what follows them is not looked at."""
        values = outputs[self.position].reshape(-1)[: count * width]
        return self.known(dequantise(values, self.spec)).reshape(-1, width)

    def known(self, real: Array) -> Array:
        """The same values. Raises FrameError when one is NaN or infinite."""
        if not np.isfinite(real).all():
            what = "NaN" if np.isnan(real).any() else "infinite"
            raise FrameError(f"model output is {what}: '{self.spec.name}'")
        return real


def find(manifest: Manifest, outputs: Sequence[TensorSpec], meaning: str) -> Output:
    """The output of that meaning. Raises ConfigError when there is none."""
    found = find_or_none(manifest, outputs, meaning)
    if found is None:
        raise ConfigError(
            f"{manifest.name}: [[output]] meaning: postprocess kind '{manifest.postprocess.kind}' "
            f"needs an output with meaning = '{meaning}'; the file has {_names(outputs)}"
        )
    return found


def find_or_none(manifest: Manifest, outputs: Sequence[TensorSpec], meaning: str) -> Output | None:
    """The output of that meaning, or None when the manifest names none.

    Raises ConfigError when it names two, or one that the file does not have.
    """
    entries = [entry for entry in manifest.output if entry.meaning == meaning]
    if not entries:
        return None
    if len(entries) > 1:
        raise ConfigError(f"{manifest.name}: [[output]] meaning: '{meaning}' stands twice")
    return locate(manifest, outputs, entries[0])


def locate(manifest: Manifest, outputs: Sequence[TensorSpec], entry: OutputEntry) -> Output:
    """The output that an entry names. Raises ConfigError when the file does not have it."""
    for position, spec in enumerate(outputs):
        if entry.name in (spec.name, str(position)):
            where = f"{manifest.name}: output '{entry.name}'"
            return Output(position, with_quantisation(spec, entry.quantisation, where))
    raise ConfigError(
        f"{manifest.name}: [[output]] name: '{entry.name}' is not in the file; it has "
        f"{_names(outputs)}"
    )


def check_image_input(manifest: Manifest) -> None:
    """Raises ConfigError when the model takes no image: its places could not be mapped back."""
    if not any(entry.kind == "image" for entry in manifest.input):
        raise ConfigError(
            f"{manifest.name}: [postprocess] kind: '{manifest.postprocess.kind}' gives places in "
            "an image, and no [[input]] is of kind 'image'"
        )


@dataclass(frozen=True, slots=True)
class Names:
    """Class indices to what is reported of them."""

    labels: tuple[str, ...]
    offset: int  # reported index = the model's + offset
    background: bool  # reported index 0 means "nothing"

    @classmethod
    def of(cls, manifest: Manifest) -> Names:
        """Raises ConfigError when the label file cannot be read."""
        rules = manifest.postprocess
        return cls(manifest.labels(), rules.class_offset, rules.background)

    def reported(self, index: int) -> bool:
        """Whether a class of the model is one to report."""
        return index + self.offset >= (1 if self.background else 0)

    def label(self, index: int, score: float) -> Label:
        """A class of the model with its name; a class without one is called by its number."""
        shown = index + self.offset
        name = self.labels[shown] if 0 <= shown < len(self.labels) else ""
        return Label(shown, name or str(shown), score)


def activate(values: Array, activation: str) -> Array:
    """Scores from what the model puts out: "none", "softmax" over the last axis, "sigmoid".

    The sigmoid's argument is held within 80, where the exponential of float32 does not overflow.
    """
    scores: Array = values
    if activation == "softmax":
        powers = np.exp(values - values.max(axis=-1, keepdims=True))
        scores = powers / powers.sum(axis=-1, keepdims=True)
    elif activation == "sigmoid":
        scores = 1.0 / (1.0 + np.exp(-np.clip(values, -80.0, 80.0)))
    return scores


def _names(outputs: Sequence[TensorSpec]) -> str:
    return ", ".join(f"{position} '{spec.name}'" for position, spec in enumerate(outputs))
