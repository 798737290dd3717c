"""Read the waveforms of a DICOM file: leads, scale, filters and samples.

The attributes are those of PS3.3 of the DICOM standard, section C.10.9; pydicom decodes the file.
It comes from outside: what cannot be is a ConfigError, and nothing that is packed is unpacked.
"""

from __future__ import annotations

import io
import re
import stat
import struct
import warnings
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_runtime.errors import ConfigError, MissingExtraError
from edge_runtime.sources.leads import MV_PER_UNIT, tidy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Samples = NDArray[np.integer[Any]]

MAX_BYTES = 256 << 20  # the file is held as a whole: 12 leads of 16 bits at 500 Hz for 6 hours
MAX_CHANNELS = 1024
MIN_RATE_HZ, MAX_RATE_HZ = 1e-3, 1e6
_DEFLATED = b"1.2.840.10008.1.2.1.99"  # would be unpacked to any size
_PLAIN = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")  # implicit and explicit, little endian
_TYPES = {"SB": "i1", "UB": "u1", "SS": "<i2", "US": "<u2", "SL": "<i4", "UL": "<u4"}
# Codes of leads, "2:1" in IEEE 11073-10101 (MDC) and "5.6.3-9-1" in SCP-ECG (PS3.16, CID 3001).
_CODE = re.compile(r"(?:2:|5\.6\.3-9-)(\d{1,3})", re.ASCII)
_LEADS = {1: "I", 2: "II", 61: "III", 62: "aVR", 63: "aVL", 64: "aVF"}
_LEADS |= {2 + n: f"V{n}" for n in range(1, 7)}
_TIME = re.compile(r"(\d{14})(?:\.(\d{1,6}))?([+-]\d{4})?", re.ASCII)
# What pydicom raises for files that are damaged or were made to do harm.
_DAMAGE = (
    *(AttributeError, EOFError, KeyError, IndexError, NotImplementedError, OverflowError),
    *(MemoryError, OSError, RecursionError, TypeError, ValueError, struct.error),
)


@dataclass(frozen=True, slots=True)
class Channel:
    """One lead. A sample in mV is (stored * gain + baseline) * mv_per_unit."""

    lead: str
    unit: str
    gain: float | None  # None: not calibrated
    baseline: float
    skew_s: float  # by which its samples are later than the group's
    highpass_hz: float | None  # None: the file does not say

    @property
    def mv_per_unit(self) -> float | None:
        """Millivolts in one physical unit; None when the channel is no voltage."""
        return MV_PER_UNIT.get(self.unit.lower())


@dataclass(frozen=True, slots=True)
class Waveform:
    """A multiplex group: channels that were sampled together."""

    label: str
    original: bool  # False: derived, such as a median beat
    rate_hz: float
    channels: tuple[Channel, ...]
    stored: Samples  # (samples, channels)
    padding: int | None  # the stored value that says "no sample here"
    start: datetime | None


