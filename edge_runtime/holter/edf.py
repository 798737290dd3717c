"""Write EDF+ with an annotation signal.

By "European data format 'plus' (EDF+)", Kemp and Olivan, Clin Neurophysiol 114:1755 (2003), and
its text at edfplus.info: a header in ASCII, then data records of 16-bit samples, the last signal
of which holds time-stamped annotation lists (TALs).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.ecg.leads import canonical_lead
from edge_runtime.errors import ConfigError

from .part import MAX_COUNT, Lead, Part

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_MAX_RECORD_BYTES = 61_440  # of one data record
_END_OF_TEXT, _END_OF_LIST = b"\x14", b"\x00"
_UNKNOWN_START = "01.01.85"  # EDF+ 2.1.3.3 leaves the choice; the recording field says "X"


def encode_edf(part: Part) -> bytes:
    """The bytes of an EDF+C file.

    Nothing stands for a missing sample in EDF+, so a part with gaps is refused: ConfigError. The
    last data record is filled up with the last sample; "Recording ends" marks the true end.
    """
    if not part.valid.all():
        missing = int(np.flatnonzero(~part.valid)[0]) / part.rate_hz
        raise ConfigError(
            f"{part.record}: misses samples {missing:g} s after the start; EDF+ cannot say so: "
            "export the parts between gaps with --from and --until, or --to wfdb"
        )
    length = _record_length(part.rate_hz, len(part.leads))
    records = -(-len(part.valid) // length)
    lists = _lists(part, records, length)
    width = max(len(text) for text in lists)
    width += width % 2
    notes = np.frombuffer(b"".join(text.ljust(width, b"\0") for text in lists), "<i2")
    columns = [_filled(lead.counts, records * length) for lead in part.leads]
    blocks = [column.reshape(records, length) for column in columns]
    body = np.concatenate([*blocks, notes.reshape(records, width // 2)], axis=1)
    header = _header(part, records, length, width // 2)
    return header.encode("ascii", "replace") + body.astype("<i2").tobytes()


def _record_length(rate_hz: float, leads: int) -> int:
    """Samples of a data record: of a second, or of what makes a whole number of samples."""
    most = _MAX_RECORD_BYTES // 4 // leads  # leaves half of the bytes to annotations
    for seconds in (1, 2, 4, 5, 8, 10, 20, 25, 50, 100):
        samples = rate_hz * seconds
        if abs(samples - round(samples)) < 1e-9 and 0 < samples <= most:
            return round(samples)
    return max(1, min(most, round(rate_hz)))


def _filled(counts: NDArray[np.int16], length: int) -> NDArray[np.int16]:
    return np.concatenate([counts, np.full(length - len(counts), counts[-1], np.int16)])


def _lists(part: Part, records: int, length: int) -> list[bytes]:
    """The annotation bytes of each data record; the first list says when the record starts."""
    offset = part.start.microsecond / 1e6 if part.start else 0.0

    def listed(sample: int, *texts: str) -> bytes:
        onset = f"{offset + sample / part.rate_hz:+.6f}".rstrip("0").rstrip(".")
        parts = [onset.encode(), *(text.encode() for text in texts)]
        return _END_OF_TEXT.join(parts) + _END_OF_TEXT + _END_OF_LIST

    lists = [listed(number * length, "") for number in range(records)]
    if part.marks is not None:
        rows = zip(part.marks.samples.tolist(), part.marks.symbols, part.marks.aux, strict=True)
        for sample, symbol, aux in rows:
            lists[sample // length] += listed(sample, _text(symbol, aux))
    if len(part.valid) % length:
        lists[-1] += listed(len(part.valid), "Recording ends")
    return lists


def _text(symbol: str, aux: str) -> str:
    """A mark as text: its symbol, and its note; without the signs that TALs are built of."""
    text = f"{symbol} {aux}".strip()
    return "".join(sign for sign in text if sign >= " ")


def _header(part: Part, records: int, length: int, note_samples: int) -> str:
    count = len(part.leads) + 1
    fixed = (
        ("0", 8),
        ("X X X X", 80),  # patient: code, sex, birthdate, name
        (f"Startdate {_written_date(part.start)} X X X", 80),
        (part.start.strftime("%d.%m.%y") if part.start else _UNKNOWN_START, 8),
        (part.start.strftime("%H.%M.%S") if part.start else "00.00.00", 8),
        (str(256 * (count + 1)), 8),
        ("EDF+C", 44),
        (str(records), 8),
        (_number(length / part.rate_hz), 8),
        (str(count), 4),
    )
    ranges = [_range(lead) for lead in part.leads]
    columns: list[tuple[list[str], int]] = [
        ([*(f"ECG {canonical_lead(lead.name)}" for lead in part.leads), "EDF Annotations"], 16),
        ([""] * count, 80),
        ([*(unit for unit, _ in ranges), ""], 8),
        ([*(f"-{top}" for _, top in ranges), "-1"], 8),
        ([*(top for _, top in ranges), "1"], 8),
        ([*([str(-MAX_COUNT)] * len(ranges)), "-32768"], 8),
        ([*([str(MAX_COUNT)] * len(ranges)), "32767"], 8),
        ([""] * count, 80),
        ([*([str(length)] * len(ranges)), str(note_samples)], 8),
        ([""] * count, 32),
    ]
    fields = [*fixed, *((text, width) for texts, width in columns for text in texts)]
    return "".join(text[:width].ljust(width) for text, width in fields)


def _written_date(start: datetime | None) -> str:
    return f"{start.day:02}-{_MONTHS[start.month - 1]}-{start.year:04}" if start else "X"


def _range(lead: Lead) -> tuple[str, str]:
    """Unit and the value of the largest count in it, in as many digits as the field takes."""
    top_mv = MAX_COUNT / lead.per_mv
    return ("mV", _number(top_mv)) if top_mv >= 1 else ("uV", _number(1e3 * top_mv))


def _number(value: float) -> str:
    """A number in seven signs, which leave room for a minus."""
    for digits in range(7, -1, -1):
        text = f"{value:.{digits}f}"
        if len(text) <= 7:
            return text.rstrip("0").rstrip(".") if "." in text else text
    raise ConfigError(f"{value:g}: is too large for EDF+")
