"""Source `edf`: EDF, EDF+ with gaps and BDF, by the formats' own arithmetic and a reference."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_runtime.errors import (
    BadOptionError,
    ConfigError,
    EndOfStream,
    FrameError,
    SourceLostError,
)
from edge_runtime.frame import Frame
from edge_runtime.sources.records.edf import Edf
from tests.needs import missing
from tests.recordings import edf

LEADS = ("I", "II")
START_NS = 1_614_680_430 * 10**9  # 2021-03-02 10:20:30 UTC


def counts(samples: int = 2000, leads: int = 2) -> np.ndarray:
    return np.random.default_rng(3).integers(-32768, 32768, (samples, leads))


def play(source: Edf) -> tuple[list[Frame], list[FrameError]]:
    """Every frame to the end, and what was refused."""
    frames, bad = [], []
    source.open()
    try:
        while True:
            try:
                frame = source.read(1.0)
            except FrameError as exc:
                bad.append(exc)
                continue
            if frame is not None:
                frames.append(frame)
    except EndOfStream:
        return frames, bad
    finally:
        source.close()


def samples(frames: list[Frame]) -> np.ndarray:
    return np.concatenate([frame.data for frame in frames])


@pytest.fixture
def file(tmp_path: Path):
    """Writes a file and gives a source that plays it."""

    def write(raw: bytes, **options) -> Edf:
        path = tmp_path / "r.edf"
        path.write_bytes(raw)
        return Edf(name="ecg", path=str(path), **options)

    return write


@pytest.mark.parametrize("bdf", [False, True])
def test_samples_are_those_that_were_written(file, bdf):
    digital = counts() * (256 if bdf else 1)

    frames, bad = play(file(edf(digital, LEADS, bdf=bdf)))

    assert not bad
    np.testing.assert_allclose(samples(frames), digital / 1000, rtol=1e-6)
    assert frames[0].leads == LEADS
    assert frames[0].rate_hz == 500.0
    assert frames[0].timestamp_ns == START_NS


def test_a_real_file_reads_as_the_same_record_in_wfdb_and_as_the_reference_reads_it(data: Path):
    """cardio_sample.edf is record A00001 of CinC 2017."""
    path = data / "ecg" / "formats" / "other" / "cardio_sample.edf"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import wfdb
            from wfdb.io.convert.edf import read_edf
        except ImportError:
            missing("the reference WFDB reader", "pip install wfdb")
        theirs = read_edf(str(path)).p_signal
        record = wfdb.rdrecord(str(data / "ecg" / "cinc2017" / "A00001")).p_signal

    frames, _ = play(Edf(name="ecg", path=str(path)))

    found = samples(frames)
    assert frames[0].rate_hz == 300.0
    np.testing.assert_allclose(found, theirs, atol=5e-7)
    np.testing.assert_allclose(found[: len(record)], record, atol=5e-7)


def test_leads_are_chosen_by_name_in_the_order_asked(file):
    digital = counts(1000, 3)
    raw = edf(digital, ("ECG II", "ecg v1", "EKG aVR"))

    frames, _ = play(file(raw, leads=("aVR", "II")))

    np.testing.assert_allclose(samples(frames), digital[:, [2, 0]] / 1000, rtol=1e-6)
    with pytest.raises(ConfigError, match="none is named 'V6'; there are ECG II, ecg v1, EKG aVR"):
        file(raw, leads=("V6",)).open()


def test_a_part_is_played_from_where_it_is_asked_and_any_cut_gives_the_same(file):
    digital = counts(5000)
    raw = edf(digital, LEADS, record_s="0.1")

    frames, _ = play(file(raw, start_s=1.002, seconds=3.5))
    cut, _ = play(file(raw, start_s=1.002, seconds=3.5, chunk_s=0.014))

    np.testing.assert_allclose(samples(frames), digital[501 : 501 + 1750] / 1000, rtol=1e-6)
    np.testing.assert_array_equal(samples(cut), samples(frames))
    assert frames[0].timestamp_ns == START_NS + 1_002_000_000
    assert [f.timestamp_ns for f in cut] == [
        START_NS + 1_002_000_000 + 14_000_000 * k for k in range(len(cut))
    ]


def test_time_between_records_is_a_gap_to_the_nanosecond(file):
    digital = counts(2500)
    onsets = ("0.25", "1.25", "4.5004", "5.5004", "6.5004")

    frames, bad = play(file(edf(digital, LEADS, onsets_s=onsets), chunk_s=0.3))

    assert not bad
    np.testing.assert_allclose(samples(frames), digital / 1000, rtol=1e-6)
    jumps = [k for k in range(1, len(frames)) if frames[k].seq - frames[k - 1].seq == 2]
    assert [frames[k].timestamp_ns - START_NS for k in (0, *jumps)] == [250_000_000, 4_500_400_000]
    assert frames[jumps[0] - 1].data.shape == (100, 2)  # ends where samples are missing
    assert frames[-1].seq == len(frames)


def test_a_record_that_is_late_by_less_than_half_a_sample_is_no_gap(file):
    frames, bad = play(file(edf(counts(1500), LEADS, onsets_s=("0", "1.0009", "1.9992"))))
    assert not bad
    assert [frame.seq for frame in frames] == list(range(len(frames)))
    frames, _ = play(file(edf(counts(1500), LEADS, onsets_s=("0", "1.0011", "2.0011"))))
    assert frames[-1].seq == len(frames)


def test_records_that_say_no_time_that_can_be_are_left_out_and_told(file):
    digital = counts(2000)
    raw = edf(digital, LEADS, onsets_s=("0", "1", "0.5", "3"))

    frames, bad = play(file(raw))

    kept = np.concatenate([digital[:1000], digital[1500:]])
    np.testing.assert_allclose(samples(frames), kept / 1000, rtol=1e-6)
    assert [str(exc).rpartition(": ")[2] for exc in bad] == [
        "1 records with no time or a wrong one are left out"
    ]
    assert max(np.diff([frame.seq for frame in frames])) == 2


def test_a_loop_goes_on_in_time_and_jumps_in_seq(file):
    raw = edf(counts(1000), LEADS, onsets_s=("0", "3"))
    source = file(raw, loop=True, chunk_s=1)
    source.open()
    frames = [source.read(1.0) for _ in range(6)]
    source.close()
    assert [(f.timestamp_ns - START_NS) / 1e9 for f in frames] == [0, 3, 4, 7, 8, 11]
    assert [f.seq for f in frames] == [0, 2, 4, 6, 8, 10]
    np.testing.assert_array_equal(frames[4].data, frames[0].data)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, START_NS),
        ({(88, 80): "X"}, START_NS),
        ({(88, 80): "Startdate 02-MAR-1921 X X X"}, START_NS - 36525 * 86400 * 10**9),
        ({(88, 80): "X", (168, 8): "02.03.99"}, START_NS - 8036 * 86400 * 10**9),
        ({(88, 80): "X", (168, 8): "01.01.85"}, None),
        ({(88, 80): "X", (168, 8): "31.02.21"}, None),
        ({(176, 8): "99:99:99"}, None),
    ],
)
def test_wall_time_is_the_files_own_or_now(file, changes, expected):
    frames, _ = play(file(edf(counts(500), LEADS, changes=changes)))
    if expected is None:
        assert frames[0].timestamp_ns > START_NS + 10**18 // 10
    else:
        assert frames[0].timestamp_ns == expected


@pytest.mark.parametrize(
    ("prefilter", "expected"),
    [("HP:0.05Hz LP:150Hz N:50Hz", 0.05), ("HP:DC", 0.0), ("hp: 500 mHz", 0.5), ("LP:40Hz", None)],
)
def test_the_high_pass_that_the_file_states_is_known(file, prefilter, expected):
    at = 256 + 2 * (16 + 80 + 8 + 8 + 8 + 8 + 8)
    source = file(edf(counts(500), LEADS, changes={(at, 80): prefilter, (at + 80, 80): prefilter}))
    frames, _ = play(source)
    assert frames[0].highpass_hz == expected


def test_what_is_no_voltage_is_left_out_or_refused(file, caplog):
    units = 256 + 2 * (16 + 80)
    raw = edf(counts(500), LEADS, changes={(units + 8, 8): "mmHg"})
    with caplog.at_level("INFO"):
        frames, _ = play(file(raw))
    assert frames[0].leads == ("I",)
    assert "not in volts and left out: II (mmHg)" in caplog.text
    with pytest.raises(ConfigError, match="II is in 'mmHg', not in volts"):
        file(raw, leads=("II",)).open()


def test_leads_of_several_rates_are_played_by_those_of_one(file):
    per_record = 256 + 2 * (16 + 80 + 8 * 5 + 80)
    raw = edf(counts(500), LEADS, changes={(per_record, 8): "700", (per_record + 8, 8): "300"})
    with pytest.raises(ConfigError, match="name leads of one rate: I at 700 Hz, II at 300 Hz"):
        file(raw).open()
    frames, _ = play(file(raw, leads=("II",)))
    assert (frames[0].rate_hz, len(samples(frames))) == (300.0, 300)


PHYSICAL, DIGITAL = 256 + 2 * 104, 256 + 2 * 120


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({(0, 8): "1"}, "is no EDF or BDF file"),
        ({(252, 4): "-1"}, "-1 signals; edge-run reads 1 to 1024"),
        ({(252, 4): "9999"}, "9999 signals; edge-run reads 1 to 1024"),
        ({(252, 4): "9"}, "its header is not the 2560 bytes of 9 signals"),
        ({(184, 8): "99999999"}, "its header is not the 768 bytes"),
        ({(236, 8): "5"}, "holds 4 of the 5 records that its header promises"),
        ({(236, 8): "0"}, "holds no records"),
        ({(236, 8): "-2"}, "holds no records"),
        ({(236, 8): "nan"}, "'nan' is no number of records"),
        ({(244, 8): "0"}, "0 Hz is no sampling rate"),
        ({(244, 8): "-1"}, "a record cannot last -1 s"),
        ({(244, 8): "1e-9"}, "Hz is no sampling rate"),
        ({(244, 8): "1e99"}, "a record cannot last 1e99 s"),
        ({(PHYSICAL, 8): "inf"}, "'I': 'inf' is no physical minimum"),
        ({(PHYSICAL, 8): "32767"}, "'I': the physical range 32767 to 32767 gives no gain"),
        ({(PHYSICAL, 8): "-1e99"}, "gives no gain"),
        ({(DIGITAL, 8): "32767"}, "the digital minimum 32767 is not below the maximum 32767"),
        ({(DIGITAL, 8): "40000"}, "the digital minimum 40000 is not below"),
        ({(DIGITAL, 8): "1.5"}, "'1.5' is no digital (range|minimum)"),
        ({(256 + 2 * 216, 8): "0"}, "0 samples in a record cannot be"),
        ({(256 + 2 * 216, 8): "-500"}, "-500 samples in a record cannot be"),
        ({(256 + 2 * 216, 8): "99999999"}, "99999999 samples in a record cannot be"),
        ({(256 + 2 * 216, 8): "9999999"}, "a record of 20000998 bytes is more"),
        ({(192, 5): "EDF+D"}, "is EDF\\+D but has no annotations"),
    ],
)
def test_a_header_that_cannot_be_is_told_in_one_line(file, changes, problem):
    with pytest.raises(ConfigError, match=problem) as caught:
        file(edf(counts(2000), LEADS, changes=changes)).open()
    assert "\n" not in str(caught.value)
    assert "r.edf: " in str(caught.value)


def test_a_file_that_was_never_closed_plays_what_it_holds(file):
    raw = edf(counts(2000), LEADS, changes={(236, 8): "-1"})
    frames, bad = play(file(raw[:-700]))
    assert len(samples(frames)) == 1500
    assert not bad


def test_a_file_that_shrinks_while_it_is_read_is_a_lost_source(file, tmp_path):
    source = file(edf(counts(200_000), LEADS))
    source.open()
    source.read(1.0)
    (tmp_path / "r.edf").write_bytes(b"0")
    with pytest.raises(SourceLostError, match=r"r\.edf: ended while it was read"):
        while True:
            source.read(1.0)


def test_what_is_not_there_or_no_file_is_told(tmp_path):
    for path, problem in ((tmp_path / "none.edf", "No such file"), (tmp_path, "is not a file")):
        with pytest.raises(ConfigError, match=problem):
            Edf(name="ecg", path=str(path)).open()
    (tmp_path / "empty.edf").touch()
    with pytest.raises(ConfigError, match="is no EDF or BDF file"):
        Edf(name="ecg", path=str(tmp_path / "empty.edf")).open()


def test_a_file_of_annotations_alone_has_nothing_to_play(data: Path):
    path = data / "ecg" / "formats" / "wfdb" / "test_edfann.edf"
    with pytest.raises(ConfigError, match="has no signal in volts"):
        Edf(name="ecg", path=str(path)).open()


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"path": ""}, "path"),
        ({"path": "a", "pace": "fast"}, "pace"),
        ({"path": "a", "chunk_s": 0}, "chunk_s"),
        ({"path": "a", "start_s": -1}, "start_s"),
        ({"path": "a", "seconds": 0}, "seconds"),
    ],
)
def test_an_option_that_cannot_be_is_refused_before_anything_opens(options, key):
    with pytest.raises(BadOptionError) as caught:
        Edf(name="ecg", **options)
    assert caught.value.key == key


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    edits=st.lists(
        st.tuples(st.integers(0, 1100), st.binary(min_size=1, max_size=9)), min_size=1, max_size=6
    ),
    cut=st.integers(0, 4200),
)
def test_no_file_makes_another_error_than_those_promised(tmp_path, edits, cut):
    raw = bytearray(
        edf(counts(500), LEADS, onsets_s=("0", "0.2", "1", "1.2", "1.4"), record_s="0.2")
    )
    for at, bytes_ in edits:
        raw[at : at + len(bytes_)] = bytes_
    path = tmp_path / "f.edf"
    path.write_bytes(raw[: max(0, len(raw) - cut)])
    try:
        frames, _ = play(Edf(name="ecg", path=str(path)))
    except (ConfigError, SourceLostError) as exc:
        assert "\n" not in str(exc)
        return
    assert all(np.isfinite(frame.data).all() for frame in frames)
    assert len(samples(frames)) <= 4000 if frames else True


def test_a_long_file_is_never_in_memory_at_once(file):
    import tracemalloc

    source = file(edf(counts(1_000_000), LEADS))  # 4 MB
    source.open()
    tracemalloc.start()
    try:
        for _ in range(7000):
            source.read(1.0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        source.close()
    assert peak < 2_000_000
