"""What every encoder of samples shares: counts from millivolts, and the seam."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_runtime.frame import Signal

    Integers = NDArray[np.int64]


class Samples(NamedTuple):
    """What a board measured in a row. With `off` an electrode is off for all of it."""

    first: int  # number of the first sample since the start of the replay
    mv: Signal  # (samples, leads) float32
    times_us: Integers  # (samples,) the board's own clock
    off: bool = False

    @property
    def numbers(self) -> Integers:
        """(samples,) number of each."""
        return np.arange(self.first, self.first + len(self.mv))


class Encoder(Protocol):
    """Turns samples into the packets that a board would send, in order."""

    def __call__(self, samples: Samples) -> list[bytes]: ...


@dataclass(frozen=True, slots=True)
class Converter:
    """An analogue-digital converter: count = mV / mv_per_count + zero_count, kept in its range.

    `columns` says where each lead goes; what no lead goes to is 0. While an electrode is off
    every lead shows `off_count`.
    """

    columns: tuple[int, ...]
    mv_per_count: tuple[float, ...]
    zero_count: tuple[float, ...]
    low: float
    high: float
    off_count: int

    def counts(self, samples: Samples, width: int) -> Integers:
        """(samples, width); a lead that the recording lacks is at 0 mV."""
        made = np.zeros((len(samples.mv), width), np.int64)
        for at, column in enumerate(self.columns):
            if samples.off:
                made[:, column] = self.off_count
                continue
            there = at < samples.mv.shape[1]
            mv = samples.mv[:, at].astype(np.float64) if there else np.zeros(len(made))
            counts = np.rint(mv / self.mv_per_count[at] + self.zero_count[at])
            made[:, column] = np.clip(counts, self.low, self.high)
        return made


def rows(packed: NDArray[np.uint8]) -> list[bytes]:
    """(packets, bytes) as one string of bytes each."""
    raw, size = packed.tobytes(), packed.shape[1]
    return [raw[at : at + size] for at in range(0, len(raw), size)]
