from __future__ import annotations

import os
import shutil
import threading
import time
import tracemalloc
import warnings
from itertools import pairwise
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
from edge_runtime.sources.records.wfdb import Wfdb
from edge_runtime.sources.records.wfdb_annotations import parse_annotations, read_annotations
from edge_runtime.sources.records.wfdb_format import parse_header, read_header
from edge_runtime.sources.records.wfdb_record import open_record
from tests.needs import missing

pytestmark = pytest.mark.filterwarnings("ignore::Warning:wfdb")  # its own use of pandas


@pytest.fixture(scope="module")
def judge():
    """The reader that PhysioNet's own laboratory writes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import wfdb
        except ImportError:
            missing("the reference WFDB reader", "pip install wfdb")
    return wfdb


@pytest.fixture(scope="module")
def ecg(data: Path) -> Path:
    return data / "ecg"


def play(source: Wfdb) -> tuple[list[Frame], list[FrameError]]:
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


def counts(path: Path) -> np.ndarray:
    record = open_record(path)
    return np.concatenate(list(record.counts(0, record.frames)))


def copy(ecg: Path, record: str, folder: Path) -> Path:
    for suffix in (".hea", ".dat"):
        shutil.copyfile(ecg / f"{record}{suffix}", folder / f"r{suffix}")
    header = (folder / "r.hea").read_text().replace(Path(record).name, "r")
    (folder / "r.hea").write_text(header)
    return folder / "r"


# --- headers


def test_every_header_reads_as_the_reference_reads_it(ecg, judge):
    paths = sorted(path.with_suffix("") for path in ecg.rglob("*.hea"))
    assert len(paths) > 700
    for path in paths:
        ours, theirs = read_header(path), judge.rdheader(str(path))
        assert (ours.rate_hz, ours.frames) == (theirs.fs, theirs.sig_len), path
        if ours.segments:
            names = [segment.name for segment in ours.segments]
            assert names == theirs.seg_name
            continue
        assert [spec.lead for spec in ours.signals] == theirs.sig_name, path
        assert [spec.gain for spec in ours.signals] == theirs.adc_gain, path
        assert [spec.baseline for spec in ours.signals] == theirs.baseline, path
        assert [spec.unit for spec in ours.signals] == theirs.units, path
        assert [str(spec.format) for spec in ours.signals] == theirs.fmt, path
        assert [spec.samples_per_frame for spec in ours.signals] == theirs.samps_per_frame, path


def test_a_header_in_all_its_spelling():
    header = parse_header("# said before\r\n\r\nr/1 3\r\nr_1 100\r\n# said after\r\n", "r.hea")
    assert [(part.name, part.frames) for part in header.segments] == [("r_1", 100)]
    assert header.comments == ("said before", "said after")
    header = parse_header(
        "r 4 250/360(-12.5) 1000 08:26:04.5 26/10/1994\n"
        "r.dat 16x1:2+24 200(1024)/uV 12 5 -7 -30000 0 Lead aVR\n"
        "r.dat 16x1:2+24 0\n"
        "r.dat 16x1:2+24 1.5e3/V 12 5\n"
        "r.dat 16x1:2+24\n",
        "r.hea",
    )
    first, uncalibrated, third, bare = header.signals
    assert (header.rate_hz, header.counter_hz, header.base_counter) == (250.0, 360.0, -12.5)
    assert header.start.isoformat() == "1994-10-26T08:26:04.500000+00:00"
    assert (first.skew, first.offset_bytes, first.baseline, first.unit) == (2, 24, 1024, "uV")
    assert (first.initial, first.checksum, first.lead) == (-7, -30000, "Lead aVR")
    assert first.mv_per_unit == 1e-3
    assert (uncalibrated.gain, uncalibrated.calibrated) == (200.0, False)
    assert (third.gain, third.baseline, third.mv_per_unit) == (1500.0, 5, 1000.0)
    assert (bare.gain, bare.unit, bare.lead, bare.checksum) == (200.0, "mV", "signal 3", None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "r.hea: is empty"),
        ("# nothing\n", "r.hea: is empty"),
        ("\x00\x7fELF\x02\x01", "r.hea:1: '.*ELF.*' is not a WFDB record line"),
        ("r 1000000000 360 10", "r.hea:1: 1000000000 signals are more"),
        ("r/1000000000 2 360 10", "1000000000 segments are more"),
        ("r 2 360 10\nr.dat 16\n", "names 2 signals but describes 1"),
        ("r 1 0 10\nr.dat 16\n", "r.hea:1: 0 is no sampling rate"),
        ("r 1 1e99 10\nr.dat 16\n", "no sampling rate"),
        ("r 1 nan 10\nr.dat 16\n", "not a WFDB record line"),
        ("r 1 360 10 25:00:00 1/1/2000\nr.dat 16\n", "r.hea:1: 25:00:00"),
        ("r 1 360 10\n../../etc/passwd 16\n", "r.hea:2: '../../etc/passwd' must be a file beside"),
        ("r 1 360 10\n/etc/passwd 16\n", "must be a file beside"),
        ("r 1 360 10\n..\\up.dat 16\n", "must be a file beside"),
        ("r 1 360 10\n.. 16\n", "must be a file beside"),
        ("r/1 1 360 10\n../s 10\n", "must be a file beside"),
        ("r 1 360 10\nr.dat 16x0\n", "at least one sample"),
        ("r 1 360 10\nr.dat 16x999999\n", "more than 65536 samples per frame"),
        ("r 1 360 10\nr.dat sixteen\n", "not a WFDB signal line"),
        ("r 1 360 10\nr.dat 16 1e-40\n", "1e-40 is no gain"),
    ],
)
def test_a_header_that_cannot_be_is_told_in_one_line(text, problem):
    with pytest.raises(ConfigError, match=problem) as told:
        parse_header(text, "r.hea")
    assert "\n" not in str(told.value)


# --- samples


@pytest.mark.parametrize(
    "record",
    [
        "formats/wfdb/binformats",  # 8 16 61 80 160 212 310 311 24 32
        "formats/wfdb/flacformats",  # 508 516 524
        "formats/wfdb/310derive",
        "mitdb/114",
        "nstdb/bw",
        "wfdb_samples/s0010_re",  # two signal files
        "ptbxl",
        "cinc2017/A00001",  # 24 bytes before the samples
    ],
)
def test_counts_and_millivolts_are_those_of_the_reference(ecg, judge, record):
    path = ecg / record
    if path.is_dir():
        path = min(path.rglob("*.hea")).with_suffix("")
    theirs = judge.rdrecord(str(path), physical=False)
    np.testing.assert_array_equal(counts(path), theirs.d_signal)
    frames, bad = play(Wfdb(name="ecg", path=str(path)))
    assert not bad
    expected = judge.rdrecord(str(path)).p_signal.astype(np.float32)
    np.testing.assert_array_equal(samples(frames), expected)
    assert frames[0].leads == tuple(theirs.sig_name)
    assert frames[0].rate_hz == theirs.fs


@pytest.mark.parametrize("first", [1, 2, 3, 7, 100])
def test_reading_may_begin_inside_a_packed_group(ecg, first):
    path = ecg / "formats" / "wfdb" / "binformats"
    record = open_record(path)
    part = np.concatenate(list(record.counts(first, record.frames - 1)))
    np.testing.assert_array_equal(part, counts(path)[first:-1])


def test_leads_are_chosen_by_name_in_the_order_asked(ecg):
    both, _ = play(Wfdb(name="ecg", path=str(ecg / "mitdb" / "114"), seconds=2))
    one, _ = play(
        Wfdb(name="ecg", path=str(ecg / "mitdb" / "114.hea"), seconds=2, leads=("Lead mlii", "V5"))
    )
    assert both[0].leads == ("V5", "MLII")
    assert one[0].leads == ("MLII", "V5")
    np.testing.assert_array_equal(samples(one), samples(both)[:, ::-1])


def test_leads_of_several_files_may_be_mixed(ecg, judge):
    path = ecg / "wfdb_samples" / "s0010_re"
    frames, _ = play(Wfdb(name="ecg", path=str(path), leads=("vz", "II", "vx")))
    theirs = judge.rdrecord(str(path), channel_names=["vz", "ii", "vx"])
    columns = [theirs.sig_name.index(name) for name in ("vz", "ii", "vx")]
    np.testing.assert_array_equal(samples(frames), theirs.p_signal[:, columns].astype(np.float32))


def test_signals_that_are_no_voltage_are_left_out_or_refused(ecg, caplog):
    path = str(ecg / "formats" / "wfdb" / "a103l")
    caplog.set_level("INFO")
    frames, _ = play(Wfdb(name="ecg", path=path, seconds=1))
    assert frames[0].leads == ("II", "V")
    assert "PLETH (NU)" in caplog.text
    with pytest.raises(ConfigError, match="PLETH is in NU, not in volts"):
        Wfdb(name="ecg", path=path, leads=("PLETH",)).open()


def test_a_record_without_calibration_is_told(ecg, caplog):
    Wfdb(name="noise", path=str(ecg / "nstdb" / "bw")).open()
    assert "noise1 is not calibrated; 200 units per mV" in caplog.text


def test_segments_and_several_rates_play_by_the_leads_of_one_rate(ecg, judge):
    path = ecg / "formats" / "wfdb" / "041s" / "041s"
    with pytest.raises(ConfigError, match=r"name leads of one rate: III at 500 Hz.* at 125 Hz"):
        Wfdb(name="ecg", path=str(path)).open()
    frames, bad = play(Wfdb(name="ecg", path=str(path), leads=("I", "V")))
    theirs = [
        judge.rdrecord(f"{path}0{part}", smooth_frames=False, channel_names=["I", "V"])
        for part in (1, 2)
    ]
    expected = np.concatenate([np.stack(part.e_p_signal, axis=1) for part in theirs])
    assert not bad
    assert frames[0].rate_hz == 500.0
    kept = ~np.isnan(expected).any(axis=1)
    assert len(kept) - kept.sum() == 1  # a sample that the record marks as missing
    np.testing.assert_array_equal(samples(frames), expected[kept].astype(np.float32))
    assert [b.seq - a.seq for a, b in pairwise(frames)].count(2) == 1


def test_a_hole_between_segments_is_a_gap(ecg, tmp_path):
    folder = ecg / "formats" / "wfdb" / "041s"
    for name in ("041s01.hea", "041s01.dat", "041s02.hea", "041s02.dat"):
        shutil.copyfile(folder / name, tmp_path / name)
    (tmp_path / "r.hea").write_text("r/3 7 125 2500\n041s01 1000\n~ 500\n041s02 1000\n")
    frames, _ = play(Wfdb(name="ecg", path=str(tmp_path / "r"), leads=("PLETH",), chunk_s=1))
    assert sum(len(frame.data) for frame in frames) == 2000
    jumps = [(a, b) for a, b in pairwise(frames) if b.seq != a.seq + 1]
    assert len(jumps) == 1
    assert jumps[0][1].timestamp_ns - frames[0].timestamp_ns == 12_000_000_000


@pytest.mark.parametrize("kind", ["16", "24", "32", "80", "212"])
def test_samples_marked_as_missing_are_a_gap_and_never_a_value(judge, tmp_path, kind):
    signal = np.sin(np.arange(600) / 20)[:, None] * [0.4, 0.5]
    signal[100:130, 0] = np.nan
    signal[300:310, 1] = np.nan
    signal[599] = np.nan
    judge.wrsamp(
        "r",
        fs=100,
        units=["mV", "mV"],
        sig_name=["I", "II"],
        p_signal=signal,
        fmt=[kind, kind],
        write_dir=str(tmp_path),
    )
    frames, bad = play(Wfdb(name="ecg", path=str(tmp_path / "r"), chunk_s=0.5))
    theirs = judge.rdrecord(str(tmp_path / "r")).p_signal
    kept = ~np.isnan(theirs).any(axis=1)
    assert not bad
    assert kept.sum() == 600 - 30 - 10 - 1
    np.testing.assert_array_equal(samples(frames), theirs[kept].astype(np.float32))
    after = [b for a, b in pairwise(frames) if b.seq == a.seq + 2]
    begins = [frame.timestamp_ns - frames[0].timestamp_ns for frame in after]
    assert begins == [1_300_000_000, 3_100_000_000]


def test_a_skewed_signal_is_lined_up_as_the_reference_does(ecg, judge, tmp_path):
    path = copy(ecg, "mitdb/100", tmp_path)
    text = path.with_suffix(".hea").read_text().replace("r.dat 212 ", "r.dat 212:5 ", 1)
    path.with_suffix(".hea").write_text(text.replace("650000", "649995"))
    ours = counts(path)[:1000]
    theirs = judge.rdrecord(str(path), physical=False, sampto=1000).d_signal
    np.testing.assert_array_equal(ours, theirs)


def test_flac_of_several_rates_plays_by_the_leads_of_one(ecg, judge):
    path = ecg / "formats" / "wfdb" / "mixedsignals"
    with pytest.raises(ConfigError, match="ABP is in mmHg, not in volts"):
        Wfdb(name="ecg", path=str(path), leads=("II", "ABP")).open()

    frames, bad = play(Wfdb(name="ecg", path=str(path), leads=("V", "II"), start_s=10))

    theirs = judge.rdrecord(str(path), smooth_frames=False).e_p_signal
    expected = np.stack([theirs[2], theirs[0]], axis=1)[int(10 * 62.4725) * 4 :]
    assert not bad
    assert frames[0].rate_hz == pytest.approx(249.89)
    np.testing.assert_allclose(samples(frames), expected, rtol=1e-6)


def test_a_damaged_flac_file_is_told(ecg, tmp_path):
    for suffix in ("hea", "d0", "d1", "d2"):
        source = ecg / "formats" / "wfdb" / f"flacformats.{suffix}"
        shutil.copyfile(source, tmp_path / source.name)
    file = tmp_path / "flacformats.d1"
    whole = file.read_bytes()
    record = Wfdb(name="ecg", path=str(tmp_path / "flacformats"))

    file.write_bytes(b"OggS" + whole[4:])
    with pytest.raises(ConfigError, match=r"flacformats\.d1: is no FLAC file"):
        record.open()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises((ConfigError, SourceLostError), match=r"flacformats\.d1: "):
        play(record)
    file.write_bytes((tmp_path / "flacformats.d2").read_bytes())
    with pytest.raises(ConfigError, match="holds 1 signals of 24 bits, not 1 of 16"):
        record.open()
    file.unlink()
    with pytest.raises(ConfigError, match=r"flacformats\.d1: is not a file"):
        record.open()


# --- damage


def test_a_damaged_file_is_told_at_its_end_and_only_there(ecg, tmp_path):
    path = copy(ecg, "mitdb/100", tmp_path)
    raw = bytearray(path.with_suffix(".dat").read_bytes())
    raw[900_000] ^= 0x10
    path.with_suffix(".dat").write_bytes(raw)
    frames, bad = play(Wfdb(name="ecg", path=str(path), chunk_s=10))
    assert len(samples(frames)) == 650_000
    assert len(bad) == 1
    assert "r.dat: lead MLII: the samples do not match the header's checksum" in str(bad[0])
    _, bad = play(Wfdb(name="ecg", path=str(path), leads=("V5",), chunk_s=10))
    assert not bad


def test_a_file_that_is_cut_short_is_refused_unless_the_header_is_silent(ecg, tmp_path):
    path = copy(ecg, "mitdb/100", tmp_path)
    with path.with_suffix(".dat").open("r+b") as file:
        file.truncate(300_001)
    with pytest.raises(ConfigError, match="holds 100000 of the 650000 frames"):
        Wfdb(name="ecg", path=str(path)).open()
    header = path.with_suffix(".hea")
    header.write_text(header.read_text().replace(" 650000", ""))
    frames, _ = play(Wfdb(name="ecg", path=str(path), chunk_s=10))
    assert len(samples(frames)) == 100_000


def test_a_file_that_shrinks_while_it_is_read_is_a_lost_source(ecg, tmp_path):
    path = copy(ecg, "mitdb/100", tmp_path)
    source = Wfdb(name="ecg", path=str(path))
    source.open()
    source.read(1.0)
    os.truncate(path.with_suffix(".dat"), 1000)
    with pytest.raises(SourceLostError, match="ended while it was read"):
        for _ in range(10_000):
            source.read(1.0)
    source.close()


def test_what_is_not_there_or_no_file_is_told(ecg, tmp_path):
    with pytest.raises(ConfigError, match=r"none\.hea: No such file"):
        Wfdb(name="ecg", path=str(tmp_path / "none")).open()
    path = copy(ecg, "mitdb/100", tmp_path)
    path.with_suffix(".dat").unlink()
    with pytest.raises(ConfigError, match=r"r\.dat: No such file"):
        Wfdb(name="ecg", path=str(path)).open()
    os.mkfifo(path.with_suffix(".dat"))
    with pytest.raises(ConfigError, match=r"r\.dat: is not a file"):
        Wfdb(name="ecg", path=str(path)).open()
    with pytest.raises(ConfigError, match="none is named 'X'; there are MLII, V5"):
        Wfdb(name="ecg", path=str(ecg / "mitdb" / "100"), leads=("X",)).open()


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"path": ""}, "path"),
        ({"path": "a", "pace": "slow"}, "pace"),
        ({"path": "a", "chunk_s": 0.0}, "chunk_s"),
        ({"path": "a", "chunk_s": float("nan")}, "chunk_s"),
        ({"path": "a", "start_s": -1.0}, "start_s"),
        ({"path": "a", "seconds": 0.0}, "seconds"),
    ],
)
def test_an_option_that_cannot_be_is_refused_before_anything_opens(options, key):
    with pytest.raises(BadOptionError) as told:
        Wfdb(name="ecg", **options)
    assert told.value.key == key


SMALL = """r 2 100/200(3) 50 10:00:00 1/2/2003
r.dat 212 200(1024)/mV 11 1024 5 17 0 MLII
r.dat 212 200/uV 11 1024 5 -9 0 V5
# note
"""
PIECES = (
    *("0", "-1", "1e9", "99999999999999", "/", "(", "~", "\x00", "µ", "212x3", "8", "310", "\r"),
    *("#", "r", " ", "\n", "+7", ":2", "16", "nan", "\udc80"),
)
pieces = st.sampled_from(PIECES)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    edits=st.lists(st.tuples(st.integers(0, len(SMALL)), st.integers(0, 12), pieces), max_size=4),
    size=st.integers(0, 200),
)
def test_no_header_makes_another_error_than_those_promised(tmp_path, edits, size):
    text = SMALL
    for at, drop, piece in edits:
        text = text[:at] + piece + text[at + drop :]
    (tmp_path / "r.hea").write_bytes(text.encode("utf-8", "surrogateescape"))
    (tmp_path / "r.dat").write_bytes(bytes(range(200))[:size])
    source = Wfdb(name="ecg", path=str(tmp_path / "r"))
    try:
        frames, _ = play(source)
    except (ConfigError, SourceLostError) as exc:
        assert "\n" not in str(exc)
        assert len(str(exc)) < 600
    else:
        assert all(np.isfinite(frame.data).all() for frame in frames)


# --- time


def test_sample_times_are_exact_to_the_nanosecond_and_carry_no_error(ecg):
    frames, _ = play(Wfdb(name="ecg", path=str(ecg / "mitdb" / "100"), chunk_s=0.25))
    begin = frames[0].timestamp_ns
    assert abs(begin - time.time_ns()) < 60e9
    assert [frame.timestamp_ns - begin for frame in frames] == [
        number * 90 * 1_000_000_000 // 360 for number in range(len(frames))
    ]


def test_a_record_that_knows_its_date_is_stamped_with_it(ecg):
    frames, _ = play(Wfdb(name="ecg", path=str(ecg / "cinc2017" / "A00001"), start_s=1.5))
    assert frames[0].timestamp_ns == 957_157_515_000_000_000 + 1_500_000_000


def test_real_pace_gives_a_frame_when_its_last_sample_is_due(ecg):
    path = str(ecg / "mitdb" / "100")
    source = Wfdb(name="ecg", path=path, pace="real", chunk_s=0.1, seconds=0.5)
    source.open()
    frames, nones, begun = [], 0, time.monotonic_ns()
    with pytest.raises(EndOfStream):
        while True:
            frame = source.read(0.03)
            if frame is None:
                nones += 1
            else:
                frames.append((frame, time.monotonic_ns()))
    source.close()
    assert nones > 0
    assert len(frames) == 5
    for number, (frame, came_ns) in enumerate(frames):
        begins_ns = frame.monotonic_ns - begun
        assert 0 <= begins_ns - number * 100_000_000 < 1_000_000_000
        assert came_ns >= frame.monotonic_ns + 100_000_000
    steps = {b.monotonic_ns - a.monotonic_ns for (a, _), (b, _) in pairwise(frames)}
    assert steps == {100_000_000}


def test_closing_wakes_a_read_that_waits(ecg):
    source = Wfdb(name="ecg", path=str(ecg / "mitdb" / "100"), pace="real", chunk_s=30)
    source.open()
    threading.Timer(0.1, source.close).start()
    begun = time.monotonic()
    assert source.read(20.0) is None
    assert time.monotonic() - begun < 5


def test_a_loop_goes_on_in_time_and_jumps_in_seq(ecg):
    path = str(ecg / "mitdb" / "100")
    source = Wfdb(name="ecg", path=path, seconds=1, chunk_s=0.5, start_s=10, loop=True)
    source.open()
    frames = [source.read(1.0) for _ in range(6)]
    source.close()
    assert [frame.seq for frame in frames] == [0, 1, 3, 4, 6, 7]
    np.testing.assert_array_equal(frames[0].data, frames[4].data)
    assert {b.timestamp_ns - a.timestamp_ns for a, b in pairwise(frames)} == {500_000_000}


@pytest.mark.parametrize("chunk_s", [1 / 360, 7 / 360, 1.0, 60.0])
def test_however_it_is_cut_the_samples_are_the_same(ecg, chunk_s):
    path = str(ecg / "mitdb" / "100")
    whole, _ = play(Wfdb(name="ecg", path=path, seconds=40, chunk_s=40))
    cut, _ = play(Wfdb(name="ecg", path=path, seconds=40, chunk_s=chunk_s))
    np.testing.assert_array_equal(samples(cut), samples(whole))


def test_a_long_record_is_never_in_memory_at_once(tmp_path):
    (tmp_path / "r.hea").write_text("r 2 1000 8000000\nr.dat 16 200 12 0 0 0 0 I\nr.dat 16 200\n")
    with (tmp_path / "r.dat").open("wb") as file:
        file.truncate(32_000_000)
    source = Wfdb(name="ecg", path=str(tmp_path / "r"), chunk_s=1)
    tracemalloc.start()
    source.open()
    read = 0
    with pytest.raises(EndOfStream):
        while True:
            read += len(source.read(1.0).data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    source.close()
    assert read == 8_000_000
    assert peak < 4_000_000


# --- annotations


def test_every_annotation_of_mitdb_reads_as_the_reference_reads_it(ecg, judge):
    total = beats = 0
    for path in sorted((ecg / "mitdb").glob("*.atr")):
        ours, theirs = read_annotations(path), judge.rdann(str(path.with_suffix("")), "atr")
        np.testing.assert_array_equal(ours.samples, theirs.sample)
        assert list(ours.symbols) == theirs.symbol
        assert list(ours.aux) == [text.rstrip("\0") for text in theirs.aux_note]
        np.testing.assert_array_equal(ours.subtypes, theirs.subtype)
        np.testing.assert_array_equal(ours.channels, theirs.chan)
        np.testing.assert_array_equal(ours.numbers, theirs.num)
        total += len(ours.samples)
        beats += int(ours.beats().sum())
    assert (total, beats) == (112_647, 109_494)


def test_annotations_with_every_field_survive_the_reference_writer(judge, tmp_path):
    where = np.array([5, 1023, 2047, 500_000, 3_000_000_000 // 2])
    judge.wrann(
        "r",
        "atr",
        where,
        symbol=["N", "V", "+", "~", "A"],
        subtype=np.array([0, -3, 1, 0, 2]),
        chan=np.array([0, 1, 1, 0, 2]),
        num=np.array([0, 0, 4, 4, 1]),
        aux_note=["", "", "(AFIB", "odd", ""],
        write_dir=str(tmp_path),
    )
    marks = read_annotations(tmp_path / "r.atr")
    np.testing.assert_array_equal(marks.samples, where)
    assert marks.symbols == ("N", "V", "+", "~", "A")
    assert marks.aux == ("", "", "(AFIB", "odd", "")
    assert marks.subtypes.tolist() == [0, -3, 1, 0, 2]
    assert marks.channels.tolist() == [0, 1, 1, 0, 2]
    assert marks.numbers.tolist() == [0, 0, 4, 4, 1]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_bytes_are_annotations_or_a_config_error(raw):
    try:
        marks = parse_annotations(raw, "r.atr")
    except ConfigError as exc:
        assert "r.atr" in str(exc)
    else:
        assert len(marks.samples) == len(marks.symbols) == len(marks.aux)


def test_an_annotation_file_that_is_cut_short_is_told(ecg):
    raw = (ecg / "mitdb" / "100.atr").read_bytes()
    with pytest.raises(ConfigError, match="cut short"):
        parse_annotations(raw[:1000], "100.atr")
