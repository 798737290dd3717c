from __future__ import annotations

import os
import subprocess
import sys
import time
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
from edge_runtime.sources.records.csv import Csv


def play(source: Csv) -> list[Frame | FrameError]:
    """Everything to the end, in order."""
    found: list[Frame | FrameError] = []
    source.open()
    try:
        while True:
            try:
                frame = source.read(1.0)
            except FrameError as exc:
                found.append(exc)
                continue
            if frame is not None:
                found.append(frame)
    except EndOfStream:
        return found
    finally:
        source.close()


def frames_of(found: list[Frame | FrameError]) -> list[Frame]:
    return [item for item in found if isinstance(item, Frame)]


def errors_of(found: list[Frame | FrameError]) -> list[str]:
    return [str(item) for item in found if isinstance(item, FrameError)]


def values(found: list[Frame | FrameError]) -> list:
    return np.concatenate([frame.data for frame in frames_of(found)]).tolist()


@pytest.fixture
def table(tmp_path: Path):
    """Writes a table and gives a source that plays it."""

    def write(text: str | bytes, **options) -> Csv:
        file = tmp_path / "t.csv"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return Csv(name="ecg", path=str(file), **options)

    return write


def test_a_plain_table_plays_as_it_is_written(table):
    found = play(table("I,II\n0.5,-1\n1.5,-2\n2.5,-3\n", rate_hz=100.0, chunk_s=0.02))
    frames = frames_of(found)
    assert values(found) == [[0.5, -1], [1.5, -2], [2.5, -3]]
    assert [len(frame.data) for frame in frames] == [2, 1]
    assert frames[0].leads == ("I", "II")
    assert frames[0].rate_hz == 100.0
    assert frames[1].timestamp_ns - frames[0].timestamp_ns == 20_000_000
    assert frames[0].data.dtype == np.float32


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("I;II\n1;2\n3;4\n", {}),
        ("I\tII\n1\t2\n3\t4\n", {}),
        ("I   II\n1   2\n3   4\n", {}),
        ("I|II\n1|2\n3|4\n", {"delimiter": "|"}),
        ("\ufeffI,II\r\n1,2\r\n3,4", {}),
        ("# made by hand\n\n I , II \n 1 , 2 \n\n 3 , 4 \n\n", {}),
        ("'I','II'\n1,2\n3,4\n", {}),
        ('"I","II"\n"1","2"\n"3","4"\n', {}),
        ('"a, b",lead i,II\n"x, y",1,2\n"z",3,4\n', {"leads": ("I", "ii")}),
        ("II,n,I\n2,x,1\n4,y,3\n", {"leads": ("I", "II")}),
        ("1,2\n3,4\n", {"leads": ("I", "II")}),
        ("'I','II'\n'uV','uV'\n1000,2000\n3000,4000\n", {}),
        ("I,II\n0.001,0.002\n0.003,0.004\n", {"unit": "V"}),
        ("I,II\n612,712\n812,912\n", {"unit": "adc", "mv_per_count": 0.01, "zero_count": 512}),
    ],
)
def test_tables_as_people_and_programs_write_them(table, text, options):
    found = play(table(text, rate_hz=250.0, **options))
    assert errors_of(found) == []
    np.testing.assert_allclose(values(found), [[1, 2], [3, 4]], rtol=1e-6)


def test_a_bad_row_is_told_by_file_and_line_and_leaves_a_gap(table):
    rows = ["I,II", "1,1", "2,2", "oops,3", "4,4", "5", "6,6,6", "7,1e400", "8,8", "9,1_0", "10,1"]
    found = play(table("\n".join(rows), rate_hz=100.0))
    kinds = ["frame" if isinstance(item, Frame) else "error" for item in found]
    assert kinds == ["frame", *["error"], "frame", *["error"] * 3, "frame", "error", "frame"]
    lines = [text.rpartition("t.csv:")[2] for text in errors_of(found)]
    assert lines == [
        "4: I: 'oops' is not a number",
        "6: has 1 columns, not 2",
        "7: has 3 columns, not 2",
        "8: II: '1e400' is not a number",
        "10: II: '1_0' is not a number",
    ]
    frames = frames_of(found)
    assert [frame.seq for frame in frames] == [0, 2, 4, 6]
    times = [frame.timestamp_ns - frames[0].timestamp_ns for frame in frames]
    assert times == [0, 30_000_000, 70_000_000, 90_000_000]


