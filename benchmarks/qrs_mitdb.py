"""Score the QRS detector on the MIT-BIH Arrhythmia Database, record by record.

    python benchmarks/qrs_mitdb.py path/to/mitdb [--rate 250] [--only 118,119]
        [--noise path/to/nstdb/ma --snr 12] [--json FILE]

Protocol: 48 records, MLII (else the first lead), fed in frames of 40 ms; a beat matches within
150 ms; the first 5 minutes are not scored; stretches of ventricular flutter are left out
(ANSI/AAMI EC57, with a matcher of our own: `bxb` is the judge that the standard names). With
--rate, records are resampled by the device's own resampler first. With --noise, the first signal
of that record is added from 5 minutes on, 2 minutes on and 2 off (Moody, Muldrow and Mark,
Computers in Cardiology 11:381, 1984).
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
from edge_runtime.sources.records.wfdb_annotations import Annotations, read_annotations
from edge_runtime.sources.records.wfdb_format import read_header
from edge_runtime.sources.records.wfdb_record import open_record

Reals = NDArray[np.float64]

_MATCH_S, _LEARN_S, _CHUNK_S = 0.150, 300.0, 0.040
_FLOOR_MS, _GOAL_MS = 350, 250


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
    delays_ms: tuple[float, ...]  # of the beats that were not found by looking back,
    late_ms: tuple[float, ...]  # and of those that were
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
    parser.add_argument("--only", default="", help="records, separated by commas")
    parser.add_argument("--noise", type=Path, help="record of the noise to add")
    parser.add_argument("--snr", type=float, default=24.0, help="signal to noise, dB")
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args()
    names = sorted(file.stem for file in options.folder.glob("*.hea"))
    if options.only:
        names = [name for name in names if name in options.only.split(",")]
    noise = _signal(options.noise, None) if options.noise else None
    print("record lead    Se %    +P %  missed false  bias  spread  delay   95 %   CPU s")
    rows = []
    for name in names:
        row = score(options.folder, name, options.rate, noise, options.snr)
        rows.append(row)
        print(
            f"{row.record:6} {row.lead:5} {row.sensitivity:6.2f}  {row.predictivity:6.2f} "
            f"{row.missed:6} {row.false:6} {row.bias_ms:5.1f} {row.spread_ms:6.1f} "
            f"{np.median(row.delays_ms):6.0f} {np.percentile(row.delays_ms, 95):6.0f} "
            f"{row.cpu_s:7.2f}",
            flush=True,
        )
    print(_totals(rows))
    if options.json:
        rows_json = [{k: v for k, v in asdict(r).items() if not k.endswith("s_ms")} for r in rows]
        options.json.write_text(json.dumps(rows_json, indent=1) + "\n", encoding="utf-8")


def _totals(rows: list[Row]) -> str:
    right, missed, false = (
        sum(getattr(row, k) for row in rows) for k in ("right", "missed", "false")
    )
    errors = np.concatenate([row.errors_ms for row in rows])
    prompt = np.concatenate([row.delays_ms for row in rows])
    late = np.concatenate([row.late_ms for row in rows])
    caught, sure = 100 * right / (right + missed), 100 * right / (right + false)
    slow, slower = (100 * np.mean(prompt > limit) for limit in (_GOAL_MS, _FLOOR_MS))
    middle, size = np.median(errors), np.median(np.abs(errors))
    lines = [
        f"gross: Se {caught:.3f} %, +P {sure:.3f} %, missed {missed}, false {false}",
        f"R time: median {middle:.1f} ms, of its size {size:.1f} ms, sd {errors.std():.1f} ms",
        f"delay: median {np.median(prompt):.0f} ms, 95 % {np.percentile(prompt, 95):.0f} ms",
        f"       maximum {prompt.max():.0f} ms",
        f"       {slow:.2f} % over {_GOAL_MS} ms, {slower:.2f} % over {_FLOOR_MS} ms",
    ]
    if len(late):
        share = 100 * len(late) / (len(late) + len(prompt))
        lines.append(
            f"by looking back: {share:.2f} % of the beats, median {np.median(late):.0f} ms, "
            f"95 % {np.percentile(late, 95):.0f} ms, maximum {late.max():.0f} ms"
        )
    return "\n".join(lines)


def score(
    folder: Path, name: str, rate_hz: float, noise: Reals | None = None, snr_db: float = 0.0
) -> Row:
    """Detect and compare one record."""
    header = read_header(folder / name)
    leads = [spec.lead for spec in header.signals]
    lead = "MLII" if "MLII" in leads else leads[0]
    signal, native_hz = _signal(folder / name, lead), header.rate_hz
    rate_hz = rate_hz or native_hz
    if noise is not None:
        signal = _noisy(signal, read_annotations(folder / f"{name}.atr"), noise, snr_db, native_hz)
    if rate_hz != native_hz:
        signal = Resampler(native_hz, rate_hz).feed(signal[:, None])[0][:, 0]
    marks = read_annotations(folder / f"{name}.atr")
    started = time.process_time()
    timed = sorted(_detect(signal, rate_hz))
    cpu_s = time.process_time() - started
    at_s = marks.samples / native_hz
    spans = flutter_spans(marks.samples.tolist(), marks.symbols)
    outside = [(start / native_hz - _MATCH_S, end / native_hz + _MATCH_S) for start, end in spans]
    pairs = zip(at_s.tolist(), marks.symbols, strict=True)
    reference = [at for at, symbol in pairs if symbol in AAMI and _scored(at, outside)]
    found = [beat for beat in timed if _scored(beat[0], outside)]
    scale = 1e6  # the matcher counts whole numbers: microseconds here
    matched = match_beats(
        [round(at * scale) for at in reference],
        [round(at * scale) for at, _, _ in found],
        round(_MATCH_S * scale),
    )
    errors = [1e3 * (found[j][0] - reference[i]) for i, j in matched]
    return Row(
        name,
        lead,
        len(matched),
        len(reference) - len(matched),
        len(found) - len(matched),
        float(np.median(errors)),
        float(np.std(errors)),
        tuple(1e3 * delay for _, delay, late in found if not late),
        tuple(1e3 * delay for _, delay, late in found if late),
        cpu_s,
        tuple(errors),
    )


def _signal(path: Path, lead: str | None) -> Reals:
    """(samples,) of a lead, of the first one without a name."""
    header = read_header(path)
    record = open_record(path, [lead or header.signals[0].lead])
    blocks = [block.mv for block in record.blocks(0, header.frames or 0)]
    return np.concatenate(blocks)[:, 0].astype(np.float64)


def _noisy(signal: Reals, marks: Annotations, noise: Reals, snr_db: float, rate_hz: float) -> Reals:
    """As `nst` mixes: power of the QRS from its height, power of the noise from seconds of it."""
    near, second = round(0.05 * rate_hz), round(rate_hz)
    pairs = zip(marks.samples.tolist(), marks.symbols, strict=True)
    beats = [at for at, symbol in pairs if symbol in AAMI and at > near][:300]
    heights = [float(np.ptp(signal[at - near : at + near])) for at in beats]
    spreads = noise[: 300 * second].reshape(-1, second).std(axis=1)
    power = _trimmed_mean(heights) ** 2 / 8
    gain = np.sqrt(power / _trimmed_mean(spreads.tolist()) ** 2 * 10 ** (-snr_db / 10))
    time_s = np.arange(len(signal)) / rate_hz
    on = (time_s >= _LEARN_S) & ((time_s - _LEARN_S) // 120 % 2 == 0)
    return np.asarray(signal + gain * on * np.resize(noise, len(signal)))


def _trimmed_mean(values: list[float]) -> float:
    """Without the smallest and the largest twentieth."""
    cut = len(values) // 20
    return float(np.mean(sorted(values)[cut : len(values) - cut]))


def _detect(signal: Reals, rate_hz: float) -> Iterator[tuple[float, float, bool]]:
    """Seconds of an R peak, from it to the end of the frame that decided it, whether it is late."""
    detector = QrsDetector(rate_hz)
    chunk = max(1, round(_CHUNK_S * rate_hz))
    for at in range(0, len(signal), chunk):
        piece = signal[at : at + chunk]
        for peak in detector.find(piece):
            yield (
                peak.position / rate_hz,
                (at + len(piece) - peak.position) / rate_hz,
                peak.late,
            )
    yield from ((peak.position / rate_hz, 0.0, True) for peak in detector.finish())


def _scored(at_s: float, outside: list[tuple[float, float]]) -> bool:
    return at_s >= _LEARN_S and not any(start <= at_s <= end for start, end in outside)


if __name__ == "__main__":
    main()
