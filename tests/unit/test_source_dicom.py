"""Source `dicom-ecg`: waveforms of DICOM files, against pydicom's own decoding."""

from __future__ import annotations

import functools
import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_runtime.errors import BadOptionError, ConfigError, EndOfStream, SourceLostError
from edge_runtime.frame import Frame
from edge_runtime.sources.records.dicom_ecg import DicomEcg
from tests.needs import missing
from tests.recordings import dicom

try:
    import pydicom
except ImportError:
    pydicom = None

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
START_NS = 1_614_676_830_250 * 10**6  # 2021-03-02 10:20:30.25 +0100


@pytest.fixture(autouse=True)
def reader() -> None:
    if pydicom is None:
        missing("pydicom", "pip install 'edge-runtime[dicom]'")


@pytest.fixture
def stored() -> np.ndarray:
    return np.random.default_rng(5).integers(-3000, 3000, (2500, 12))


@pytest.fixture
def path(tmp_path: Path, stored: np.ndarray) -> Path:
    dicom(tmp_path / "r.dcm", stored, LEADS)
    return tmp_path / "r.dcm"


def play(source: DicomEcg) -> list[Frame]:
    frames = []
    source.open()
    try:
        while True:
            frames.append(source.read(1.0))
    except EndOfStream:
        return frames
    finally:
        source.close()


def samples(frames: list[Frame]) -> np.ndarray:
    return np.concatenate([frame.data for frame in frames])


def change(path: Path, **values: object) -> None:
    """Change attributes of the file's original waveform, of its first channel, or drop them."""
    file = pydicom.dcmread(path)
    group = file.WaveformSequence[1]
    for keyword, value in values.items():
        channel = group.ChannelDefinitionSequence[0]
        item = next((i for i in (group, channel) if keyword in i), group)
        if keyword.startswith(("Channel", "Filter")) and "Sequence" not in keyword:
            item = channel
        if value is None:
            delattr(item, keyword)
        else:
            setattr(item, keyword, value)
    file.save_as(path)


def test_a_real_file_is_as_pydicom_decodes_it(data: Path):
    path = data / "ecg" / "formats" / "other" / "cardio_sample.dcm"

    frames = play(DicomEcg(name="ecg", path=str(path)))

    expected = pydicom.dcmread(path).waveform_array(0) / 1000  # its channels are in uV
    np.testing.assert_allclose(samples(frames), expected, atol=1e-6)
    assert frames[0].leads == LEADS
    assert frames[0].rate_hz == 500.0
    assert frames[0].timestamp_ns == 1_240_918_749 * 10**9  # 2009-04-28 11:39:09
    assert frames[0].highpass_hz == 0.16


def test_sensitivity_correction_and_baseline_make_millivolts(path, stored):
    frames = play(DicomEcg(name="ecg", path=str(path)))
    np.testing.assert_allclose(samples(frames), (stored + 100) / 1000, rtol=1e-6)
    assert frames[0].leads == LEADS  # by the code of the source: the label says "no help"
    assert frames[0].timestamp_ns == START_NS


def test_leads_are_chosen_by_name_in_the_order_asked(path, stored):
    frames = play(DicomEcg(name="ecg", path=str(path), leads=("v6", "Lead aVR")))
    np.testing.assert_allclose(samples(frames), (stored[:, [11, 3]] + 100) / 1000, rtol=1e-6)
    with pytest.raises(ConfigError, match="none is named 'MLII'; there are I, II, III"):
        DicomEcg(name="ecg", path=str(path), leads=("MLII",)).open()


def test_the_first_original_waveform_is_played_unless_another_is_asked(path):
    assert len(samples(play(DicomEcg(name="ecg", path=str(path))))) == 2500
    assert len(samples(play(DicomEcg(name="ecg", path=str(path), waveform=0)))) == 600
    with pytest.raises(ConfigError, match=r"no waveform 2; there are 0 \(DERIVED\), 1 \(ORIGINAL"):
        DicomEcg(name="ecg", path=str(path), waveform=2).open()


