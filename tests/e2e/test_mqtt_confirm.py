"""Results that a subscriber confirms, through brokers that lose what they have acknowledged."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from contextlib import suppress

import pytest

from edge_runtime.errors import SinkError, UndeliveredError
from edge_runtime.mqtt import patience
from edge_runtime.outbox.options import Limits
from edge_runtime.sinks.mqtt import Mqtt
from tests.brokers import Mosquitto, wait_until
from tests.brokers.proxy import PUBACK, PUBLISH, kind
from tests.messages import IDENTITY, result

ACK = "edge/bed-7/ward/ack"


class Archive:
    """A subscriber that keeps the ids of results, how often each came, and confirms them.

    Its session outlives its connection, if the broker keeps sessions.
    """

    def __init__(self, broker: Mosquitto, *, confirms: bool = True) -> None:
        self.heard: Counter[str] = Counter()
        self.confirms = confirms
        self._port = broker.port
        self.arrive()

    def arrive(self) -> None:
        import paho.mqtt.client as paho

        there = threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, "archive", clean_session=False)
        self._client.reconnect_delay_set(0.05, 0.1)
        self._client.on_connect = lambda client, *_: client.subscribe("edge/+/+/+/result", qos=1)
        self._client.on_subscribe = lambda *_: there.set()
        self._client.on_message = self._hear
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        assert there.wait(10)

    def leave(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def say(self, payload: bytes) -> None:
        """Publish to the topic of confirmations; return when the broker has it."""
        self._client.publish(ACK, payload, qos=1).wait_for_publish(5)

    def confirm(self, *ids: str) -> None:
        self.say(json.dumps({"ids": ids}).encode())

    def _hear(self, client, _data, message) -> None:
        result_id = json.loads(message.payload)["id"]
        self.heard[result_id] += 1
        if self.confirms:
            client.publish(ACK, json.dumps({"ids": [result_id]}), qos=1)


@pytest.fixture
def archive():
    archives = []

    def make(broker: Mosquitto, **options) -> Archive:
        archives.append(Archive(broker, **options))
        return archives[-1]

    yield make
    for item in archives:
        item.leave()


@pytest.fixture
def mqtt(monkeypatch):
    """A factory of open sinks that want confirmations and reconnect quickly."""
    monkeypatch.setattr(patience, "LONGEST_S", 0.1)
    sinks = []

    def make(url: str, *, confirm: bool = True, **options) -> Mqtt:
        limits = Limits(confirm=confirm, confirm_s=1.0)
        options = {"identity": IDENTITY, "url": url, "drain_s": 0.0, "outbox": limits, **options}
        sinks.append(Mqtt(**options))
        sinks[-1].open()
        return sinks[-1]

    yield make
    for sink in sinks:
        with suppress(SinkError):
            sink.close()


@pytest.fixture
def forgetful(mosquitto, tmp_path):
    """A mosquitto that saves what it has every half hour, as by default (mosquitto.conf(5))."""
    return mosquitto("persistence true", f"persistence_location {tmp_path}/")


def publish(sink: Mqtt, start: int, count: int, pause_s: float = 0.0) -> set[str]:
    """Gives the ids."""
    made = [result(seq) for seq in range(start, start + count)]
    for item in made:
        sink.publish(item)
        if pause_s:
            time.sleep(pause_s)
    return {item.id for item in made}


def acknowledged_by_the_broker(sink: Mqtt) -> bool:
    """Whether it has them all: nothing waits to be sent, and nothing is in flight."""
    delivery = sink._publisher._sender._delivery
    return not sink._publisher._outbox.waiting and len(delivery._flight) == 0


def test_m05_what_a_broker_acknowledges_and_then_loses_comes_again_until_it_is_confirmed(
    forgetful, archive, mqtt
):
    reader = archive(forgetful)
    sink = mqtt(forgetful.url)
    reader.leave()
    ids = publish(sink, 0, 50)
    wait_until(lambda: sink.delivery.published >= 50 and acknowledged_by_the_broker(sink))
    assert sink.delivery.waiting == 50

    forgetful.kill()
    forgetful.start()
    reader.arrive()
    wait_until(lambda: sink.delivery.waiting == 0)

    assert set(reader.heard) == ids
    assert sink.delivery.acknowledged == 50


def test_m05_without_confirmations_what_a_broker_acknowledges_and_loses_is_gone(
    forgetful, archive, mqtt
):
    reader = archive(forgetful)
    sink = mqtt(forgetful.url, confirm=False)
    reader.leave()
    lost = publish(sink, 0, 50)
    wait_until(lambda: sink.delivery.waiting == 0)

    forgetful.kill()
    forgetful.start()
    reader.arrive()
    wait_until(lambda: sink.delivery.reconnects == 1)
    later = publish(sink, 50, 20)
    wait_until(lambda: set(reader.heard) >= later and sink.delivery.waiting == 0)

    assert sink.delivery.acknowledged == 70
    assert lost - set(reader.heard)  # the hole that `confirm` closes


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_m05_a_broker_that_is_killed_again_and_again_costs_repeats_and_no_results(
    forgetful, archive, mqtt, protocol
):
    reader = archive(forgetful)
    sink = mqtt(forgetful.url, protocol=protocol)
    ids: set[str] = set()
    for burst in range(3):
        ids |= publish(sink, burst * 100, 100, 0.003)
        forgetful.kill()
        ids |= publish(sink, 1000 + burst * 20, 20)
        forgetful.start()
    wait_until(lambda: sink.delivery.waiting == 0)

    assert set(reader.heard) == ids
    assert sink.delivery.reconnects >= 2


def test_m06_after_a_lost_session_confirmations_are_heard_again(mosquitto, archive, mqtt):
    broker = mosquitto()  # keeps no sessions
    reader = archive(broker)
    sink = mqtt(broker.url)
    publish(sink, 0, 10)
    wait_until(lambda: sink.delivery.waiting == 0)

    broker.kill()
    broker.start()
    wait_until(lambda: sink.delivery.reconnects == 1)
    publish(sink, 10, 10)
    wait_until(lambda: sink.delivery.waiting == 0)

    assert sink._publisher._sender._link.session.resumed is False
    assert len(reader.heard) == 20


def test_m06_a_confirmation_that_comes_while_the_link_is_down_is_not_lost(
    mosquitto, archive, proxy, mqtt, monkeypatch
):
    monkeypatch.setattr(patience, "FIRST_S", 1.0)
    monkeypatch.setattr(patience, "LONGEST_S", 1.0)
    broker = mosquitto()
    reader = archive(broker, confirms=False)
    relay = proxy(broker.port)
    sink = mqtt(relay.url, outbox=Limits(confirm=True, confirm_s=60.0))
    ids = publish(sink, 0, 10)
    wait_until(lambda: set(reader.heard) == ids and acknowledged_by_the_broker(sink))

    relay.cut()
    wait_until(lambda: not sink._publisher._sender.connected)
    reader.confirm(*ids)
    wait_until(lambda: sink.delivery.waiting == 0)

    assert sink.delivery.reconnects == 1
    assert sink._publisher._sender._link.session.resumed is True
    assert sum(reader.heard.values()) == 10


def test_results_come_again_each_confirm_s_and_stay_until_they_are_confirmed(
    mosquitto, archive, mqtt
):
    broker = mosquitto()
    reader = archive(broker, confirms=False)
    sink = mqtt(broker.url)
    began = time.monotonic()
    ids = publish(sink, 0, 10)
    wait_until(lambda: min(reader.heard[item] for item in ids) >= 3)
    waited_s = time.monotonic() - began
    assert sink.delivery.waiting == 10
    assert waited_s >= 2.0
    assert max(reader.heard.values()) <= 1 + waited_s

    some = sorted(ids)[:4]
    reader.confirm(*some, *some)
    wait_until(lambda: sink.delivery.waiting == 6)
    before = dict(reader.heard)
    wait_until(lambda: all(reader.heard[item] > before[item] for item in ids - set(some)))

    assert all(reader.heard[item] == before[item] for item in some)
    assert sink.delivery.acknowledged == 4


def test_what_was_not_confirmed_is_sent_by_the_next_process(mosquitto, archive, mqtt):
    broker = mosquitto()
    reader = archive(broker, confirms=False)
    first = mqtt(broker.url)
    ids = publish(first, 0, 10)
    wait_until(lambda: set(reader.heard) == ids)
    reader.confirm("boot-port-0", "boot-port-1")
    wait_until(lambda: first.delivery.waiting == 8)
    with pytest.raises(UndeliveredError, match="8 results not delivered"):
        first.close()

    reader.heard.clear()
    reader.confirms = True
    second = mqtt(broker.url)
    wait_until(lambda: second.delivery.waiting == 0)

    assert set(reader.heard) == ids - {"boot-port-0", "boot-port-1"}


def test_confirmations_that_are_lost_with_the_link_come_again_with_it(
    mosquitto, archive, proxy, mqtt
):
    broker = mosquitto()
    reader = archive(broker)
    relay = proxy(broker.port)
    sink = mqtt(relay.url, outbox=Limits(confirm=True, confirm_s=60.0))
    wait_until(lambda: sink._publisher._sender.connected)
    dropped: list[bytes] = []

    def lose(packet: bytes) -> list[bytes]:
        if kind(packet) == PUBLISH and len(dropped) < 10:
            dropped.append(packet)
            return []
        return [packet]

    relay.down.edit = lose
    ids = publish(sink, 0, 30)
    wait_until(lambda: sink.delivery.waiting == 10)
    relay.cut()
    wait_until(lambda: sink.delivery.waiting == 0)

    assert set(reader.heard) == ids
    assert sink.delivery.acknowledged == 30


@pytest.mark.parametrize("order", ["first", "last"])
def test_a_confirmation_counts_whether_it_comes_before_the_acknowledgement_or_after(
    mosquitto, archive, proxy, mqtt, order
):
    broker = mosquitto()
    reader = archive(broker, confirms=order == "first")
    relay = proxy(broker.port)
    held: list[bytes] = []

    def withhold(packet: bytes) -> list[bytes]:
        if kind(packet) == PUBACK and order == "first":
            held.append(packet)
            return []
        return [packet]

    sink = mqtt(relay.url, outbox=Limits(confirm=True, confirm_s=60.0))
    wait_until(
        lambda: sink._publisher._sender._status_id == 0 and sink._publisher._sender.connected
    )
    relay.down.edit = withhold
    ids = publish(sink, 0, 15)
    if order == "last":
        wait_until(lambda: set(reader.heard) == ids and acknowledged_by_the_broker(sink))
        assert sink.delivery.waiting == 15
        reader.confirm(*ids)
    wait_until(lambda: sink.delivery.waiting == 0)
    relay.down.edit = lambda packet: [*held, packet]
    more = publish(sink, 15, 5)
    reader.confirms = True
    wait_until(lambda: set(reader.heard) == ids | more)
    if order == "last":
        reader.confirm(*more)
    wait_until(lambda: sink.delivery.waiting == 0)

    assert sink.delivery.acknowledged == 20
    assert max(reader.heard.values()) == 1
    assert sink.delivery.reconnects == 0


NONSENSE = [
    b"",
    b"\xff\xfe",
    b"{",
    b"[]",
    b"5",
    b"null",
    b'"ids"',
    b"{}",
    b'{"ids": null}',
    b'{"ids": 5}',
    b'{"ids": "boot-port-0"}',
    b'{"ids": {"boot-port-0": 1}}'.replace(b"boot-port-0", b"other"),
    b'{"ids": [null, 5, [], {}, ["boot-port-0"], true]}',
    b'{"ids": ["boot-port-", "boot-port-00", "\\ud800", ""]}',
    b'{"ids": ' + b"[" * 60_000,
    b'{"ids": [' + b"9" * 5_000 + b"]}",
    b'{"ids": ["boot-port-0"]}' + b" " * 70_000,
    b'{"Ids": ["boot-port-0"]}',
]


def test_m14_nonsense_on_the_topic_of_confirmations_confirms_nothing(mosquitto, archive, mqtt):
    broker = mosquitto()
    reader = archive(broker, confirms=False)
    sink = mqtt(broker.url)
    ids = publish(sink, 0, 5)
    wait_until(lambda: set(reader.heard) == ids)
    for payload in NONSENSE:
        reader.say(payload)
    reader.confirm("boot-port-4")  # comes after all of them
    wait_until(lambda: sink.delivery.waiting < 5)

    assert sink.delivery.waiting == 4
    assert not sink._publisher._sender.ended
    reader.confirm(*ids)
    wait_until(lambda: sink.delivery.waiting == 0)
    assert sink.delivery.acknowledged == 5
    assert sink.delivery.reconnects == 0