def test_rows_without_a_value_are_one_gap_however_many(table):
    rows = ["I", *["1"] * 50, *["nan", "", "NA", " NaN "] * 30, *["2"] * 50]
    found = play(table("\n".join(f"{row},0" for row in rows).replace("I,0", "I,x"), rate_hz=100.0))
    assert len(errors_of(found)) == 1
    assert errors_of(found)[0].endswith("t.csv:52: I: has no value")
    assert len(values(found)) == 100
    frames = frames_of(found)
    assert [b.seq - a.seq for a, b in pairwise(frames)].count(2) == 1


def test_a_time_column_gives_the_rate_the_times_and_the_gaps(table):
    times = [number / 250 for number in range(200) if not 100 <= number < 150]
    text = "time,I\n" + "".join(f"{t:.3f},1\n" for t in times)
    frames = frames_of(play(table(text, time_column="time", chunk_s=0.1)))
    assert frames[0].rate_hz == 250.0
    assert frames[0].leads == ("I",)
    assert [frame.seq for frame in frames] == [0, 1, 2, 3, 5, 6]
    begins = [frame.timestamp_ns - frames[0].timestamp_ns for frame in frames]
    assert begins == [0, 100_000_000, 200_000_000, 300_000_000, 600_000_000, 700_000_000]


@pytest.mark.parametrize(
    ("times", "options"),
    [
        (("10.000", "10.004", "10.008", "10.012"), {}),
        (("0:59.996", "1:00.000", "1:00.004", "1:00.008"), {}),
        (("'0:59.996'", "'1:00.000'", "'1:00.004'", "'1:00.008'"), {"time_unit": "ms"}),
        (("0", "4", "8", "12"), {"time_unit": "ms"}),
        (("4000", "8000", "12000", "16000"), {"time_unit": "us"}),
        (("4000000", "8000000", "12000000", "16000000"), {"time_unit": "ns", "rate_hz": 250.0}),
    ],
)
def test_times_in_every_unit(table, times, options):
    text = "t,I\n" + "".join(f"{t},1\n" for t in times)
    frames = frames_of(play(table(text, time_column="t", chunk_s=0.008, **options)))
    assert [len(frame.data) for frame in frames] == [2, 2]
    assert frames[0].rate_hz == 250.0
    assert frames[1].timestamp_ns - frames[0].timestamp_ns == 8_000_000


def test_times_that_are_dates_stamp_the_frames(table):
    text = "t,I\n1700000000.000,1\n1700000000.010,1\n1700000000.020,1\n"
    frames = frames_of(play(table(text, time_column="t", time_is="utc", chunk_s=0.02)))
    stamps = [frame.timestamp_ns for frame in frames]
    np.testing.assert_allclose(stamps[1] - stamps[0], 20_000_000, atol=500)
    assert abs(stamps[0] - 1_700_000_000_000_000_000) < 500


def test_times_that_stand_still_or_fall_are_bad_rows(table):
    text = "t,I\n0.00,1\n0.01,2\n0.01,3\n0.005,4\n0.02,5\n0.03,6\n"
    found = play(table(text, time_column="t"))
    assert values(found) == [[1], [2], [5], [6]]
    assert [text.partition("csv:")[2] for text in errors_of(found)] == [
        "4: time 0.01 is not after 0.01",
        "5: time 0.005 is not after 0.01",
    ]


SECONDS = "t,I\n" + "".join(f"{at},1\n" for at in range(30))


