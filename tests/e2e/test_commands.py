"""Commands over a real broker: `edge-run command`, a client of another make, a late one."""

from __future__ import annotations

import json
import subprocess
import threading
import time

import pytest

from edge_runtime.commands.commands import Commands
from edge_runtime.commands.options import CommandOptions
from edge_runtime.commands.verbs import Verb
from edge_runtime.errors import EdgeRunError
from edge_runtime.mqtt.client import LinkDownError
from edge_runtime.mqtt.link import Link
from edge_runtime.mqtt.login import Login, parse_url
from edge_runtime.mqtt.terms import Terms
from tests.brokers import free_port, wait_until
from tests.e2e.commands import edge_run
from tests.needs import ROOT, program
from tests.unit.commands_kit import IDENTITY, KEY, TOPIC, command, read_lines

WHO = ("--device", "bed-7", "--pipeline", "ward")


class Device:
    """A pipeline that hears commands and does nothing else; `runs` are the verbs that ran."""

    def __init__(self, url: str, folder, protocol: str = "auto") -> None:
        self.folder = folder
        self.runs: list[str] = []
        self.connections = 0
        key_file = folder / "key"
        key_file.write_text(KEY.hex())
        key_file.chmod(0o600)
        verbs = {
            "mark": Verb(lambda args: self.runs.append("mark"), frozenset({"n"})),
            "counters": Verb(lambda args: {"published": 7, "note": "a\x1b[31m"}, read_only=True),
            "fail": Verb(self._fail),
        }
        options = CommandOptions(tuple(verbs), key_file=str(key_file))
        self.commands = Commands(IDENTITY, options, verbs, folder / "state")
        self.commands.open()
        login, terms = Login(parse_url(url)), Terms("device", on_message=self._hear)
        self._link = Link(login, terms, protocol)
        self._stop = threading.Event()
        self._lose = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _fail(self, args) -> object:
        raise EdgeRunError("the model is busy")

    def _hear(self, message) -> None:
        for post in self.commands.hear(message):
            session = self._link.session
            extra = session.properties(post.content_type, correlation=post.correlation)
            session.publish(post.topic, post.payload, 1, retain=post.retain, extra=extra)

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                self._link.connect().subscribe(self.commands.filters)
                self.connections += 1
                while not self._stop.is_set() and not self._lose.is_set():
                    self._link.wait(0.1)
                self._lose.clear()
            except LinkDownError:
                self._stop.wait(0.05)

    def lose_connection(self) -> None:
        self._lose.set()
        self._link.wake()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._link.close()
        self.commands.close()

    @property
    def audit(self) -> list[dict]:
        path = self.folder / "state" / "commands.jsonl"
        return read_lines(path) if path.exists() else []


@pytest.fixture
def device(tmp_path):
    """A factory of one device: `device(broker.url)`."""
    made = []

    def make(url: str, **options) -> Device:
        made.append(Device(url, tmp_path, **options))
        wait_until(lambda: made[-1].connections)
        return made[-1]

    yield make
    for item in made:
        item.close()


def test_a_command_is_signed_sent_obeyed_and_answered(mosquitto, device):
    broker = mosquitto()
    one = device(broker.url)
    words = (*WHO, "--url", broker.url, "--signing-key", one.folder / "key")

    done = edge_run("command", "counters", *words)
    marked = edge_run("command", "mark", *words, "--args", '{"n": 2}', "--json")

    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "bed-7/ward: counters: accepted",
        "  published: 7",
        r'  note: "a\u001b[31m"',
    ]
    assert marked.code == 0
    answer = json.loads(marked.out)
    assert (answer["accepted"], answer["verb"], answer["answer"]) == (True, "mark", None)
    assert one.runs == ["mark"]
    assert [line["accepted"] for line in one.audit] == [True, True]
    assert "@" in one.audit[0]["claims"]["sender"]


def test_it_works_with_mqtt_3_1_1_at_the_device(mosquitto, device):
    broker = mosquitto()
    one = device(broker.url, protocol="3.1.1")

    done = edge_run(
        "command", "mark", *WHO, "--url", broker.url, "--signing-key", one.folder / "key"
    )

    assert done.code == 0, done.err
    assert one.runs == ["mark"]


def test_a_refusal_and_a_failure_are_exit_1_with_the_reason(mosquitto, device, tmp_path):
    broker = mosquitto()
    one = device(broker.url)
    wrong = tmp_path / "wrong"
    wrong.write_text("another key, long enough to be one")
    wrong.chmod(0o600)
    to = (*WHO, "--url", broker.url)

    unsigned = edge_run("command", "mark", *to, "--json")
    forged = edge_run("command", "mark", *to, "--signing-key", wrong)
    failed = edge_run("command", "fail", *to, "--signing-key", one.folder / "key")

    assert [done.code for done in (unsigned, forged, failed)] == [1, 1, 1]
    assert json.loads(unsigned.out)["reason"] == "unsigned"
    assert unsigned.errors == ["edge-run: bed-7/ward refused mark: unsigned (has no signature)"]
    assert "wrong-signature" in forged.err
    assert "refused fail: failed (the model is busy)" in failed.err
    assert one.runs == []


def test_nobody_there_is_exit_1_in_time_and_no_broker_is_exit_1(mosquitto):
    broker = mosquitto()
    began = time.monotonic()
    alone = edge_run("command", "stop", *WHO, "--url", broker.url, "--timeout", 0.3)
    port = free_port()
    lost = edge_run("command", "stop", *WHO, "--url", f"mqtt://localhost:{port}")

    assert time.monotonic() - began < 20
    assert alone.code == lost.code == 1
    assert alone.errors[0].startswith("edge-run: bed-7/ward did not answer within 0.3 s")
    assert lost.err.strip() == (
        f"edge-run: mqtt://localhost:{port}: nothing listens there (connection refused)"
    )


