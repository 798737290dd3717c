"""`edge-run watch` as its users run it."""

from __future__ import annotations

import itertools
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from edge_runtime.outcome import Label, Labels
from tests.brokers import free_port, wait_until
from tests.e2e.commands import edge_run
from tests.messages import MODEL, result
from tests.needs import ROOT, program


@pytest.fixture
def published(mosquitto, device):
    """A broker at which results keep coming, twenty a second, from two pipelines."""
    broker = mosquitto()
    devices = [device(broker.port), device(broker.port, "bed-8", "cbor")]
    for one in devices:
        one.introduce()
    stop = threading.Event()

    def publish() -> None:
        for seq in itertools.count():
            for one in devices:
                one.results([seq])
            if stop.wait(0.05):
                return

    thread = threading.Thread(target=publish)
    thread.start()
    yield broker
    stop.set()
    thread.join()


WATCH = (sys.executable, "-u", "-m", "edge_runtime", "watch")


class Watcher:
    """`edge-run watch` that has subscribed."""

    def __init__(self, log: Path, url: str, *words: object) -> None:
        self._log = log
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                [*WATCH, "--url", url, *map(str, words)],
                cwd=ROOT, stdout=subprocess.PIPE, stderr=stream, text=True,
            )  # fmt: skip
        self.wait_for_connection(1)

    @property
    def err(self) -> str:
        return self._log.read_text()

    def wait_for_connection(self, number: int) -> None:
        wait_until(lambda: self.err.count("connected, MQTT") >= number, timeout_s=30)

    def out(self) -> str:
        """What it wrote, once it has ended by itself."""
        return self.process.communicate(timeout=60)[0]


@pytest.fixture
def watch(tmp_path):
    """A factory of watchers: `watch(broker.url, "--json")`."""
    with ExitStack() as stack:

        def make(*words: object) -> Watcher:
            watcher = Watcher(tmp_path / f"watch-{free_port()}.log", *words)
            stack.callback(watcher.process.communicate)
            stack.callback(watcher.process.kill)
            return watcher

        yield make


def test_it_shows_who_is_there_and_what_they_say(published):
    done = edge_run("watch", "--url", published.url, "--count", 4, "--timeout", 20)

    assert done.code == 0
    assert "bed-7/ward is online" in done.out
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


def test_a_repeat_is_shown_once(mosquitto, device, watch):
    broker = mosquitto()
    speaker = device(broker.port)
    watcher = watch(broker.url, "--json", "--count", 3, "--timeout", 20)
    speaker.results([1, 1, 1, 2, 1, 2, 3])
    out, err = watcher.out(), watcher.err

    assert [json.loads(line)["seq"] for line in out.splitlines()] == [1, 2, 3]
    assert "3 results, 4 repeats left out" in err


def test_ctrl_c_ends_it_well_with_a_summary(published, watch):
    watcher = watch(published.url)
    watcher.process.stdout.readline()
    watcher.process.send_signal(signal.SIGINT)
    watcher.out()

    assert watcher.process.returncode == 0
    assert re.search(r"[0-9]+ results?$", watcher.err, re.MULTILINE)
    assert "Traceback" not in watcher.err


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


def test_it_comes_back_when_the_broker_does(mosquitto, device, watch):
    broker = mosquitto()
    watcher = watch(broker.url, "--json", "--count", 1, "--timeout", 30)
    broker.kill()
    broker.start()
    watcher.wait_for_connection(2)
    device(broker.port).results([7])
    out, err = watcher.out(), watcher.err

    assert watcher.process.returncode == 0
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


FOREIGN = (b"", b"\xff\xfe", b"[]", b"{}", b"null", b'{"id": []}', b'{"id": "x"}', b"\xa1", b"\x81")


def test_messages_of_others_under_the_same_prefix_do_no_harm(mosquitto, device, watch):
    broker = mosquitto()
    speaker = device(broker.port)
    watcher = watch(broker.url, "--count", 1, "--timeout", 20)
    for payload in FOREIGN:
        speaker.publish("edge/d/p/s/result", payload, typed=False)
    speaker.publish("edge/d/p/info", b"1", typed=False)
    speaker.results([1])
    out, err = watcher.out(), watcher.err

    assert watcher.process.returncode == 0
    assert out.count("not a message of edge-run") == len(FOREIGN) + 1
    assert f"{len(FOREIGN) + 1} unreadable messages" in err
    assert "Traceback" not in err


def test_gaps_and_alerts_are_lines_too(mosquitto, device, watch):
    broker = mosquitto()
    speaker = device(broker.port)
    watcher = watch(broker.url, "--count", 1, "--timeout", 20)
    speaker.gap()
    speaker.alert("the disk is full")
    speaker.results([1])
    out, err = watcher.out(), watcher.err

    assert "bed-7/ward port lost 9 results of #3..#12 (full)" in out
    assert "outbox-full: the disk is full" in out
    assert "1 result, 9 lost for good" in err


def test_devices_are_told_what_has_arrived_with_confirm_and_not_without(mosquitto, device, watch):
    broker = mosquitto()
    speaker = device(broker.port)
    watcher = watch(broker.url, "--json", "--count", 3, "--timeout", 20)
    speaker.results([1, 2, 3])
    watcher.out()
    assert speaker.confirmed == []

    watcher = watch(broker.url, "--json", "--count", 3, "--timeout", 20, "--confirm")
    speaker.results([4, 5, 4, 6])
    watcher.out()

    wait_until(lambda: len(speaker.confirmed) == 4)
    assert speaker.confirmed == ["boot-port-4", "boot-port-5", "boot-port-4", "boot-port-6"]


