"""Score the QRS detector on the MIT-BIH Arrhythmia Database, record by record.

    python benchmarks/qrs_mitdb.py path/to/mitdb [--rate 250] [--json FILE]

Protocol: 48 records, MLII (else the first lead), fed in frames of 40 ms; a beat matches within
150 ms; the first 5 minutes are not scored; stretches of ventricular flutter are left out
(ANSI/AAMI EC57, with a matcher of our own: `bxb` is the judge that the standard names). With
--rate, records are resampled by the device's own resampler first.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime.ecg.matching import AAMI, flutter_spans, match_beats
from edge_runtime.ecg.qrs import QrsDetector
from edge_runtime.ecg.resampler import Resampler
from edge_runtime.sources.wfdb_annotations import read_annotations
from edge_runtime.sources.wfdb_format import read_header
from edge_runtime.sources.wfdb_record import open_record

_MATCH_S, _LEARN_S, _CHUNK_S = 0.150, 300.0, 0.040


@dataclass(frozen=True, slots=True)
class Row:
    """One record. Times in ms: detection less annotation; delay from R peak to decision."""

    record: str
    lead: str
    right: int
    missed: int
    false: int
    bias_ms: float
    spread_ms: float
    delay_ms: float
    late_percent: float  # beats that were decided later than 350 ms
    cpu_s: float
    errors_ms: tuple[float, ...]

    @property
    def sensitivity(self) -> float:
        return 100 * self.right / max(1, self.right + self.missed)

    @property
    def predictivity(self) -> float:
        return 100 * self.right / max(1, self.right + self.false)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of the records")
    parser.add_argument("--rate", type=float, default=0.0, help="resample to this rate first")
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args()
    names = sorted(file.stem for file in options.folder.glob("*.hea"))
    print("record lead    Se %    +P %  missed false  bias  spread  delay  late%   CPU s")
    rows = []
    for name in names:
        row = score(options.folder, name, options.rate)
        rows.append(row)
        print(
            f"{row.record:6} {row.lead:5} {row.sensitivity:6.2f}  {row.predictivity:6.2f} "
            f"{row.missed:6} {row.false:6} {row.bias_ms:5.1f} {row.spread_ms:6.1f} "
            f"{row.delay_ms:6.0f} {row.late_percent:6.2f} {row.cpu_s:7.2f}",
            flush=True,
        )
    right, missed, false = (
        sum(getattr(row, k) for row in rows) for k in ("right", "missed", "false")
    )
    errors = np.concatenate([row.errors_ms for row in rows])
    print(
        f"gross: Se {100 * right / (right + missed):.3f} %, "
        f"+P {100 * right / (right + false):.3f} %, missed {missed}, false {false} of "
        f"{right + missed}; R time median {np.median(errors):.1f} ms, "
        f"median of the size {np.median(np.abs(errors)):.1f} ms, sd {errors.std():.1f} ms"
    )
    if options.json:
        rows_json = [{k: v for k, v in asdict(r).items() if k != "errors_ms"} for r in rows]
        options.json.write_text(json.dumps(rows_json, indent=1) + "\n", encoding="utf-8")


def score(folder: Path, name: str, rate_hz: float) -> Row:
    """Detect and compare one record."""
    header = read_header(folder / name)
    leads = [spec.lead for spec in header.signals]
    lead = "MLII" if "MLII" in leads else leads[0]
    record = open_record(folder / name, [lead])
    signal = np.concatenate([block.mv for block in record.blocks(0, header.frames or 0)])[:, 0]
    signal, native_hz = signal.astype(np.float64), header.rate_hz
    rate_hz = rate_hz or native_hz
    if rate_hz != native_hz:
        signal = Resampler(native_hz, rate_hz).feed(signal[:, None])[0][:, 0]
    marks = read_annotations(folder / f"{name}.atr")
    started = time.process_time()
    timed = list(_detect(signal, rate_hz))
    cpu_s = time.process_time() - started
    at_s = marks.samples / native_hz
    spans = flutter_spans(marks.samples.tolist(), marks.symbols)
    outside = [(start / native_hz - _MATCH_S, end / native_hz + _MATCH_S) for start, end in spans]
    pairs = zip(at_s.tolist(), marks.symbols, strict=True)
    reference = [at for at, symbol in pairs if symbol in AAMI and _scored(at, outside)]
    found = [(peak / rate_hz, delay) for peak, delay in timed if _scored(peak / rate_hz, outside)]
    scale = 1e6  # the matcher counts whole numbers: microseconds here
    matched = match_beats(
        [round(at * scale) for at in reference],
        [round(at * scale) for at, _ in found],
        round(_MATCH_S * scale),
    )
    errors = [1e3 * (found[j][0] - reference[i]) for i, j in matched]
    delays = np.array([1e3 * delay for _, delay in found])
    return Row(
        name,
        lead,
        len(matched),
        len(reference) - len(matched),
        len(found) - len(matched),
        float(np.median(errors)),
        float(np.std(errors)),
        float(np.median(delays)),
        float(100 * np.mean(delays > 350)),
        cpu_s,
        tuple(errors),
    )


def _detect(signal: NDArray[np.float64], rate_hz: float) -> Iterator[tuple[int, float]]:
    """R peaks, each with the seconds from it to the end of the frame that decided it."""
    detector = QrsDetector(rate_hz)
    chunk = max(1, round(_CHUNK_S * rate_hz))
    for at in range(0, len(signal), chunk):
        piece = signal[at : at + chunk]
        for peak in detector.feed(piece):
            yield peak, (at + len(piece) - peak) / rate_hz
    yield from ((peak, 0.0) for peak in detector.flush())


def _scored(at_s: float, outside: list[tuple[float, float]]) -> bool:
    return at_s >= _LEARN_S and not any(start <= at_s <= end for start, end in outside)


if __name__ == "__main__":
    main()
