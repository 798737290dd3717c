"""`edge-run watch` as its users run it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from edge_runtime.frame import Identity
from edge_runtime.sinks.mqtt import Mqtt
from tests.brokers import free_port, wait_until
from tests.e2e.commands import edge_run
from tests.messages import IDENTITY, INFO, result
from tests.needs import ROOT, program


@pytest.fixture
def published(mosquitto):
    """A broker at which results keep coming, ten a second, from two pipelines."""
    broker = mosquitto()
    sinks = [
        Mqtt(identity=identity, url=broker.url)
        for identity in (IDENTITY, Identity("bed-8", "ward"))
    ]
    for sink in sinks:
        sink.open()
        sink.announce(INFO)
    import threading

    stop = threading.Event()

    def publish() -> None:
        seq = 0
        while not stop.wait(0.05):
            for sink in sinks:
                sink.publish(result(seq))
            seq += 1

    thread = threading.Thread(target=publish)
    thread.start()
    yield broker
    stop.set()
    thread.join()
    for sink in sinks:
        sink.close()


def start(*words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-u", "-m", "edge_runtime", "watch", *map(str, words)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_it_shows_who_is_there_and_what_they_say(published):
    done = edge_run("watch", "--url", published.url, "--count", 4, "--timeout", 20)

    assert done.code == 0
    assert "edge/bed-7/ward is online" in done.out
    assert "bed-8/ward: beats 1.2.0 on tflite/xnnpack; sources: port live" in done.out
    assert done.out.count("person 0.75") == 4
    assert "4 results" in done.err


def test_one_device_alone_as_json_lines(published):
    done = edge_run(
        "watch", "--url", published.url, "--device", "bed-8", "--json", "--count", 5
    )  # fmt: skip

    documents = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 0
    assert len(documents) == 5
    assert {item["device"] for item in documents} == {"bed-8"}


def test_a_repeat_is_shown_once(mosquitto):
    broker = mosquitto()
    watcher = start("--url", broker.url, "--json", "--count", 3, "--timeout", 20)
    sink = Mqtt(identity=IDENTITY, url=broker.url)
    sink.open()
    sent = 0
    while watcher.poll() is None and sent < 200:
        for seq in (sent, sent, sent + 1):
            sink.publish(result(seq))
        sent += 2
        time.sleep(0.1)
    sink.close()
    out, err = watcher.communicate(timeout=20)

    numbers = [json.loads(line)["seq"] for line in out.splitlines()]
    assert len(set(numbers)) == len(numbers) == 3
    assert "repeats left out" in err


def test_ctrl_c_ends_it_well_with_a_summary(published):
    watcher = start("--url", published.url)
    watcher.stdout.readline()
    watcher.send_signal(signal.SIGINT)
    _, err = watcher.communicate(timeout=10)

    assert watcher.returncode == 0
    assert "results" in err
    assert "Traceback" not in err


def test_a_timeout_alone_is_no_failure_but_a_count_not_reached_is(mosquitto):
    broker = mosquitto()

    assert edge_run("watch", "--url", broker.url, "--timeout", 0.3).code == 0
    missed = edge_run("watch", "--url", broker.url, "--timeout", 0.3, "--count", 1)

    assert missed.code == 1
    assert missed.errors == ["edge-run: 0 of 1 results within 0.3 s"]


def test_a_broker_out_of_reach_is_exit_1_in_one_line():
    port = free_port()
    done = edge_run("watch", "--url", f"mqtt://localhost:{port}")

    assert done.code == 1
    assert done.err.strip() == (
        f"edge-run: mqtt://localhost:{port}: nothing listens there (connection refused)"
    )


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["--url", "broker"], "--url"),
        (["--url", "mqtt://10.0.0.1"], "--url"),
        (["--device", "a/b"], "--device"),
        (["--pipeline", "#"], "--pipeline"),
        (["--prefix", ""], "--prefix"),
        (["--cert-file", "x"], "--key-file"),
    ],
)
def test_a_wrong_option_is_exit_2_and_named(words, option):
    done = edge_run("watch", *words)

    assert done.code == 2
    assert done.err.startswith(f"edge-run: {option}: ")
    assert len(done.err.splitlines()) == 1


def test_it_comes_back_when_the_broker_does(mosquitto):
    broker = mosquitto()
    watcher = start("--url", broker.url, "--json", "--count", 1, "--timeout", 30)
    wait_until(lambda: "edge-run-watch-" in broker.log.read_text())
    broker.kill()
    broker.start()
    sink = Mqtt(identity=IDENTITY, url=broker.url)
    sink.open()
    seq = 0
    while watcher.poll() is None and seq < 200:
        sink.publish(result(seq))
        seq += 1
        time.sleep(0.1)
    sink.close()
    out, err = watcher.communicate(timeout=20)

    assert watcher.returncode == 0
    assert len(out.splitlines()) == 1
    assert "trying again" in err


def test_the_password_comes_from_the_environment_and_shows_nowhere(mosquitto, tmp_path):
    passwords = tmp_path / "passwords"
    tool = program("mosquitto_passwd", "mosquitto")
    subprocess.run([tool, "-b", "-c", str(passwords), "ward", "s3cret"], check=True)
    broker = mosquitto(f"password_file {passwords}", anonymous=False)
    words = ("watch", "--url", broker.url, "--username", "ward", "--timeout", 0.3)

    right = edge_run(*words, environment={"EDGE_RUN_MQTT_PASSWORD": "s3cret"})
    wrong = edge_run(*words, environment={"EDGE_RUN_MQTT_PASSWORD": "wr0ng-s3cret"})

    assert right.code == 0
    assert wrong.code == 1
    assert "refused" in wrong.err
    assert "s3cret" not in right.out + right.err + wrong.out + wrong.err


def test_messages_of_others_under_the_same_prefix_do_no_harm(mosquitto):
    import paho.mqtt.publish as paho

    broker = mosquitto()
    watcher = start("--url", broker.url, "--count", 1, "--timeout", 20)
    wait_until(lambda: "edge-run-watch-" in broker.log.read_text())
    time.sleep(0.3)
    foreign = [b"", b"\xff\xfe", b"[]", b"{}", b"null", b'{"id": []}', b'{"id": "x"}']
    messages = [{"topic": "edge/d/p/s/result", "payload": payload} for payload in foreign]
    paho.multiple([*messages, {"topic": "edge/d/p/info", "payload": "1"}], port=broker.port)
    sink = Mqtt(identity=IDENTITY, url=broker.url)
    sink.open()
    sink.publish(result())
    sink.close()
    out, err = watcher.communicate(timeout=30)

    assert watcher.returncode == 0, err
    assert out.count("not a message of edge-run") == len(foreign) + 1
    assert "person 0.75" in out
