"""The step `leads`: choose the leads of a signal by name, in the order that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from edge_runtime.ecg.leads import canonical_lead, derivation
from edge_runtime.errors import BadOptionError, ConfigError
from edge_runtime.frame import Frame

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Leads:
    """The named columns of every frame, under their canonical names.

    A limb lead (I, II, III, aVR, aVL, aVF) that the stream lacks is the exact sum of any two
    others: III = II - I, aVR = -(I + II) / 2, aVL = I - II / 2, aVF = II - I / 2. A lead that is
    there is never derived, and a chest lead (V1 to V6) that is not there is refused by name.

    Args:
        names: leads in the wanted order, by any spelling; others keep the name that they have.
        derive: derive limb leads that are not there; false refuses them too.
        inverted: leads of the stream that were recorded upside down; their sign is turned first.
        absent: "zero" makes leads that are neither there nor derived zeros, and says so; only for
            a network that was trained with leads missing. One lead at least must be there.
    """

    delay_s = 0.0
    highpass_hz = 0.0

    def __init__(
        self,
        *,
        names: tuple[str, ...],
        derive: bool = True,
        inverted: tuple[str, ...] = (),
        absent: Literal["refuse", "zero"] = "refuse",
    ) -> None:
        if not names:
            raise BadOptionError("names", 'give at least one lead, for example ["MLII"]')
        self._names = _canonical("names", names)
        self._inverted = _canonical("inverted", inverted)
        self._derive, self._zeros = derive, absent == "zero"
        self.note = ""
        self._there: tuple[str, ...] | None = None  # the stream's own names
        self._columns: NDArray[np.intp] | None = None
        self._mix: NDArray[np.float32] | None = None  # (leads there, leads wanted)

    def __call__(self, frame: Frame) -> list[Frame]:
        """Raises ConfigError when the stream lacks a lead that cannot be derived."""
        if frame.leads != self._there:
            self._find(frame)
            self._there = frame.leads
        if self._mix is None:
            data = frame.data[:, self._columns]
        else:
            data = _weighted(frame.data, self._mix)
        return [frame._replace(data=np.ascontiguousarray(data), leads=self._names)]

    def flush(self) -> list[Frame]:
        """Nothing is held."""
        return []

    def _find(self, frame: Frame) -> None:
        there = [canonical_lead(name) for name in frame.leads]
        has = f"; it has {', '.join(there) or 'no named lead'}"
        ways = [self._way(name, there) for name in self._names]
        missing = [name for name, way in zip(self._names, ways, strict=True) if not way]
        self.note = ""
        if self._zeros and 0 < len(missing) < len(ways):
            self.note, missing = f"zeros for {', '.join(missing)}{has}", []
        missing += [name for name in self._inverted if name not in there]
        if missing:
            raise ConfigError(f"{frame.source}: has no lead {', '.join(missing)}{has}")
        twice = [name for way in ways for name in way if there.count(name) > 1]
        if twice:
            raise ConfigError(f"{frame.source}: more than one lead is {twice[0]}{has}")
        self._columns = self._mix = None
        if not self._inverted and all(len(way) == 1 for way in ways):
            self._columns = np.array([there.index(name) for name in self._names])
            return
        self._mix = np.zeros((len(there), len(ways)), np.float32)
        for to, way in enumerate(ways):
            for of, weight in way.items():
                sign = -1.0 if of in self._inverted else 1.0
                self._mix[there.index(of), to] = sign * weight

    def _way(self, name: str, there: list[str]) -> dict[str, float]:
        """The lead as a weighted sum of what is there; empty when there is no way."""
        if name in there:
            return {name: 1.0}
        try:
            return derivation(name, there) if self._derive else {}
        except LookupError:
            return {}


def _weighted(data: NDArray[np.float32], mix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums by columns; BLAS would round differently for chunks of different length."""
    made = np.zeros((len(data), mix.shape[1]), np.float32)
    for of, to in zip(*np.nonzero(mix), strict=True):
        made[:, to] += data[:, of] * mix[of, to]
    return made


def _canonical(key: str, names: tuple[str, ...]) -> tuple[str, ...]:
    known = tuple(canonical_lead(name) for name in names)
    if len(set(known)) < len(known):
        raise BadOptionError(key, f"names a lead twice: {', '.join(known)}")
    return known
