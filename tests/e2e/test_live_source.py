"""A live ECG over a serial line: beats while it runs, a published state when it does not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import tty

from edge_runtime.ecg.synthetic import Player, SyntheticEcg

from ..brokers import wait_until

RATE_HZ = 250
RUN_FILE = """\
name = "bedside"
[model]
path = "ecg-beats"
[[source]]
kind = "serial"
name = "chest"
port = "{port}"
rate_hz = 250.0
mv_per_count = 0.005
zero_count = 512
[[step]]
kind = "bandpass"
low_hz = 0.5
high_hz = 40.0
[[step]]
kind = "beats"
[[sink]]
kind = "mqtt"
url = "{url}"
"""


def play(port: int, counts: list[int], stop: threading.Event) -> None:
    """Print a sample a line, as a front end does, until told to stop."""
    began = time.monotonic()
    for number, count in enumerate(counts):
        if stop.wait(max(0.0, began + number / RATE_HZ - time.monotonic())):
            return
        os.write(port, b"%d\r\n" % count)


def states(heard) -> list[str]:
    return [json.loads(payload)["sources"][0]["state"] for payload in heard.on("/info")]


def test_s11_a_serial_line_gives_beats_and_its_troubles_are_states_without_results(
    tmp_path, mosquitto, listen
):
    ecg = Player(SyntheticEcg(RATE_HZ, 60, premature=0.0))
    counts = [round(512 + value / 0.005) for value in ecg.next(60 * RATE_HZ)]
    near, far = os.openpty()
    tty.setraw(far)
    broker = mosquitto()
    heard = listen(broker.url)
    run_file = tmp_path / "run.toml"
    run_file.write_text(RUN_FILE.format(port=os.ttyname(far), url=broker.url))
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_runtime", "start", str(run_file)],
        stderr=subprocess.PIPE,
        text=True,
    )
    silent = threading.Event()
    player = threading.Thread(target=play, args=(near, counts, silent))
    wait_until(lambda: "live" in states(heard))
    player.start()
    wait_until(lambda: len(heard.on("/chest/result")) >= 3, 30)
    silent.set()
    player.join()
    os.write(near, b"!\r\n" * 5)
    wait_until(lambda: states(heard)[-1] == "lead-off")
    os.close(near)
    os.close(far)
    wait_until(lambda: states(heard)[-1] == "lost")
    time.sleep(1.0)
    count = len(heard.on("/chest/result"))
    time.sleep(1.0)
    assert len(heard.on("/chest/result")) == count
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=15)
    assert process.returncode == 0, stderr
    assert "source chest is lost" in stderr
    for payload in heard.on("/chest/result"):
        (beat,) = json.loads(payload)["result"]["beats"]
        assert beat["label"] == "N"
