"""M15: one suite against every broker that runs here; what each cannot do is in broker_matrix."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

import numpy as np
import pytest

from edge_runtime.errors import SinkError
from edge_runtime.frame import Identity
from edge_runtime.outcome import Tensor, Tensors
from edge_runtime.sinks.mqtt import Mqtt
from tests.brokers import Gate, Listener, Server, wait_until
from tests.brokers.mosquitto import Mosquitto
from tests.brokers.others import Aedes, Embedded, Nats
from tests.brokers.rabbitmq import RabbitMQ
from tests.messages import INFO, result
from tests.needs import ROOT

from .broker_matrix import BROKERS, ROWS, TITLES, Abilities, table

START = {
    "mosquitto": lambda folder: Mosquitto(
        folder, ("allow_anonymous true",), durable=True, tls=False
    ),
    "rabbitmq": RabbitMQ,
    "nats": Nats,
    "aedes": Aedes,
    "amqtt": Embedded,
}
PIPELINE = "ward"
PUBLISH_FOR_EVER = """\
import sys, threading
from edge_runtime.frame import Identity
from edge_runtime.sinks.mqtt import Mqtt
from tests.messages import INFO, result
sink = Mqtt(identity=Identity("killed", "ward"), url=sys.argv[1])
sink.open()
sink.announce(INFO)
sink.publish(result())
threading.Event().wait()
"""
AGREED_S = 5.0  # longer than RabbitMQ and Mosquitto take to write retained messages to disk


@dataclass(frozen=True)
class Bench:
    """A running broker, and what the table says of it."""

    name: str
    server: Server
    can: Abilities

    def listen(self, device: str, **options) -> Listener:
        version = 5 if self.can.protocol == "5" else 4
        topic = options.pop("topic", f"edge/{device}/#")
        return Listener(self.server.url, version=version, topic=topic, **options)

    def device(self, name: str, url: str = "", **options) -> Mqtt:
        state = str(self.server.folder / "state")
        identity = Identity(name, PIPELINE)
        sink = Mqtt(identity=identity, url=url or self.server.url, state=state, **options)
        sink.open()
        sink.announce(INFO)
        return sink


@pytest.fixture(scope="module", params=BROKERS)
def bench(request, tmp_path_factory):
    server = START[request.param](tmp_path_factory.mktemp(request.param))
    try:
        server.start()
        yield Bench(request.param, server, BROKERS[request.param])
    finally:
        server.close()


class Stream(threading.Thread):
    """A device that publishes a result every five milliseconds until it is told to stop."""

    def __init__(self, sink: Mqtt) -> None:
        super().__init__()
        self.sent = 0
        self._sink = sink
        self._enough = threading.Event()

    def run(self) -> None:
        while not self._enough.wait(0.005):
            self._sink.publish(result(self.sent))
            self.sent += 1

    def stop(self) -> None:
        self._enough.set()
        self.join()
        wait_until(lambda: self._sink.delivery.waiting == 0, 60)


def seqs(listener: Listener) -> list[int]:
    return [json.loads(payload)["seq"] for payload in listener.on("/result")]


def comes(condition, *, expected: bool) -> bool:
    """Whether it becomes so; for what a broker may be unable to do."""
    try:
        wait_until(condition, 15.0 if expected else 1.0)
    except AssertionError:
        return False
    return True


def publish(sink: Mqtt, count: int) -> None:
    for seq in range(count):
        sink.publish(result(seq))


@pytest.mark.parametrize("qos", [0, 1])
def test_m15_every_result_arrives_once_and_in_order(bench, qos):
    listener = bench.listen(f"qos{qos}")
    sink = bench.device(f"qos{qos}", qos=qos)
    publish(sink, 300)
    sink.close()
    wait_until(lambda: len(seqs(listener)) >= 300)
    wait_until(lambda: listener.on("/status")[-1:] == [b"stopped"])
    later = bench.listen("", topic=f"edge/qos{qos}/{PIPELINE}/info")
    wait_until(lambda: later.on(f"qos{qos}/{PIPELINE}/info"))
    listener.close()
    later.close()

    assert seqs(listener) == list(range(300))
    assert sink.protocol_in_use == bench.can.protocol
    info = json.loads(later.on(f"qos{qos}/{PIPELINE}/info")[0])
    assert info["protocol"] == bench.can.protocol
    assert (sink.delivery.acknowledged, sink.delivery.refused) == (300, 0)


def test_m15_at_qos_2(bench):
    listener = bench.listen("qos2")
    sink = bench.device("qos2", qos=2, drain_s=5.0 if bench.can.at_qos_2 != "refused" else 0.0)
    publish(sink, 100)
    try:
        sink.close()
    except SinkError:
        found = "refused"
        assert not seqs(listener)
    else:
        wait_until(lambda: len(seqs(listener)) >= 100)
        (qos,) = {item.qos for item in listener.messages if item.topic.endswith("/result")}
        assert seqs(listener) == list(range(100))
        found = f"arrive at {qos}"
    listener.close()

    assert found == bench.can.at_qos_2


def test_m15_status_and_info_wait_for_whoever_comes_later(bench):
    sink = bench.device("early")
    publish(sink, 1)
    wait_until(lambda: sink.delivery.acknowledged == 1)
    exact = [bench.listen("", topic=f"edge/early/{PIPELINE}/{what}") for what in ("status", "info")]
    wild = bench.listen("early")
    wait_until(lambda: exact[0].on("/status") and exact[1].on("/info"))
    expected = bench.can.retained == "all filters"
    reach_all = comes(lambda: wild.on("/status") and wild.on("/info"), expected=expected)
    sink.close()
    wait_until(lambda: wild.on("/status")[-1:] == [b"stopped"])
    for listener in (*exact, wild):
        listener.close()

    assert wild.on("/result") == []
    assert ("all filters" if reach_all else "exact topics") == bench.can.retained


def test_m15_the_will_of_a_killed_client_is_published_and_retained(bench):
    listener = bench.listen("killed")
    child = subprocess.Popen([sys.executable, "-c", PUBLISH_FOR_EVER, bench.server.url], cwd=ROOT)
    wait_until(lambda: listener.on("/result"), 30)
    child.send_signal(signal.SIGKILL)
    child.wait()
    wait_until(lambda: listener.on("/status")[-1:] == [b"offline"])
    later = bench.listen("", topic=f"edge/killed/{PIPELINE}/status")
    wait_until(lambda: later.on("/status")[-1:] == [b"offline"])
    listener.close()
    later.close()


def test_m15_a_large_result_arrives_whole(bench):
    listener = bench.listen("large")
    values = np.random.default_rng(0).random(20_000, np.float32)
    sink = bench.device("large")
    sink.publish(result(0, Tensors((Tensor("y", values),))))
    sink.close()
    wait_until(lambda: listener.on("/result"))
    listener.close()

    (payload,) = listener.on("/result")
    assert len(payload) > 200_000
    read = json.loads(payload)["result"]["tensors"][0]["data"]
    assert np.array_equal(np.array(read, np.float32), values)


def test_m15_two_devices_at_once_keep_to_their_topics(bench):
    listeners = [bench.listen(f"twin{number}") for number in (1, 2)]
    sinks = [bench.device(f"twin{number}") for number in (1, 2)]
    for seq in range(200):
        for sink in sinks:
            sink.publish(result(seq))
    for sink in sinks:
        sink.close()
    wait_until(lambda: all(len(seqs(listener)) >= 200 for listener in listeners))
    for listener in listeners:
        listener.close()

    for number, listener in enumerate(listeners, 1):
        assert seqs(listener) == list(range(200))
        assert {json.loads(item)["device"] for item in listener.on("/result")} == {f"twin{number}"}


@pytest.mark.parametrize(("device", "row"), [("bed.7", "dot"), ("bed 7", "space")])
def test_m15_odd_names(bench, device, row):
    expected = getattr(bench.can, row)
    listener = bench.listen("", topic="edge/#")
    sink = bench.device(device, drain_s=5.0 if expected != "refused" else 0.0)
    publish(sink, 5)
    wait_until(lambda: sink.delivery.acknowledged == 5 or sink._publisher._sender.cause)
    try:
        sink.close()
    except SinkError:
        found = "refused"
    else:
        wait_until(lambda: len(seqs(listener)) >= 5)
        (topic,) = {item.topic for item in listener.messages if item.topic.endswith("/result")}
        found = "kept" if topic == f"edge/{device}/{PIPELINE}/port/result" else "becomes two levels"
        assert found == "kept" or topic == f"edge/bed/7/{PIPELINE}/port/result"
    listener.close()

    assert found == expected


def test_m15_shared_subscriptions(bench):
    group = [bench.listen("", topic="$share/group/edge/shared/#") for _ in range(2)]
    sink = bench.device("shared")
    publish(sink, 100)
    sink.close()
    expected = bench.can.shared == "shares"
    shared = comes(lambda: sum(len(seqs(one)) for one in group) >= 100, expected=expected)
    for member in group:
        member.close()

    got = [seqs(member) for member in group]
    if shared:
        assert sorted(got[0] + got[1]) == list(range(100))
        assert min(map(len, got)) >= 20
    else:
        assert got == [[], []]
    assert ("shares" if shared else "silence") == bench.can.shared


def test_m15_message_properties(bench):
    listener = bench.listen("described")
    sink = bench.device("described", expiry_s=3600)
    publish(sink, 1)
    sink.close()
    wait_until(lambda: listener.on("/result"))
    listener.close()

    extra = next(item.properties for item in listener.messages if item.topic.endswith("/result"))
    arrived = getattr(extra, "ContentType", "") == "application/json"
    if arrived:
        assert 3590 <= extra.MessageExpiryInterval <= 3600
        assert ("model-version", "1.2.0") in extra.UserProperty
    assert ("arrive" if arrived else "no") == bench.can.properties


@dataclass(frozen=True)
class Aftermath:
    """What was found after the broker was killed under load and started again."""

    before: list[int]  # what each device had published when the broker was killed
    sent: list[int]  # and in all
    got: list[list[int]]
    statuses: list[bytes]
    dropped: int
    kept: list[int]  # what an absent subscriber got
    left: list[bytes]  # the status of a device that had left


@pytest.fixture(scope="module")
def aftermath(bench) -> Aftermath:
    """Two devices and a subscriber work, another subscriber is away, another device has left."""
    away = bench.listen("left", durable=True)
    away.close()
    left = bench.device("left")
    publish(left, 50)
    left.close()
    time.sleep(AGREED_S)

    listeners = [bench.listen(f"busy{number}", durable=True) for number in (1, 2)]
    back, forgetful = threading.Event(), bench.can.session_after_kill == "none"
    back.set()
    door = Gate(bench.server.port, lambda first: "pass" if back.is_set() else "close")
    sinks = [bench.device(f"busy{number}", door.url, drain_s=30.0) for number in (1, 2)]
    streams = [Stream(sink) for sink in sinks]
    for stream in streams:
        stream.start()
    wait_until(lambda: all(len(seqs(listener)) > 100 for listener in listeners))

    if forgetful:  # nobody else may tell the devices when subscribers are back
        back.clear()
    bench.server.kill()
    before = [stream.sent for stream in streams]
    wait_until(lambda: not any(listener.subscribed for listener in listeners))
    bench.server.start()
    wait_until(lambda: all(listener.subscribed for listener in listeners), 60)
    back.set()
    wait_until(lambda: all(sink.delivery.reconnects for sink in sinks), 60)
    wait_until(lambda: all(s.sent >= count + 50 for s, count in zip(streams, before, strict=True)))
    for stream in streams:
        stream.stop()
    online = bench.listen("", topic=f"edge/busy1/{PIPELINE}/status")
    wait_until(lambda: online.on(f"busy1/{PIPELINE}/status"))
    for sink in sinks:
        sink.close()
    expected = [set(range(stream.sent)) for stream in streams]
    pairs = list(zip(listeners, expected, strict=True))
    none_lost = bench.can.lost_at_kill == "none"
    comes(lambda: all(set(seqs(who)) >= all_ for who, all_ in pairs), expected=none_lost)
    returned = bench.listen("left", durable=True, name=away.name)
    comes(lambda: len(set(seqs(returned))) >= 50, expected=not forgetful)
    left_status = bench.listen("", topic=f"edge/left/{PIPELINE}/status")
    left_on = f"left/{PIPELINE}/status"
    comes(lambda: left_status.on(left_on), expected=bench.can.retained_after_kill == "kept")
    for listener in (*listeners, online, returned, left_status):
        listener.close()
    door.close()
    return Aftermath(
        before=before,
        sent=[stream.sent for stream in streams],
        got=[seqs(listener) for listener in listeners],
        statuses=online.on(f"busy1/{PIPELINE}/status"),
        dropped=sum(sink.delivery.dropped + sink.delivery.refused for sink in sinks),
        kept=sorted(set(seqs(returned))),
        left=left_status.on(left_on),
    )


def test_m15_what_is_lost_when_the_broker_is_killed_under_load(bench, aftermath):
    for before, sent, got in zip(aftermath.before, aftermath.sent, aftermath.got, strict=True):
        lost = set(range(sent)) - set(got)
        assert sent - before >= 50
        assert max(lost, default=-1) < (before if bench.can.lost_at_kill != "none" else 0)
    assert aftermath.dropped == 0
    assert aftermath.statuses[0] == b"online"


def test_m15_what_an_absent_subscriber_gets_after_a_kill(bench, aftermath):
    found = {50: "all", 0: "none"}.get(len(aftermath.kept), f"{len(aftermath.kept)} of 50")
    assert found in bench.can.session_after_kill.split(", at times ")


def test_m15_the_status_of_a_device_that_left_after_a_kill(bench, aftermath):
    found = "kept" if aftermath.left[:1] == [b"stopped"] else "lost"
    assert found == bench.can.retained_after_kill


def test_m15_m06_a_broker_that_comes_back_empty_is_told_everything_again(bench, aftermath):
    shut = threading.Event()
    door = Gate(bench.server.port, lambda first: "close" if shut.is_set() else "pass")
    listener = bench.listen("again", durable=True)
    sink = bench.device("again", url=door.url)
    publish(sink, 100)
    wait_until(lambda: len(seqs(listener)) == 100 and sink.delivery.waiting == 0)

    shut.set()
    door.cut()
    bench.server.stop()
    for entry in (bench.server.folder / "data", bench.server.folder / "mosquitto.db"):
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink(missing_ok=True)
    for seq in range(100, 200):
        sink.publish(result(seq))
    bench.server.start()
    wait_until(lambda: listener.subscribed, 30)
    shut.clear()
    wait_until(lambda: len(seqs(listener)) >= 200, 30)
    for what in ("status", "info"):
        later = bench.listen("", topic=f"edge/again/{PIPELINE}/{what}")
        wait_until(lambda later=later, what=what: later.on(f"/{what}"))
        later.close()
    sink.close()
    listener.close()
    door.close()

    assert seqs(listener) == list(range(200))
    assert sink.delivery.reconnects == 1


def test_the_manual_shows_what_was_measured():
    assert set(TITLES) == set(BROKERS) == set(START)
    assert len(ROWS) == len(Abilities.__dataclass_fields__)
    assert table() in (ROOT / "docs" / "brokers.md").read_text(encoding="utf-8")