@pytest.mark.parametrize(
    ("text", "options", "problem"),
    [
        ("", {}, "holds no rows"),
        ("# only words\n\n", {}, "holds no rows"),
        ("1,2\n3,4\n", {}, r"t\.csv:1: is no header row: name all 2 columns in leads"),
        ("1,2\n3,4\n", {"leads": ("I",)}, "name all 2 columns"),
        ("# x\nI,II\n1,2\n", {"leads": ("V1",)}, r"t\.csv:2: of its columns none is named 'V1'"),
        ("I,i\n1,2\n", {"leads": ("Lead I",)}, "2 are named 'Lead I'"),
        ("I,II\n1,2\n", {"time_column": "t"}, "none is named 't'"),
        ("t\n1\n2\n", {"time_column": "t"}, "no column of samples"),
        ("I,P\nmV,mmHg\n1,2\n", {}, "'mmHg' is no voltage"),
        (SECONDS, {"time_column": "t", "rate_hz": 250.0}, "says 1 Hz, rate_hz says 250"),
        ("t,I\nx,1\n", {"time_column": "t", "rate_hz": None}, "too few times"),
        ("t,I\n0,1\n1,1\n", {"time_column": "t", "time_is": "utc", "time_unit": "s"}, None),
        ("t,I\n-9,1\n-8,1\n", {"time_column": "t", "time_is": "utc"}, "-9 is no time since 1970"),
        (b"\x00\xff\xfe" * 40, {}, "is no voltage|no header row|named|holds"),
    ],
)
def test_a_table_that_cannot_be_played_is_told_in_one_line(table, text, options, problem):
    options = {"rate_hz": 1.0, **options}
    if isinstance(text, bytes):
        options["leads"] = ("I",)
    source = table(text, **options)
    if problem is None:
        source.open()
        source.close()
        return
    with pytest.raises(ConfigError, match=problem) as told:
        source.open()
    assert "\n" not in str(told.value)
    source.close()


def test_what_is_not_there_or_no_file_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.csv: no such file"):
        Csv(name="ecg", path=str(tmp_path / "none.csv"), rate_hz=1.0).open()
    with pytest.raises(ConfigError, match="is not a file"):
        Csv(name="ecg", path=str(tmp_path), rate_hz=1.0).open()


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({}, "rate_hz"),
        ({"rate_hz": 0.0}, "rate_hz"),
        ({"rate_hz": float("nan")}, "rate_hz"),
        ({"rate_hz": 1.0, "path": ""}, "path"),
        ({"rate_hz": 1.0, "unit": "adc"}, "mv_per_count"),
        ({"rate_hz": 1.0, "mv_per_count": 0.1}, "mv_per_count"),
        ({"rate_hz": 1.0, "unit": "adc", "mv_per_count": 0.0}, "mv_per_count"),
        ({"rate_hz": 1.0, "zero_count": float("inf")}, "zero_count"),
        ({"rate_hz": 1.0, "delimiter": "::"}, "delimiter"),
        ({"rate_hz": 1.0, "pace": "fast"}, "pace"),
        ({"rate_hz": 1.0, "path": "-", "loop": True}, "loop"),
    ],
)
def test_an_option_that_cannot_be_is_refused_before_anything_opens(options, key):
    with pytest.raises(BadOptionError) as told:
        Csv(**{"name": "ecg", "path": "a.csv", **options})
    assert told.value.key == key


def test_an_endless_line_is_a_bad_row_and_not_a_full_memory(table):
    found = play(table("I,II\n1,2\n" + "9" * 5_000_000 + "\n3,4\n", rate_hz=1.0))
    assert values(found) == [[1, 2], [3, 4]]
    assert len(errors_of(found)) == 1
    assert len(errors_of(found)[0]) < 200


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(
        st.one_of(st.just("good"), st.text("0123456789.,;-+einfa_:'\"\t \x00é\r\n", max_size=12)),
        max_size=30,
    ),
    timed=st.booleans(),
)
def test_whatever_stands_in_it_only_good_rows_become_samples(table, rows, timed):
    body = [f"{at / 100:.2f},1.5" if row == "good" else row for at, row in enumerate(rows)]
    options = {"time_column": "t"} if timed else {"leads": ("I",)}
    found = play(table("\n".join(["t,I", *body]), rate_hz=100.0, **options))
    frames = frames_of(found)
    assert all(np.isfinite(frame.data).all() for frame in frames)
    assert len(errors_of(found)) <= len("\n".join(body).split("\n"))
    for before, after in pairwise(frames):
        assert after.seq > before.seq
        assert after.timestamp_ns > before.timestamp_ns


def test_the_cut_into_blocks_is_not_seen(table):
    rows = [f"{at / 100:.2f},{at}" for at in range(30_000)]  # some 400 kB: several reads
    rows[20_000] = "bad"
    found = play(table("t,I\n" + "\n".join(rows), time_column="t", chunk_s=1.0))
    assert [int(value) for (value,) in values(found)] == [
        at for at in range(30_000) if at != 20_000
    ]
    assert errors_of(found)[0].partition("csv:")[2].startswith("20002: ")
    assert {len(frame.data) for frame in frames_of(found)[:-1]} == {100}


