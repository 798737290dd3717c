"""Noise at a stated signal-to-noise ratio, after the convention of the noise stress test database.

SNR = 10 log10(S / N). S is the square of the mean peak-to-peak height of the QRS, over 8; N the
square of the mean size of the noise within seconds (root mean square less the second's own mean),
so that slow wander counts little. Of both means a twentieth is cut off at either end (Moody,
Muldrow, Mark, Computers in Cardiology 11:381, 1984; nst(1) and sigamp(1) of WFDB). S is measured
for each lead on its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.ecg.qrs import QrsDetector
from edge_runtime.errors import ConfigError

from .recording import Recording, Wanted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from .recording import Block

    Reals = NDArray[np.float64]

MEASURE_S = 300.0  # of the record, for the size of its QRS
QRS_S = 0.05  # half width of what is looked at around an R peak
MOST_BEATS = 300  # and seconds of noise
LEAST_BEATS = 5


def qrs_power(blocks: Iterable[Block], rate_hz: float) -> Reals:
    """S of each lead, (leads,) in mV squared, from the first minutes. Raises ConfigError."""
    pieces: list[Reals] = []
    count = 0
    for block in blocks:
        pieces.append(np.asarray(block.data, np.float64))
        count += len(block.data)
        if count >= MEASURE_S * rate_hz:
            break
    signal = np.concatenate(pieces)
    detector, half = QrsDetector(rate_hz), round(QRS_S * rate_hz)
    peaks = [*detector.feed(signal[:, 0]), *detector.flush()][:MOST_BEATS]
    heights = [np.ptp(signal[max(0, p - half) : p + half + 1], axis=0) for p in peaks]
    if len(heights) < LEAST_BEATS:
        raise ConfigError("noise: too few beats in the record to say how strong its signal is")
    return np.asarray(np.square(trimmed_mean(np.array(heights))) / 8)


def size(noise: Reals, rate_hz: float) -> Reals:
    """The root of N, (columns,), of noise (samples, columns) of a second or more."""
    second = round(rate_hz)
    whole = noise[: len(noise) // second * second].reshape(-1, second, noise.shape[1])[:MOST_BEATS]
    return trimmed_mean(np.std(whole, axis=1))


def trimmed_mean(values: Reals) -> Reals:
    """Of each column, without the largest and the smallest twentieth."""
    cut = len(values) // 20
    return np.asarray(np.sort(values, axis=0)[cut : len(values) - cut].mean(axis=0))


class Noise:
    """Adds noise to samples by their number, so that it does not depend on how they are cut.

    Args:
        noise: (samples, columns) of unit size; it is repeated, each lead has its column.
        gain: (leads,) in mV.
        offset: the sample of it that stands at sample 0.
    """

    def __init__(self, noise: Reals, gain: Reals, offset: int) -> None:
        self.noise, self._gain, self.offset = noise, gain, offset

    def __call__(self, block: Block) -> Reals:
        """(samples, leads) in mV to be added to a block."""
        rows = (np.arange(block.first, block.stop) + self.offset) % len(self.noise)
        columns = np.arange(block.data.shape[1]) % self.noise.shape[1]
        return np.asarray(self.noise[rows][:, columns] * self._gain)


def make(
    name: str, level_db: float, power: Reals, rate_hz: float, source: tuple[str, int]
) -> Noise:
    """Noise of one kind at one level.

    Args:
        name: "white", or a record of the database: "bw", "ma", "em".
        level_db: signal-to-noise ratio.
        power: S of each lead.
        rate_hz: of the stream.
        source: folder of the noise records, and the seed.

    Raises ConfigError.
    """
    folder, seed = source
    random = np.random.default_rng([seed, 5])
    if name == "white":
        noise = random.standard_normal((round(600 * rate_hz), len(power)))
    else:
        noise = _recorded(folder, name, rate_hz)
    noise -= noise.mean(axis=0)
    noise /= size(noise, rate_hz)
    gain = np.sqrt(power / 10 ** (level_db / 10))
    return Noise(noise, gain, int(random.integers(len(noise))))


def _recorded(folder: str, name: str, rate_hz: float) -> Reals:
    if not folder:
        raise ConfigError(f"noise={name}: say where its record is: --noise-from path/to/nstdb")
    recording = Recording(Wanted(str(Path(folder) / name), rate_hz=rate_hz))
    recording.open()
    return np.concatenate([block.data for block in recording.blocks()]).astype(np.float64)
