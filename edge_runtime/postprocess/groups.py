"""Classes taken together: scores summed by group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_runtime.errors import ConfigError
from edge_runtime.frame import Array
from edge_runtime.interfaces import TensorSpec
from edge_runtime.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Groups:
    """Names of groups, and which class is in which."""

    names: tuple[str, ...]
    classes: Array  # the model's classes that are in a group
    places: Array  # the group of each of them

    @classmethod
    def of(cls, manifest: Manifest, spec: TensorSpec) -> Groups | None:
        """What the file `groups` says; None when the manifest names none.

        Raises ConfigError when it cannot be read, names no group, or one for a class that the
        model does not have.
        """
        rules = manifest.postprocess
        if not rules.groups:
            return None
        where, given = f"{manifest.name}: [postprocess] groups", manifest.groups()
        names = tuple(dict.fromkeys(name for name in given if name))
        if not names:
            raise ConfigError(f"{where}: {rules.groups} names no group")
        shown = [index for index, name in enumerate(given) if name]
        classes = np.array(shown) - rules.class_offset
        size = spec.shape[-1] if spec.shape else None
        if classes[0] < 0 or (size is not None and classes[-1] >= size):
            raise ConfigError(f"{where}: {rules.groups} goes beyond the {size} classes of the file")
        return cls(names, classes, np.array([names.index(given[index]) for index in shown]))

    def summed(self, scores: Array) -> Array:
        """(groups,) from (classes,)."""
        return np.bincount(self.places, scores[self.classes], len(self.names))