def test_a_record_replays_as_the_same_lines(mosquitto, device, watch, tmp_path):
    broker, record = mosquitto(), tmp_path / "r.jsonl"
    speakers = [
        device(broker.port, name, encoding)
        for name, encoding in (("a", "json"), ("b", "cbor"), ("c", "msgpack"))
    ]
    watcher = watch(broker.url, "--json", "--count", 12, "--record", record)
    for number in (1, 2, 2, 3, 4):
        for speaker in speakers:
            speaker.results([number])
    live = watcher.out()
    other = edge_run("watch", "--replay", record, "--json", "--speed", 0)
    only = edge_run("watch", "--replay", record, "--json", "--speed", 0, "--device", "b")

    assert len(live.splitlines()) == 12
    assert other.out == live
    assert other.code == 0
    assert {json.loads(line)["device"] for line in only.out.splitlines()} == {"b"}
    assert len(only.out.splitlines()) == 4


def test_a_record_survives_a_kill(mosquitto, device, watch, tmp_path):
    broker, record = mosquitto(), tmp_path / "r.jsonl"
    speaker = device(broker.port)
    watcher = watch(broker.url, "--json", "--record", record)
    speaker.results(range(50))
    for _ in range(50):
        watcher.process.stdout.readline()
    watcher.process.kill()

    replayed = edge_run("watch", "--replay", record, "--speed", 0, "--json")
    assert [json.loads(line)["seq"] for line in replayed.out.splitlines()] == list(range(50))


def test_a_record_that_is_too_short_for_count_is_exit_1(tmp_path):
    (tmp_path / "r.jsonl").write_text(
        '{"time":"2026-11-21T09:30:00.000000000Z","topic":"edge/d/p/status","retained":false,'
        '"content_type":"","payload":"online"}\n'
    )
    done = edge_run("watch", "--replay", tmp_path / "r.jsonl", "--count", 2)

    assert done.code == 1
    assert done.out == "d/p is online\n"
    assert done.errors == [f"edge-run: 0 of 2 results in {tmp_path / 'r.jsonl'}"]


@pytest.mark.parametrize("words", [["--record", "x"], ["--confirm"]])
def test_a_replay_goes_with_no_option_for_a_broker(words, tmp_path):
    done = edge_run("watch", "--replay", tmp_path / "r", *words)

    assert done.code == 2
    assert len(done.err.splitlines()) == 1


class Screen:
    """`edge-run watch` on a terminal of its own."""

    def __init__(self, *words: object, columns: int = 100) -> None:
        self.pid, self._terminal = pty.fork()
        if not self.pid:
            os.environ.update(TERM="xterm-256color", COLUMNS=str(columns), LINES="30")
            os.chdir(ROOT)
            os.execv(
                sys.executable, [sys.executable, "-m", "edge_runtime", "watch", *map(str, words)]
            )
        self.text = ""

    def read_until(self, wanted: str) -> None:
        until = time.monotonic() + 20
        while wanted not in self.text:
            assert time.monotonic() < until, self.text[-2000:]
            assert select.select([self._terminal], [], [], 20)[0], self.text[-2000:]
            self.text += os.read(self._terminal, 65536).decode()

    def end(self, number: int) -> int:
        """Send a signal, read to the end, give the exit code."""
        os.kill(self.pid, number)
        with suppress(OSError):  # EIO: nobody holds the other side any more
            while chunk := os.read(self._terminal, 65536):
                self.text += chunk.decode()
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_terminal_shows_a_table_and_gets_its_own_screen_back(published, number):
    screen = Screen("--url", published.url)
    screen.read_until("bed-8/ward")
    screen.read_until("person 0.75")

    code = screen.end(number)

    assert code == 0
    before, page, after = re.split(r"\x1b\[\?1049[hl]", screen.text)
    assert "PIPELINE" not in before
    assert "online" in page and "tflite/xnnpack" in page
    assert screen.text.index("\x1b[?25h") > screen.text.index("\x1b[?25l")  # the cursor is back
    assert "PIPELINE" in after and "results" in after


def test_a_hostile_payload_steers_no_terminal(mosquitto, device):
    """All that reaches the terminal is what the page itself draws with."""
    broker = mosquitto()
    evil = "\x1b]0;owned\x07\x9b31m\x1b[5m\x08\r"
    speaker = device(broker.port)
    labels = Labels((Label(0, evil, 0.5),))
    made = result(1, labels)._replace(model=MODEL._replace(name=evil))
    screen = Screen("--url", broker.url, columns=140)
    screen.read_until("0 pipelines")
    speaker.publish(speaker.topics.alert, evil.encode())
    speaker.alert(evil)
    speaker.publish(speaker.topics.result("port"), speaker.encoder.result(made))
    screen.read_until("owned")
    screen.read_until("1 unreadable message")
    screen.end(signal.SIGINT)

    rest = re.sub(r"\x1b\[(\?(1049|25|7)[hl]|[0-9;]*m|2?J|H|K)", "", screen.text)
    assert "\x1b[5m" not in screen.text
    assert not re.search(r"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f]", rest.replace("^C", ""))


def test_lines_on_a_terminal_when_they_are_asked_for(published):
    screen = Screen("--url", published.url, "--lines")
    screen.read_until("person 0.75")
    screen.end(signal.SIGINT)

    assert "\x1b[?1049h" not in screen.text


def test_a_burst_of_four_thousand_is_shown_whole_and_in_order(mosquitto, device, watch):
    broker = mosquitto("max_inflight_messages 1000")
    speaker = device(broker.port)
    watcher = watch(broker.url, "--json", "--count", 4000, "--timeout", 60)
    threading.Thread(target=speaker.results, args=(range(4000),)).start()
    out = watcher.out()

    assert [json.loads(line)["seq"] for line in out.splitlines()] == list(range(4000))
