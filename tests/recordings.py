"""Writes ECG recordings in the formats that sources read, from their specifications."""

from __future__ import annotations

from pathlib import Path

import numpy as np

UV_PER_COUNT = 1.0
LOW, HIGH = -32768, 32767


def edf(
    digital: np.ndarray,
    leads: tuple[str, ...],
    *,
    rate_hz: int = 500,
    record_s: str = "1",
    onsets_s: tuple[str, ...] = (),
    bdf: bool = False,
    changes: dict[tuple[int, int], str] | None = None,
) -> bytes:
    """An EDF or BDF file of (samples, leads) counts of 1 uV; with `onsets_s` it is EDF+D.

    `changes` overwrites fields of the header: (first byte, width) to text.
    """
    per_record = round(rate_hz * float(record_s))
    records = len(digital) // per_record
    size, notes = (3 if bdf else 2), 40 if onsets_s else 0
    low, high = (-8388608, 8388607) if bdf else (LOW, HIGH)
    names = [*leads, *(["EDF Annotations"] if notes else [])]
    ranges = [(low, high)] * len(leads) + [(-1, 1)] * bool(notes)
    columns = [
        [(16, name) for name in names],
        [(80, "AgAgCl electrode") for _ in names],
        [(8, "uV" if name in leads else "") for name in names],
        [(8, f"{bottom}") for bottom, _ in ranges],
        [(8, f"{top}") for _, top in ranges],
        [(8, f"{low}") for _ in names],
        [(8, f"{high}") for _ in names],
        [(80, "HP:0.05Hz LP:150Hz" if name in leads else "") for name in names],
        [(8, str(per_record if name in leads else notes)) for name in names],
        [(32, "") for _ in names],
    ]
    fixed = [(80, "X X X X"), (80, "Startdate 02-MAR-2021 X X X"), (8, "02.03.21"), (8, "10.20.30")]
    fixed += [(8, str(256 + 256 * len(names))), (44, "EDF+D" if notes else "")]
    fixed += [(8, str(records)), (8, record_s), (4, str(len(names)))]
    fields = [*fixed, *(field for column in columns for field in column)]
    text = "".join(field.ljust(width) for width, field in fields)
    head = bytearray((b"\xffBIOSEMI" if bdf else b"0       ") + text.encode("latin-1"))
    for (at, width), field in (changes or {}).items():
        head[at : at + width] = field.ljust(width).encode("latin-1")
    body = [bytes(head)]
    for record in range(records):
        part = digital[record * per_record : (record + 1) * per_record].T.astype("<i4")
        raw = part[:, :, None].view(np.uint8).reshape(*part.shape, 4)[:, :, :size]
        body.append(raw.tobytes())
        if notes:
            body.append(f"+{onsets_s[record]}\x14\x14\x00".encode().ljust(notes * size, b"\x00"))
    return b"".join(body)


_SCP_CODES = {"I": 1, "II": 2, "III": 61, "aVR": 62, "aVL": 63, "aVF": 64}
_SCP_CODES |= {f"V{n}": 2 + n for n in range(1, 7)}


def dicom(path: Path, stored: np.ndarray, leads: tuple[str, ...], *, rate_hz: int = 500) -> None:
    """A 12-lead ECG of (samples, leads) counts of 0.5 uV with a correction factor of 2.

    Every lead's baseline is 100 uV, which the counts must make up for.
    """
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset

    def item(**values: object) -> Dataset:
        made = Dataset()
        for keyword, value in values.items():
            setattr(made, keyword, value)
        return made

    def channel(lead: str) -> Dataset:
        source = item(CodeValue=f"5.6.3-9-{_SCP_CODES[lead]}", CodingSchemeDesignator="SCPECG")
        unit = item(CodeValue="uV", CodingSchemeDesignator="UCUM")
        return item(
            ChannelLabel="no help",
            ChannelSourceSequence=[source],
            ChannelSensitivity="0.5",
            ChannelSensitivityUnitsSequence=[unit],
            ChannelSensitivityCorrectionFactor="2",
            ChannelBaseline="100",
            FilterLowFrequency="0.05",
            WaveformBitsStored=16,
        )

    def group(originality: str, samples: np.ndarray) -> Dataset:
        return item(
            WaveformOriginality=originality,
            NumberOfWaveformChannels=len(leads),
            NumberOfWaveformSamples=len(samples),
            SamplingFrequency=str(rate_hz),
            MultiplexGroupLabel=originality,
            ChannelDefinitionSequence=[channel(lead) for lead in leads],
            WaveformBitsAllocated=16,
            WaveformSampleInterpretation="SS",
            WaveformPaddingValue=np.int16(-32768).tobytes(),
            WaveformData=samples.astype("<i2").tobytes(),
        )

    file = item(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.9.1.1",
        SOPInstanceUID="1.2.3",
        AcquisitionDateTime="20210302102030.250000+0100",
        WaveformSequence=[group("DERIVED", stored[:600]), group("ORIGINAL", stored)],
    )
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID
    file.save_as(path, enforce_file_format=True)


def csv(mv: np.ndarray, leads: tuple[str, ...]) -> str:
    """A table of (samples, leads) in mV."""
    rows = [",".join(f"{value:.4f}" for value in row) for row in mv]
    return "\n".join([",".join(leads), *rows]) + "\n"