def test_a_part_is_played_and_any_cut_gives_the_same(path, stored):
    frames = play(DicomEcg(name="ecg", path=str(path), start_s=1, seconds=2))
    cut = play(DicomEcg(name="ecg", path=str(path), start_s=1, seconds=2, chunk_s=0.014))
    np.testing.assert_allclose(samples(frames), (stored[500:1500] + 100) / 1000, rtol=1e-6)
    np.testing.assert_array_equal(samples(cut), samples(frames))
    assert frames[0].timestamp_ns == START_NS + 10**9


def test_a_loop_goes_on_in_time_and_jumps_in_seq(path):
    source = DicomEcg(name="ecg", path=str(path), loop=True, chunk_s=2.5)
    source.open()
    frames = [source.read(1.0) for _ in range(4)]
    source.close()
    assert [(f.timestamp_ns - START_NS) / 1e9 for f in frames] == [0, 2.5, 5, 7.5]
    assert [f.seq for f in frames] == [0, 1, 3, 4]


def test_padding_is_a_gap_and_never_a_value(tmp_path, stored):
    stored[700:725, 4] = -32768
    dicom(tmp_path / "r.dcm", stored, LEADS)
    frames = play(DicomEcg(name="ecg", path=str(tmp_path / "r.dcm"), chunk_s=1))
    assert [len(f.data) for f in frames] == [500, 200, 500, 500, 500, 275]
    assert [f.seq for f in frames] == [0, 1, 3, 4, 5, 6]
    assert frames[2].timestamp_ns == START_NS + 1_450_000_000
    assert np.abs(samples(frames)).max() < 4


@pytest.mark.parametrize(
    ("kind", "dtype"), [("SB", "i1"), ("UB", "u1"), ("US", "<u2"), ("SL", "<i4"), ("UL", "<u4")]
)
def test_samples_of_every_kind_are_read(path, kind, dtype):
    given_ = np.random.default_rng(1).integers(0, 127, (2500, 12)).astype(dtype)
    bits = 8 * given_.itemsize
    change(
        path,
        WaveformSampleInterpretation=kind,
        WaveformBitsAllocated=bits,
        WaveformPaddingValue=None,
        WaveformData=given_.tobytes(),
    )
    frames = play(DicomEcg(name="ecg", path=str(path)))
    np.testing.assert_allclose(samples(frames), (given_.astype(float) + 100) / 1000, rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"SamplingFrequency": "0"}, "0 Hz is no sampling rate"),
        ({"SamplingFrequency": "1e30"}, "is damaged: 'SamplingFrequency is 1e"),
        ({"SamplingFrequency": None}, "is damaged"),
        ({"NumberOfWaveformChannels": 0}, "a waveform of 0 x 2500 samples cannot be"),
        ({"NumberOfWaveformChannels": 11}, "describes 12 of 11 channels"),
        ({"NumberOfWaveformSamples": 2**32 - 1}, "holds 60000 of 103079215080 bytes"),
        ({"WaveformSampleInterpretation": "MB"}, "samples of the kind 'MB' are not read"),
        ({"WaveformData": b"ab"}, "holds 2 of 60000 bytes of samples; it is cut short"),
        ({"ChannelSensitivity": "0"}, 'is damaged: "a channel\'s sensitivity is 0"'),
        ({"ChannelSensitivity": None}, "I is not calibrated in volts"),
        ({"ChannelBaseline": "1e300"}, "is damaged: 'ChannelBaseline is 1e"),
        ({"ChannelSampleSkew": "3"}, r"I was sampled 0\.006 s apart"),
        ({"ChannelDefinitionSequence": []}, "describes 0 of 12 channels"),
    ],
)
def test_a_waveform_that_cannot_be_is_told_in_one_line(path, values, problem):
    change(path, **values)
    with pytest.raises(ConfigError, match=problem) as caught:
        DicomEcg(name="ecg", path=str(path)).open()
    assert "\n" not in str(caught.value)
    assert "r.dcm" in str(caught.value)


