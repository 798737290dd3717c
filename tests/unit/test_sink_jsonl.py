"""Sink jsonl: whole lines, a bound, and a count of what the disk refused."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_runtime.errors import BadOptionError, ConfigError, SinkError
from edge_runtime.sinks.jsonl import Jsonl
from tests.messages import IDENTITY, INFO, result
from tests.needs import ROOT

TO_STDOUT = """\
from edge_runtime.sinks.jsonl import Jsonl
from tests.messages import IDENTITY, result
sink = Jsonl(identity=IDENTITY, path="-")
sink.open()
for seq in range({count}):
    sink.publish(result(seq))
sink.close()
"""


def jsonl(path: Path, **options) -> Jsonl:
    sink = Jsonl(identity=IDENTITY, path=str(path), **options)
    sink.open()
    return sink


def seqs(path: Path) -> list[int]:
    return [json.loads(line)["seq"] for line in path.read_text().splitlines()]


def test_each_result_is_a_line_that_is_there_at_once(tmp_path):
    sink = jsonl(tmp_path / "a.jsonl")

    for seq in range(3):
        sink.publish(result(seq))
        assert seqs(tmp_path / "a.jsonl") == list(range(seq + 1))
    sink.announce(INFO)
    sink.close()

    assert seqs(tmp_path / "a.jsonl") == [0, 1, 2]


def test_a_second_run_appends(tmp_path):
    for seq in range(2):
        sink = jsonl(tmp_path / "a.jsonl")
        sink.publish(result(seq))
        sink.close()

    assert seqs(tmp_path / "a.jsonl") == [0, 1]


def test_a_line_torn_by_a_power_cut_spoils_no_other(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"seq":0}\n{"seq":')

    sink = jsonl(path)
    sink.publish(result(5))
    sink.close()

    lines = path.read_text().splitlines()
    assert json.loads(lines[0])["seq"] == 0
    assert json.loads(lines[-1])["seq"] == 5


def test_a_full_file_becomes_the_old_one(tmp_path):
    path = tmp_path / "a.jsonl"
    sink = jsonl(path, max_mb=0.002)

    for seq in range(11):
        sink.publish(result(seq))
    sink.close()

    old = seqs(Path(f"{path}.1"))
    assert path.stat().st_size <= 2000
    assert Path(f"{path}.1").stat().st_size <= 2000
    assert old + seqs(path) == list(range(old[0], 11))


def test_one_result_larger_than_the_limit_is_written_all_the_same(tmp_path):
    sink = jsonl(tmp_path / "a.jsonl", max_mb=0.0001)

    for seq in range(3):
        sink.publish(result(seq))
    sink.close()

    assert seqs(tmp_path / "a.jsonl") == [2]


def test_a_full_disk_is_counted_told_once_and_leaves_whole_lines(tmp_path, caplog):
    path = tmp_path / "a.jsonl"
    sink = jsonl(path)
    sink.publish(result(0))
    limit = path.stat().st_size * 2 + 20  # room for one more line and a piece of the next
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # EFBIG instead: a disk with an end
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        for seq in range(1, 5):
            sink.publish(result(seq))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)

    sink.publish(result(5))
    with pytest.raises(SinkError, match="3 results not written"):
        sink.close()

    assert seqs(path) == [0, 1, 5]
    assert len(caplog.records) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_device_without_room_is_counted(tmp_path):
    sink = jsonl(tmp_path / "a.jsonl")
    sink.close()
    (tmp_path / "full").symlink_to("/dev/full")

    sink = jsonl(tmp_path / "full")
    sink.publish(result())
    with pytest.raises(SinkError, match=r"1 results not written .No space left"):
        sink.close()


@pytest.mark.parametrize("bad", ["missing/a.jsonl", "."])
def test_a_path_that_cannot_be_opened_is_a_matter_of_configuration(tmp_path, bad):
    with pytest.raises(ConfigError, match=r"jsonl: path: .*(No such file|Is a directory)"):
        jsonl(tmp_path / bad)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"path": ""}, "path"),
        ({"path": "a", "max_mb": -1.0}, "max_mb"),
        ({"path": "-", "max_mb": 1.0}, "max_mb"),
    ],
)
def test_impossible_options_are_refused_by_their_key(options, key):
    with pytest.raises(BadOptionError) as caught:
        Jsonl(identity=IDENTITY, **options)
    assert caught.value.key == key


def test_a_dash_is_standard_output():
    done = subprocess.run(
        [sys.executable, "-c", TO_STDOUT.format(count=3)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert [json.loads(line)["seq"] for line in done.stdout.splitlines()] == [0, 1, 2]


def test_a_reader_that_leaves_ends_the_run():
    writer = subprocess.Popen(
        [sys.executable, "-c", TO_STDOUT.format(count=100_000)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    writer.stdout.readline()
    writer.stdout.close()

    assert writer.wait(30) == 1
    assert "SinkError: standard output was closed" in writer.stderr.read()
    writer.stderr.close()