def test_an_answer_to_somebody_else_is_not_taken_for_ours(mosquitto):
    import paho.mqtt.publish as paho

    broker = mosquitto()
    foreign = (b"[]", b"{", b'{"accepted": true}', b'{"id": "x", "accepted": true}')
    messages = [(f"{TOPIC}/stop/response", payload, 0, False) for payload in foreign]
    done = []
    asked = threading.Thread(
        target=lambda: done.append(
            edge_run("command", "stop", *WHO, "--url", broker.url, "--timeout", 1)
        )
    )
    asked.start()
    while asked.is_alive():
        paho.multiple(messages, port=broker.port)
        asked.join(0.05)

    assert done[0].code == 1
    assert "did not answer within 1 s" in done[0].err


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["stop", *WHO, "--url", "broker"], "--url"),
        (["stop", "--device", "a/b", "--pipeline", "ward"], "--device"),
        (["stop", "--device", "+", "--pipeline", "ward"], "--device"),
        (["a/b", *WHO], "VERB"),
        (["stop", *WHO, "--args", "[1]"], "--args"),
        (["stop", *WHO, "--args", "{"], "--args"),
        (["stop", *WHO, "--args", '{"n": 0.5}'], "--args"),
        (["stop", *WHO, "--signing-key", "/nowhere"], "--signing-key"),
    ],
)
def test_a_wrong_option_is_exit_2_and_named(words, option):
    done = edge_run("command", *words)

    assert done.code == 2
    assert done.err.startswith(f"edge-run: {option}: ")
    assert len(done.err.splitlines()) == 1


def test_m12_a_retained_command_that_comes_at_each_reconnect_is_ignored(mosquitto, device, listen):
    import paho.mqtt.publish as paho

    broker = mosquitto()
    paho.single(f"{TOPIC}/mark", command(), qos=1, retain=True, port=broker.port)
    one = device(broker.url)
    listener = listen(broker.url)

    for times in (1, 2, 3):
        wait_until(lambda: one.commands.refused.get("retained") == times)  # noqa: B023
        one.lose_connection()
    wait_until(lambda: one.commands.refused.get("retained") == 4)
    paho.single(f"{TOPIC}/mark", command(), qos=1, port=broker.port)
    wait_until(lambda: listener.on("/mark/response"))

    assert one.runs == ["mark"]
    assert [line.get("reason") for line in one.audit if not line["accepted"]] == ["retained"]
    assert len(listener.on("/mark/response")) == 1


def test_m13_a_recorded_command_that_is_sent_again_or_to_another_runs_once(
    mosquitto, device, listen
):
    import paho.mqtt.publish as paho

    broker = mosquitto()
    one = device(broker.url)
    listener = listen(broker.url)
    payload = command()

    for _ in range(3):
        paho.single(f"{TOPIC}/mark", payload, qos=1, port=broker.port)
    paho.single(f"{TOPIC}/counters", payload, qos=1, port=broker.port)
    wait_until(lambda: len(listener.on("/response")) == 4)

    assert one.runs == ["mark"]
    assert one.commands.refused == {"replayed": 2, "wrong-signature": 1}
    assert [line["accepted"] for line in one.audit] == [True, False, False]


def test_an_answer_follows_the_response_topic_of_mqtt_5_and_no_foreign_one(
    mosquitto, device, listen
):
    import paho.mqtt.client as paho
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    broker = mosquitto()
    device(broker.url)
    listener = listen(broker.url)
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    for topic in ("reply/console", "edge/bed-8/ward/status"):
        wish = Properties(PacketTypes.PUBLISH)
        wish.ResponseTopic, wish.CorrelationData = topic, topic.encode()
        client.publish(f"{TOPIC}/mark", command(), qos=1, properties=wish).wait_for_publish(10)
    answers = lambda: [m for m in listener.messages if b"accepted" in m.payload]  # noqa: E731
    wait_until(lambda: len(answers()) == 2)
    client.disconnect()
    client.loop_stop()

    assert [(m.topic, m.properties.CorrelationData) for m in answers()] == [
        ("reply/console", b"reply/console"),
        (f"{TOPIC}/mark/response", b"edge/bed-8/ward/status"),
    ]
    assert not listener.on("bed-8/ward/status")


def test_the_recipe_of_the_manual_commands_a_pipeline_from_a_shell(mosquitto, device):
    broker = mosquitto()
    one = device(broker.url)
    (one.folder / "key").rename(one.folder / "ward.key")
    program("mosquitto_rr", "mosquitto-clients")
    recipe = (ROOT / "docs" / "commands.md").read_text().split("```sh\n")[1].split("```")[0]
    assert "-p 1883" in recipe

    done = subprocess.run(
        ["bash", "-ec", recipe.replace("-p 1883", f"-p {broker.port}")],
        cwd=one.folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["accepted"], answer["answer"]["published"]) == (True, 7)


def test_a_flood_leaves_the_device_at_work(mosquitto, device):
    import paho.mqtt.publish as paho

    broker = mosquitto()
    one = device(broker.url)
    late = command(expires="2026-11-21T00:00:00Z")

    paho.multiple([(f"{TOPIC}/mark", late, 0, False)] * 10_000, port=broker.port)
    wait_until(lambda: sum(one.commands.refused.values()) == 10_000, timeout_s=60)

    assert one.connections == 1
    assert one.runs == []
    assert len(one.audit) <= 4