def test_a_lead_whose_high_pass_is_not_known_leaves_it_open(path):
    source = DicomEcg(name="ecg", path=str(path))
    assert play(source)[0].highpass_hz == 0.05
    change(path, FilterLowFrequency=None)
    assert play(source)[0].highpass_hz is None


def test_what_is_packed_or_big_endian_is_refused_before_it_is_unpacked(tmp_path):
    def head(syntax: bytes) -> bytes:
        uid = syntax.ljust(len(syntax) + len(syntax) % 2, b"\0")
        meta = b"\x02\x00\x10\x00UI" + len(uid).to_bytes(2, "little") + uid
        size = b"\x02\x00\x00\x00UL\x04\x00" + len(meta).to_bytes(4, "little")
        return bytes(128) + b"DICM" + size + meta

    bomb = zlib.compressobj(9, wbits=-15)
    packed = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(64)) + bomb.flush()
    file = tmp_path / "bomb.dcm"
    file.write_bytes(head(b"1.2.840.10008.1.2.1.99") + packed)
    with pytest.raises(ConfigError, match="is deflated, which edge-run does not read"):
        DicomEcg(name="ecg", path=str(file)).open()
    file.write_bytes(head(b"1.2.840.10008.1.2.2"))
    with pytest.raises(ConfigError, match=r"transfer syntax '1\.2\.840\.10008\.1\.2\.2' is not"):
        DicomEcg(name="ecg", path=str(file)).open()


def test_what_is_not_there_or_no_dicom_is_told(tmp_path, data):
    (tmp_path / "a.dcm").write_bytes(b"0" * 1000)
    for path, problem in (
        (tmp_path / "none.dcm", "No such file"),
        (tmp_path, "is not a file"),
        (tmp_path / "a.dcm", "is no DICOM file"),
    ):
        with pytest.raises(ConfigError, match=problem):
            DicomEcg(name="ecg", path=str(path)).open()


def test_a_file_without_a_waveform_is_told(path):
    file = pydicom.dcmread(path)
    del file.WaveformSequence
    file.save_as(path)
    with pytest.raises(ConfigError, match="holds no waveform"):
        DicomEcg(name="ecg", path=str(path)).open()


def test_without_pydicom_the_extra_is_named(path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(ConfigError, match=r"pip install 'edge-runtime\[dicom\]'"):
        DicomEcg(name="ecg", path=str(path)).open()


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"path": ""}, "path"),
        ({"path": "a", "pace": "fast"}, "pace"),
        ({"path": "a", "waveform": -1}, "waveform"),
        ({"path": "a", "start_s": float("nan")}, "start_s"),
    ],
)
def test_an_option_that_cannot_be_is_refused_before_anything_opens(options, key):
    with pytest.raises(BadOptionError) as caught:
        DicomEcg(name="ecg", **options)
    assert caught.value.key == key


@functools.cache
def small() -> bytes:
    made = io.BytesIO()
    dicom(made, np.arange(240).reshape(20, 12), LEADS)
    return made.getvalue()


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    edits=st.lists(
        st.tuples(st.integers(128, 8000), st.binary(min_size=1, max_size=9)), max_size=6
    ),
    cut=st.integers(0, 8000),
)
def test_no_file_makes_another_error_than_those_promised(tmp_path, edits, cut):
    raw = bytearray(small())
    for at, bytes_ in edits:
        raw[at % len(raw) : at % len(raw) + len(bytes_)] = bytes_
    path = tmp_path / "f.dcm"
    path.write_bytes(raw[: len(raw) - (cut if cut % 3 == 0 else 0)])
    try:
        frames = play(DicomEcg(name="ecg", path=str(path)))
    except (ConfigError, SourceLostError) as exc:
        assert "\n" not in str(exc)
        return
    assert all(np.isfinite(frame.data).all() for frame in frames)