def read_waveforms(path: Path) -> tuple[Waveform, ...]:
    """Every waveform of a file, in its order. Raises ConfigError, MissingExtraError."""
    try:
        import pydicom
        from pydicom.errors import BytesLengthException, InvalidDicomError
    except ImportError as exc:
        raise MissingExtraError("source dicom-ecg", "dicom", exc) from exc
    raw = _bytes(path)
    if raw[128:132] != b"DICM":
        raise ConfigError(f"{path}: is no DICOM file")
    if _DEFLATED in raw:
        raise ConfigError(f"{path}: is deflated, which edge-run does not read; inflate it first")
    tags = ["WaveformSequence", "AcquisitionDateTime", "TimezoneOffsetFromUTC"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, about values that are not used here
        try:
            file = pydicom.dcmread(io.BytesIO(raw), specific_tags=tags)
            syntax = str(file.file_meta.get("TransferSyntaxUID", "none"))
            if syntax not in _PLAIN:
                raise ConfigError(f"{path}: transfer syntax {syntax!a} is not read here")
            groups = file.get("WaveformSequence") or ()
            return tuple(_waveform(group, _start(file), str(path)) for group in groups)
        except (*_DAMAGE, BytesLengthException, InvalidDicomError) as exc:
            raise ConfigError(f"{path}: is damaged: {ascii(str(exc))[:200]}") from exc


def _bytes(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{path}: is not a file")
        if status.st_size > MAX_BYTES:
            raise ConfigError(f"{path}: {status.st_size} bytes are more than edge-run reads")
        return path.read_bytes()
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc


def _waveform(group: Any, start: datetime | None, file: str) -> Waveform:
    """A multiplex group. Raises ConfigError, and of _DAMAGE what reading it meets."""
    rate_hz = _number(group, "SamplingFrequency")
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise ConfigError(f"{file}: {rate_hz:g} Hz is no sampling rate")
    channels, samples = int(group.NumberOfWaveformChannels), int(group.NumberOfWaveformSamples)
    if not 1 <= channels <= MAX_CHANNELS or samples < 1:
        raise ConfigError(f"{file}: a waveform of {channels} x {samples} samples cannot be")
    kind = str(group.WaveformSampleInterpretation)
    if kind not in _TYPES:
        raise ConfigError(f"{file}: samples of the kind {kind[:8]!a} are not read here")
    dtype = np.dtype(_TYPES[kind])
    data, size = bytes(group.WaveformData), channels * samples * dtype.itemsize
    if len(data) < size:
        raise ConfigError(f"{file}: holds {len(data)} of {size} bytes of samples; it is cut short")
    definitions = list(group.ChannelDefinitionSequence)
    if len(definitions) != channels:
        raise ConfigError(f"{file}: describes {len(definitions)} of {channels} channels")
    offset_ms = _number(group, "MultiplexGroupTimeOffset", 0.0)
    return Waveform(
        label=tidy(str(group.get("MultiplexGroupLabel") or "")),
        original=str(group.get("WaveformOriginality")) == "ORIGINAL",
        rate_hz=rate_hz,
        channels=tuple(_channel(item, i, rate_hz) for i, item in enumerate(definitions)),
        stored=np.frombuffer(data[:size], dtype).reshape(samples, channels),
        padding=_padding(group, dtype),
        start=start and start + timedelta(milliseconds=offset_ms),
    )


def _channel(item: Any, index: int, rate_hz: float) -> Channel:
    gain = None
    if item.get("ChannelSensitivity") is not None:
        gain = _number(item, "ChannelSensitivity")
        gain *= _number(item, "ChannelSensitivityCorrectionFactor", 1.0)
        if not 1e-15 < abs(gain) < 1e15:
            raise ValueError(f"a channel's sensitivity is {gain:g}")
    units: Sequence[Any] = item.get("ChannelSensitivityUnitsSequence") or ()
    skew_s = _number(item, "ChannelTimeSkew", 0.0)
    low_hz = item.get("FilterLowFrequency")
    return Channel(
        lead=_lead(item, index),
        unit=tidy(str(units[0].CodeValue)) if len(units) else "",
        gain=gain,
        baseline=_number(item, "ChannelBaseline", 0.0),
        skew_s=skew_s or _number(item, "ChannelSampleSkew", 0.0) / rate_hz,
        highpass_hz=None if low_hz is None else _number(item, "FilterLowFrequency"),
    )


def _lead(item: Any, index: int) -> str:
    """The name by the source's code, else by what that code means, else the channel's label."""
    sources: Sequence[Any] = item.get("ChannelSourceSequence") or ()
    source = sources[0] if len(sources) else {}
    found = _CODE.fullmatch(str(source.get("CodeValue", "")).strip())
    if found and int(found[1]) in _LEADS:
        return _LEADS[int(found[1])]
    named = str(source.get("CodeMeaning", "") or item.get("ChannelLabel", "") or "")
    return tidy(named) or f"channel {index}"


def _padding(group: Any, dtype: np.dtype[Any]) -> int | None:
    written = group.get("WaveformPaddingValue")
    if not isinstance(written, bytes) or len(written) < dtype.itemsize:
        return None
    return int(np.frombuffer(written[: dtype.itemsize], dtype)[0])


def _number(item: Any, keyword: str, default: float | None = None) -> float:
    """A finite number. Raises ValueError."""
    written = item.get(keyword)
    if written is None and default is not None:
        return default
    value = float(written)
    if not abs(value) < 1e15:
        raise ValueError(f"{keyword} is {value:g}")
    return value


def _start(file: Any) -> datetime | None:
    """When the recording began; UTC where the file names no zone, None where it has no time."""
    found = _TIME.fullmatch(str(file.get("AcquisitionDateTime") or "").strip())
    if found is None:
        return None
    zone = found[3] or str(file.get("TimezoneOffsetFromUTC") or "+0000").strip()
    try:
        start = datetime.strptime(f"{found[1]}{zone}", "%Y%m%d%H%M%S%z")
    except ValueError:
        return None
    return start.replace(microsecond=int((found[2] or "0").ljust(6, "0")))
