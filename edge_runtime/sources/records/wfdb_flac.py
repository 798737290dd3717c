"""Read the adc counts of a WFDB signal file in a FLAC format, a block at a time.

Formats 508, 516 and 524 of signal(5) are FLAC streams of at most 8, 16 and 24 bits with a channel
per signal; libsndfile decodes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edge_runtime.errors import ConfigError, MissingExtraError, SourceLostError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from .wfdb_format import SignalSpec

    Counts = NDArray[np.int64]

FLAC_BITS = {508: 8, 516: 16, 524: 24}
BLOCK_SAMPLES = 32_768
_STREAM_BITS = {"PCM_S8": 8, "PCM_16": 16, "PCM_24": 24}


class FlacFile:
    """One signal file, see `SignalFile`.

    Raises ConfigError when the file is missing, damaged, shorter than `frames`, or not what the
    header says; MissingExtraError.
    """

    def __init__(self, path: Path, signals: Sequence[SignalSpec], frames: int | None) -> None:
        self.path, self.signals = path, tuple(signals)
        spec = self.signals[0]
        kinds = {(s.format, s.offset_bytes, s.samples_per_frame, s.skew) for s in signals}
        if len(kinds) > 1 or spec.skew:
            raise ConfigError(f"{path}: signals of a FLAC file must not differ in rate or time")
        self._per_frame, self._offset = spec.samples_per_frame, spec.offset_bytes  # in samples
        try:
            with self._open() as file:
                bits, channels = _STREAM_BITS.get(file.subtype, 32), file.channels
                held = max(0, file.frames - self._offset) // self._per_frame
        except (OSError, RuntimeError) as exc:
            raise ConfigError(f"{path}: {_reason(exc)}") from exc
        if bits > FLAC_BITS[spec.format] or channels != len(signals):
            raise ConfigError(
                f"{path}: holds {channels} signals of {bits} bits, not {len(signals)} of"
                f" {FLAC_BITS[spec.format]}"
            )
        self._shift = 32 - bits
        self.frames = held if frames is None else frames
        if held < self.frames:
            raise ConfigError(
                f"{path}: holds {held} of the {self.frames} frames that the header promises; the"
                " file is cut short or belongs to another header"
            )

    def blocks(self, picked: Sequence[int], first: int, stop: int) -> Iterator[Counts]:
        """The counts of frames `first` to `stop`, (samples, picked signals), in blocks.

        Raises SourceLostError when the file cannot be read any more.
        """
        step = max(1, BLOCK_SAMPLES // (self._per_frame * len(self.signals)))
        try:
            with self._open() as file:
                file.seek(self._offset + first * self._per_frame)
                for frame in range(first, stop, step):
                    count = min(step, stop - frame) * self._per_frame
                    read = file.read(count, dtype="int32", always_2d=True)
                    if len(read) < count:
                        raise SourceLostError(f"{self.path}: ended while it was read")
                    yield (read[:, list(picked)] >> self._shift).astype(np.int64)
        except (OSError, RuntimeError) as exc:
            raise SourceLostError(f"{self.path}: {_reason(exc)}") from exc

    def _open(self) -> Any:
        try:
            import soundfile
        except ImportError as exc:
            raise MissingExtraError("a WFDB record in FLAC", "flac", exc) from exc
        except OSError as exc:  # the wheel of some boards comes without the library
            raise ConfigError(f"{self.path}: FLAC needs libsndfile: {exc}") from exc
        if not self.path.is_file():
            raise ConfigError(f"{self.path}: is not a file")
        with self.path.open("rb") as file:
            if file.read(4) != b"fLaC":  # libsndfile would take any kind of sound
                raise ConfigError(f"{self.path}: is no FLAC file")
        return soundfile.SoundFile(str(self.path))


def _reason(exc: Exception) -> str:
    """What libsndfile says, without the path and on one line."""
    return " ".join(str(exc).rpartition("': ")[2].split())[:200]
