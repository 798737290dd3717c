"""A start with many results waiting: what is new comes first, and nothing is missing."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_runtime import wire
from edge_runtime.frame import Identity
from edge_runtime.outbox.row import Batch, Row
from edge_runtime.outbox.store import Store

from ..brokers import wait_until
from ..messages import result

pytestmark = pytest.mark.alone

ROWS = 100_000
CHUNK = 5_000
LATER_S = 5.0  # so much later than without a backlog, at most
SOURCES = ("now", "before")
IDENTITY = Identity("bed-7", "ward")
RUN_FILE = """\
name = "ward"
device = "bed-7"
[model]
path = "ecg-beats"
[[source]]
kind = "ecgsyn"
name = "now"
seconds = 600.0
mean_bpm = 180.0
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
kind = "mqtt"
url = "{url}"
state = "{state}"
"""


def build(state: Path, count: int) -> None:
    """What an earlier process of the pipeline left, of the source `before`."""
    encoder, topic = wire.Encoder(IDENTITY), wire.Topics(IDENTITY, "edge").result("before")
    store = Store(Path(state, *IDENTITY, "outbox.db"), power=False)
    store.open()
    for first in range(0, count, CHUNK):
        made = [result(at, source="before") for at in range(first, first + CHUNK)]
        rows = [
            Row(one.seq + 1, one.id, "before", one.seq, topic, encoder.result(one), "1.2.0",
                one.timestamp_ns, False, 0)
            for one in made
        ]  # fmt: skip
        store.commit(Batch(add=rows))
    store.close()


@contextmanager
def started(broker, now, folder: Path, state: Path):
    """`edge-run start`, and how long it took until its first live result; killed at the end."""
    run_file = folder / "run.toml"
    run_file.write_text(RUN_FILE.format(url=broker.url, state=state))
    began = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, "-m", "edge_runtime", "start", str(run_file)], stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: now.messages, 30)
        yield time.monotonic() - began
    finally:
        child.kill()
        child.wait()


def heard(listener) -> list[dict]:
    return [json.loads(message.payload) for message in list(listener.messages)]


@pytest.mark.timeout(60)
def test_a_hundred_thousand_waiting_results_do_not_keep_the_first_new_one_waiting(
    tmp_path, mosquitto, listen
):
    broker = mosquitto()
    build(tmp_path / "full", ROWS)
    alone = listen(broker.url, topic="edge/+/+/now/result")
    with started(broker, alone, tmp_path, tmp_path / "empty") as without_s:
        pass
    now, before = (listen(broker.url, topic=f"edge/+/+/{name}/result") for name in SOURCES)
    with started(broker, now, tmp_path, tmp_path / "full") as with_s:
        wait_until(lambda: len(now.messages) >= 3)
        wait_until(lambda: len(before.messages) >= 1000)
    assert with_s - without_s < LATER_S
    assert not any(one["historical"] for one in heard(now))
    assert all(one["historical"] for one in heard(before))
    store = Store(Path(tmp_path, "full", *IDENTITY, "outbox.db"))
    store.open()
    left = [row.seq for row in store.load(1, ROWS + 1, ROWS)]
    store.close()
    assert left, "the backlog went first"
    assert left == list(range(left[0], ROWS))
    wait_until(lambda: len(before.messages) >= left[0])  # it was still on its way to us
    seqs = [one["seq"] for one in heard(before)]
    assert seqs == list(range(len(seqs)))
