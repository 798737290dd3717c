"""The step `leads`: choose the leads of a signal by name, in the order that is asked for."""

from __future__ import annotations

import numpy as np

from edge_runtime.ecg.leads import canonical_lead
from edge_runtime.errors import BadOptionError, ConfigError
from edge_runtime.frame import Frame


class Leads:
    """The named columns of every frame, under their canonical names.

    Args:
        names: leads in the wanted order; any spelling of `canonical_lead` will do.
    """

    def __init__(self, *, names: tuple[str, ...]) -> None:
        if not names:
            raise BadOptionError("names", 'give at least one lead, for example ["MLII"]')
        self._names = tuple(canonical_lead(name) for name in names)
        if len(set(self._names)) < len(self._names):
            raise BadOptionError("names", f"names a lead twice: {', '.join(self._names)}")

    def __call__(self, frame: Frame) -> list[Frame]:
        """Raises ConfigError when the stream lacks a lead."""
        there = [canonical_lead(name) for name in frame.leads]
        missing = [name for name in self._names if name not in there]
        if missing:
            has = ", ".join(there) or "no named lead"
            raise ConfigError(f"{frame.source}: has no lead {', '.join(missing)}; it has {has}")
        columns = [there.index(name) for name in self._names]
        data = np.ascontiguousarray(frame.data[:, columns])
        return [frame._replace(data=data, leads=self._names)]

    def flush(self) -> list[Frame]:
        """Nothing is held."""
        return []
