from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from statistics import median

import pytest

from ..brokers import wait_until

RUN = [sys.executable, "-m", "edge_runtime", "replay"]


def refused(*words: str) -> str:
    done = subprocess.run([*RUN, *words], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def test_the_first_line_says_what_to_open_and_the_truth_what_happened(tmp_path):
    truth = tmp_path / "truth.jsonl"
    words = ["ecgsyn:30", "--to", "tcp://127.0.0.1:0", "--speed", "max", "--seed", "4"]
    words += ["--fault", "lead-off@10+2", "--fault", "gap@20+1", "--truth", str(truth)]
    process = subprocess.Popen([*RUN, *words], stdout=subprocess.PIPE, text=True)
    where = process.stdout.readline().strip()
    host, port = where.removeprefix("tcp://").split(":")
    received = b""
    with socket.create_connection((host, int(port)), timeout=20) as client:
        while piece := client.recv(1 << 16):
            received += piece
    assert process.wait(20) == 0
    process.stdout.close()
    lines = received.split(b"\r\n")[:-1]
    assert len(lines) == 29 * 360
    assert sum(line.endswith(b",!") for line in lines) == 720
    told = [json.loads(line) for line in truth.read_text().splitlines()]
    assert (told[0]["what"], told[0]["rate_hz"], told[0]["leads"]) == ("start", 360.0, ["MLII"])
    faults = [(t["fault"], t["phase"], t["time_s"]) for t in told if t["what"] == "fault"]
    assert faults == [
        ("lead-off", "begin", 10.0),
        ("lead-off", "end", 12.0),
        ("gap", "begin", 20.0),
        ("gap", "end", 21.0),
    ]
    end = told[-1]
    assert (end["what"], end["samples"], end["bytes"]) == ("end", 30 * 360, len(received))
    assert end["lost_bytes"] == 0
    assert sum(t["what"] == "beat" for t in told) > 25


def test_a_replay_that_is_told_to_stop_removes_its_link_and_exits_0(tmp_path):
    link = tmp_path / "board"
    process = subprocess.Popen(
        [*RUN, "ecgsyn", "--loop", "--to", f"pty:{link}", "--as", "ad8232"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline().strip() == str(link)
    fd = os.open(link, os.O_RDONLY | os.O_NOCTTY)
    first = os.read(fd, 100)
    assert all(0 <= int(line) <= 1023 for line in first.split(b"\r\n")[:-1])
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=20)
    os.close(fd)
    assert process.returncode == 0, stderr
    assert "samples in" in stderr
    assert not link.is_symlink()


def test_standard_output_holds_nothing_but_the_stream(data):
    words = [str(data / "ecg" / "mitdb" / "100"), "--to", "stdout", "--as", "cyton"]
    process = subprocess.Popen(
        [*RUN, *words, "--speed", "max"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    raw = process.stdout.read(33 * 1000)
    assert {(raw[at], raw[at + 1], raw[at + 32]) for at in range(0, 33 * 256, 33)} == {
        (0xA0, counter, 0xC0) for counter in range(256)
    }
    process.stdout.close()
    stderr = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(20) == 1  # its reader has gone
    assert "Traceback" not in stderr


def test_what_the_board_can_speak_is_listed():
    done = subprocess.run([*RUN, "--formats"], capture_output=True, text=True, check=True)
    assert {"lines", "timed-lines", "ad8232", "cyton"} <= {
        line.split()[0] for line in done.stdout.splitlines()
    }


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere/100"], "nowhere/100"),
        (["ecgsyn", "--fault", "gab@3+1"], "did you mean 'gap'"),
        (["ecgsyn", "--speed", "fast"], "--speed fast: write 1, 100"),
        (["ecgsyn", "--speed", "nan"], "--speed nan: write 1, 100"),
        (["ecgsyn", "--to", "carrier-pigeon"], "--to carrier-pigeon: write pty"),
        (["ecgsyn", "--as", "citon"], "did you mean 'cyton'"),
        (["ecgsyn", "--as", "ads1293"], "--mv-per-count"),
        (["ecgsyn", "--fault", "noise=bw:6dB"], "--noise-from"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_2(words, told):
    assert told in refused(*words)


def test_a_pipeline_runs_on_a_replay_and_finds_the_beats_of_the_truth(tmp_path):
    truth, results = tmp_path / "truth.jsonl", tmp_path / "results.jsonl"
    replay = subprocess.Popen(
        [*RUN, "ecgsyn:8", "--to", "pty", "--as", "timed-lines", "--truth", str(truth)],
        stdout=subprocess.PIPE,
        text=True,
    )
    port = replay.stdout.readline().strip()
    run_file = tmp_path / "run.toml"
    run_file.write_text(
        f"""
name = "bench"
[model]
path = "ecg-beats"
[[source]]
kind = "serial"
name = "chest"
port = "{port}"
rate_hz = 360.0
mv_per_count = 0.001
t_us_column = 0
[[step]]
kind = "resample"
rate_hz = 250.0
[[step]]
kind = "bandpass"
low_hz = 0.5
high_hz = 40.0
[[step]]
kind = "beats"
[[sink]]
kind = "jsonl"
path = "{results}"
"""
    )
    pipeline = subprocess.Popen(
        [sys.executable, "-m", "edge_runtime", "start", str(run_file)], stderr=subprocess.PIPE
    )
    assert replay.wait(60) == 0
    replay.stdout.close()
    wait_until(lambda: results.exists() and results.read_text().count("\n") >= 5, 20)
    pipeline.send_signal(signal.SIGTERM)
    pipeline.communicate(timeout=20)
    told = [json.loads(line) for line in truth.read_text().splitlines()]
    began_ns = told[0]["began_ns"]
    true_ns = [began_ns + beat["time_s"] * 1e9 for beat in told if beat["what"] == "beat"]
    found_ns = [
        _time_ns(beat["timestamp"])
        for line in results.read_text().splitlines()
        for beat in json.loads(line)["result"]["beats"]
    ]
    assert len(found_ns) >= 5
    errors_s = [min(abs(found - true) for true in true_ns) / 1e9 for found in found_ns]
    assert median(errors_s) < 0.1
    assert max(errors_s) < 0.4  # a beat before the clock of arrivals has settled


def _time_ns(text: str) -> int:
    from edge_runtime.parse_outcome import time_ns

    return time_ns(text)
