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
from .commands import edge_run

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


def test_a_stop_while_the_broker_is_away_keeps_every_result_for_the_next_start(
    tmp_path, mosquitto, listen
):
    broker = mosquitto(started=False)
    process = begin(tmp_path, broker.port)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 0, stderr  # nothing is lost, and the stop was asked for
    assert re.search(rf"{told(stderr)} results not delivered .*kept in .*outbox\.db", stderr)
    ids = [json.loads(line)["id"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]

    broker.start()
    heard = listen(broker.url)
    (tmp_path / "out.jsonl").unlink()
    process = begin(tmp_path, broker.port)
    wait_until(lambda: len(heard.on("/result")) > len(ids))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)

    documents = [json.loads(payload) for payload in heard.on("/result")]
    assert [item["id"] for item in documents if item["historical"]] == ids


def test_a_recording_whose_results_could_not_be_delivered_is_exit_1(tmp_path):
    text = RUN_FILE.format(port=9).replace("100000", "60").replace('pace = "real"', "")
    (tmp_path / "run.toml").write_text(text)

    done = edge_run("start", tmp_path / "run.toml")

    assert done.code == 1
    assert "60 results not delivered" in done.err.splitlines()[-1]


def test_two_of_one_name_cannot_share_an_outbox(tmp_path):
    process = begin(tmp_path, 9)
    second = edge_run("start", tmp_path / "run.toml")
    process.kill()
    process.communicate()

    assert second.code == 2
    assert "another process uses this outbox" in second.err.splitlines()[-1]


def test_the_outbox_of_a_stopped_pipeline_can_be_looked_at(tmp_path, mosquitto, listen):
    rules = tmp_path / "acl"
    rules.write_text("topic readwrite edge/+/+/status\ntopic readwrite edge/+/+/shapes/gap\n")
    broker = mosquitto(f"acl_file {rules}")
    heard = listen(broker.url)
    process = begin(tmp_path, broker.port)
    assert edge_run("outbox", tmp_path / "run.toml").code == 2  # it is in use
    wait_until(lambda: heard.on("/gap"))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)

    found = json.loads(edge_run("outbox", tmp_path / "run.toml", "--json").out)[0]
    letters = len(found["dead_letters"])
    assert letters > 0
    assert {letter["reason"] for letter in found["dead_letters"]} == {"not authorized"}

    text = edge_run("outbox", tmp_path / "run.toml", "--retry").out
    assert f"{letters} dead letters are sent again at the next start" in text
    again = json.loads(edge_run("outbox", tmp_path / "run.toml", "--json").out)[0]
    assert (again["rows"], again["dead_letters"]) == (found["rows"] + letters, [])


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