def test_two_hundred_thousand_rows_take_less_than_a_second(table):
    text = "t,I,II\n" + "".join(f"{at / 360:.5f},{at % 99},{at % 7}\n" for at in range(200_000))
    source = table(text, time_column="t")
    begun = time.process_time()
    found = play(source)
    took_s = time.process_time() - begun
    assert len(values(found)) == 200_000
    assert took_s < 1.0


def test_a_loop_goes_on_in_time_and_jumps_in_seq(table):
    text = "# by hand\nt,I\ns,mV\n0,1\n0.01,2\n0.02,bad\n0.03,4\n"
    source = table(text, time_column="t", loop=True, chunk_s=1)
    source.open()
    found = []
    while len(frames_of(found)) < 6:
        try:
            found.append(source.read(1.0))
        except FrameError as exc:
            found.append(exc)
    source.close()

    frames = frames_of(found)
    assert [frame.data.tolist() for frame in frames] == 3 * [[[1], [2]], [[4]]]
    after_ms = [(frame.timestamp_ns - frames[0].timestamp_ns) / 1e6 for frame in frames]
    assert after_ms == [0, 30, 40, 70, 80, 110]
    assert [frame.seq for frame in frames] == [0, 2, 4, 6, 8, 10]
    assert [error.rpartition("t.csv:")[2] for error in errors_of(found)] == 3 * [
        "6: I: 'bad' is not a number"
    ]


def test_a_loop_over_a_table_without_times_counts_on(table):
    source = table("I\n" + "".join(f"{k}\n" for k in range(700)), rate_hz=100.0, loop=True)
    source.open()
    frames = [source.read(1.0) for _ in range(60)]
    source.close()
    values_ = np.concatenate([frame.data for frame in frames])[:, 0]
    assert values_[:1400].tolist() == 2 * list(range(700))
    last_ns = frames[59].timestamp_ns - frames[0].timestamp_ns
    assert last_ns == sum(len(frame.data) for frame in frames[:59]) * 10_000_000


def test_a_loop_over_a_table_without_a_row_ends(table):
    assert play(table("I\n", rate_hz=100.0, loop=True)) == []


def test_real_pace_waits_for_the_samples_to_be_due(table):
    source = table("I\n" + "1\n" * 40, rate_hz=100.0, pace="real", chunk_s=0.1)
    source.open()
    assert source.read(0.01) is None
    begun = time.monotonic()
    count = 0
    with pytest.raises(EndOfStream):
        while True:
            count += source.read(1.0) is not None
    source.close()
    assert count == 4
    assert 0.3 < time.monotonic() - begun < 5.0


PIPE = """
import sys
from edge_runtime.errors import EndOfStream
from edge_runtime.sources.records.csv import Csv

source = Csv(name="ecg", path="-", rate_hz=100.0, chunk_s=0.02)
source.open()
print("open", flush=True)
try:
    while True:
        frame = source.read(0.05)
        if frame is not None:
            print(frame.seq, frame.data.ravel().tolist(), flush=True)
except EndOfStream:
    print("end", flush=True)
source.close()
"""


def test_a_pipe_is_played_as_it_comes():
    with subprocess.Popen(
        [sys.executable, "-c", PIPE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:

        def say(text: str) -> None:
            child.stdin.write(text)
            child.stdin.flush()

        say("I\n1\n2\n3\n")
        assert child.stdout.readline() == "open\n"
        assert child.stdout.readline() == "0 [1.0, 2.0]\n"
        say("4\n5")
        assert child.stdout.readline() == "1 [3.0, 4.0]\n"
        child.stdin.close()
        assert child.stdout.readline() == "2 [5.0]\n"
        assert child.stdout.readline() == "end\n"
    assert child.returncode == 0


def test_a_pipe_that_brings_nothing_is_a_lost_source(monkeypatch):
    monkeypatch.setattr("edge_runtime.sources.records.csv.FIRST_ROWS_S", 0.1)
    read_end, write_end = os.pipe()
    with os.fdopen(read_end) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        source = Csv(name="ecg", path="-", rate_hz=1.0)
        with pytest.raises(SourceLostError, match="standard input: no rows came"):
            source.open()
        source.close()
    os.close(write_end)
