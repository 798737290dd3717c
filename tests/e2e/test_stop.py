"""Told to stop, a pipeline delivers what it computed and says so with its exit code."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ..brokers import wait_until

RUN_FILE = """\
name = "stopped"
[model]
path = "shapes"
[[source]]
kind = "shapes"
count = 100000
pace = "real"
rate_hz = 50.0
[[sink]]
kind = "jsonl"
path = "out.jsonl"
[[sink]]
kind = "mqtt"
url = "mqtt://127.0.0.1:{port}"
drain_s = 1.0
"""


def begin(folder: Path, port: int) -> subprocess.Popen[str]:
    (folder / "run.toml").write_text(RUN_FILE.format(port=port))
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_runtime", "start", str(folder / "run.toml")],
        stderr=subprocess.PIPE,
        text=True,
    )
    out = folder / "out.jsonl"
    wait_until(lambda: out.exists() and out.stat().st_size > 2000, 30)
    return process


def told(stderr: str) -> int:
    return int(re.search(r"(\d+) results from", stderr).group(1))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_h08_a_signal_stops_cleanly_with_everything_delivered(number, tmp_path, mosquitto, listen):
    broker = mosquitto()
    heard = listen(broker.url)
    process = begin(tmp_path, broker.port)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=15)
    assert process.returncode == 0, stderr
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    wait_until(lambda: heard.on("/status")[-1:] == [b"stopped"])
    ids = [json.loads(line)["id"] for line in lines]
    assert len(ids) == told(stderr)
    assert [json.loads(payload)["id"] for payload in heard.on("/result")] == ids


def test_a_stop_while_the_broker_is_away_is_exit_1_and_says_how_many_wait(tmp_path):
    process = begin(tmp_path, 9)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 1
    assert f"{told(stderr)} results not delivered" in stderr.splitlines()[-1]


def test_killed_it_leaves_the_will_and_whole_lines(tmp_path, mosquitto, listen):
    broker = mosquitto()
    heard = listen(broker.url)
    process = begin(tmp_path, broker.port)
    wait_until(lambda: b"online" in heard.on("/status"))
    process.kill()
    process.communicate()
    wait_until(lambda: heard.on("/status")[-1] == b"offline")
    for line in (tmp_path / "out.jsonl").read_text().splitlines():
        assert json.loads(line)["schema"] == 1
