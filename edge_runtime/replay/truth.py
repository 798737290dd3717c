"""What really happened, a line of JSON each: beats, faults, and what was sent.

    {"what":"start","record":"100","as":"ad8232","rate_hz":360.0,"began_ns":...,"speed":1.0}
    {"what":"beat","sample":77,"time_s":0.213889,"label":"N"}
    {"what":"fault","fault":"gap","phase":"begin","sample":21600,"time_s":60.0}
    {"what":"end","samples":...,"packets":...,"bytes":...,"lost_bytes":...}

`time_s` is time of the signal after its first sample, as a right clock has it; wall time is
`began_ns` + `time_s` / `speed`. Lines come in the order of samples, those of beats before the
samples are sent.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO

from edge_runtime.errors import ConfigError


class Truth:
    """Writes the lines; with no path it only counts what was sent."""

    def __init__(self, path: Path | None) -> None:
        self._file: IO[str] | None = None
        if path is not None:
            try:
                self._file = path.open("w", encoding="utf-8")
            except OSError as exc:
                raise ConfigError(f"--truth: {path}: {exc.strerror}") from exc

    def write(self, what: str, **facts: object) -> None:
        """Write a line."""
        if self._file is not None:
            document = json.dumps({"what": what, **facts}, separators=(",", ":"))
            self._file.write(document + "\n")

    def flush(self) -> None:
        """Hand what was written to the system, so that others can read it."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
