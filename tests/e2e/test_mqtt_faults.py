"""Sink mqtt on links that break, with brokers that misbehave, and over steps of the clock.

M01 to M04, M07, M08, M11, M14 and M16; delivery that a subscriber confirms is in test_mqtt_confirm.
"""

from __future__ import annotations

import json
import logging
import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import pytest

from edge_runtime.errors import SinkError
from edge_runtime.frame import Identity
from edge_runtime.mqtt import link, patience, replies
from edge_runtime.mqtt.sender import Sender
from edge_runtime.outbox.options import Limits
from edge_runtime.outbox.queue import NEW_MAX, Queue
from edge_runtime.outbox.row import Batch, Row
from edge_runtime.outbox.store import Store
from edge_runtime.outcome import Tensor, Tensors
from edge_runtime.sinks.mqtt import Mqtt
from tests.brokers import free_port, wait_until
from tests.brokers.proxy import PUBACK, PUBLISH, acknowledged_id, kind
from tests.brokers.scripted_broker import CONNECT, HangUpError, connack, puback
from tests.messages import IDENTITY, INFO, OUTCOMES, result
from tests.needs import ROOT, program

pytestmark = pytest.mark.alone

WINDOW = 20


@pytest.fixture
def mqtt():
    """A factory of open sinks that are closed, whatever they then have to say."""
    sinks = []

    def make(url: str, **options) -> Mqtt:
        sinks.append(Mqtt(**{"identity": IDENTITY, "url": url, "drain_s": 0.0, **options}))
        sinks[-1].open()
        return sinks[-1]

    yield make
    for sink in sinks:
        with suppress(SinkError):
            sink.close()
        assert not sender(sink)._thread.is_alive()


@pytest.fixture
def eager(monkeypatch):
    """Reconnects come at once."""
    monkeypatch.setattr(patience, "FIRST_S", 0.005)
    monkeypatch.setattr(patience, "LONGEST_S", 0.01)


@pytest.fixture
def absent(mosquitto, listen, proxy):
    """Where there is no broker until it appears, and who then listens there."""
    broker = mosquitto()
    port = free_port()
    return SimpleNamespace(
        url=f"mqtt://127.0.0.1:{port}",
        listener=listen(broker.url),
        appear=lambda: proxy(broker.port, port),
    )


def publish(sink: Mqtt, start: int, count: int, pause_s: float = 0.0, **more) -> None:
    for seq in range(start, start + count):
        sink.publish(result(seq, **more))
        if pause_s:
            time.sleep(pause_s)


def results(listener, ending: str = "/result") -> list[dict]:
    return [json.loads(payload) for payload in listener.on(ending)]


def seqs(listener, ending: str = "/result") -> list[int]:
    return [int(re.search(rb'"seq":(\d+)', payload)[1]) for payload in listener.on(ending)]


def first_times(numbers: list[int]) -> list[int]:
    """Without repeats, in the order in which each came first."""
    return list(dict.fromkeys(numbers))


def validate(documents: list[dict], name: str) -> None:
    schema = json.loads((ROOT / "edge_runtime" / f"{name}.schema.json").read_text())
    for document in documents:
        jsonschema.validate(document, schema)


def told(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def sender(sink: Mqtt) -> Sender:
    return sink._publisher._sender


def queue(sink: Mqtt) -> Queue:
    return sink._publisher._outbox._queue


def connected(sink: Mqtt) -> bool:
    return sender(sink).connected


def drained(sink: Mqtt) -> bool:
    return sink._publisher._outbox.empty


def dead_letters(path: Path) -> list[tuple[int, str]]:
    """The numbers of the dead letters and why they are there; after the sink was closed."""
    store = Store(path)
    store.open()
    try:
        return [(row.seq, reason) for row, reason in store.dead_letters()]
    finally:
        store.close()


# M01: no broker ------------------------------------------------------------------------------


def test_m01_a_broker_that_is_absent_for_ten_minutes_gets_everything_in_order(
    absent, mqtt, monkeypatch, caplog
):
    waits: list[float] = []

    class Hurried(patience.Patience):
        """Waits as it would, in no time."""

        def failed(self, *failure) -> float:
            waits.append(super().failed(*failure))
            return 0.005

    monkeypatch.setattr("edge_runtime.mqtt.sender.Patience", Hurried)
    sink = mqtt(absent.url)
    publish(sink, 0, 500)
    wait_until(lambda: sum(waits) > 600)
    publish(sink, 500, 500)
    absent.appear()
    wait_until(lambda: sink.delivery.waiting == 0)
    wait_until(lambda: len(seqs(absent.listener)) >= 1000)

    assert seqs(absent.listener) == list(range(1000))
    assert max(waits) <= 30.0
    assert sorted(waits[:7]) == waits[:7]  # doubled each time, the jitter is less than that
    assert len({round(wait, 3) for wait in waits[8:]}) > 5  # and there is jitter
    assert len(told(caplog)) == 1


# M02: nothing gets through ---------------------------------------------------------------------


def test_m02_a_black_hole_is_noticed_within_one_and_a_half_keepalives(
    mosquitto, listen, proxy, mqtt
):
    keepalive_s = 2
    broker = mosquitto()
    listener = listen(broker.url)
    relays = [proxy(broker.port) for _ in range(4)]
    sinks = [
        mqtt(relay.url, identity=Identity(f"bed-{number}", "ward"), keepalive_s=keepalive_s)
        for number, relay in enumerate(relays)
    ]
    for sink in sinks:
        publish(sink, 0, 10)
    wait_until(lambda: all(sink.delivery.acknowledged == 10 for sink in sinks))
    for relay, ways in zip(
        relays, [("up", "down"), ("up",), ("down",), ("up", "down")], strict=True
    ):
        for way in ways:
            getattr(relay, way).frozen = True
    frozen_at, noticed_s, said = time.monotonic(), {}, 10
    while len(noticed_s) < len(sinks) and time.monotonic() - frozen_at < 10:
        for sink in sinks[:3]:  # the last one is idle
            sink.publish(result(said))
        said += 1
        for number, sink in enumerate(sinks):
            if not connected(sink):
                noticed_s.setdefault(number, time.monotonic() - frozen_at)
        time.sleep(0.02)
    for relay in relays:
        relay.up.frozen = relay.down.frozen = False
    wait_until(lambda: all(drained(sink) for sink in sinks))

    def came(number: int) -> set[int]:
        heard = [item for item in listener.messages if item.topic.endswith("/result")]
        mine = [json.loads(item.payload) for item in heard if f"bed-{number}/" in item.topic]
        return {document["seq"] for document in mine}

    wait_until(lambda: all(came(number) == set(range(said)) for number in range(3)))
    assert len(noticed_s) == len(sinks)
    assert max(noticed_s.values()) <= 1.5 * keepalive_s + 1.2  # looked after once a second


# M03: a link that comes and goes ----------------------------------------------------------------


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_m03_a_flapping_link_loses_nothing_and_keeps_the_order(
    mosquitto, listen, proxy, mqtt, protocol
):
    dice = random.Random(protocol)
    broker = mosquitto()
    listener = listen(broker.url)
    relay = proxy(broker.port)
    sink = mqtt(relay.url, protocol=protocol)
    over, cuts = threading.Event(), Counter()

    def flap() -> None:
        while not over.wait(0.2):
            how = dice.choice(["close", "reset", "after some bytes", "in an answer", "late"])
            cuts[how] += 1
            relay.up.delay_s = relay.down.delay_s = 0.03 if how == "late" else 0.0
            if how in ("close", "reset"):
                relay.cut(reset=how == "reset")
            elif how != "late":
                way = relay.up if how == "after some bytes" else relay.down
                way.left = dice.randrange(1, 3000 if way is relay.up else 40)

    flapping = threading.Thread(target=flap)
    flapping.start()
    publish(sink, 0, 1000, 0.005)
    over.set()
    flapping.join()
    relay.up.delay_s = relay.down.delay_s = 0.0
    relay.up.left = relay.down.left = None
    wait_until(lambda: sink.delivery.waiting == 0)
    wait_until(lambda: len(set(seqs(listener))) == 1000)

    documents = results(listener)
    assert {item["seq"] for item in documents} == set(range(1000))
    for late in (True, False):
        of_a_kind = [item["seq"] for item in documents if item["historical"] is late]
        assert first_times(of_a_kind) == sorted(set(of_a_kind))
    assert (sink.delivery.refused, sink.delivery.dropped) == (0, 0)
    assert sink.delivery.reconnects >= 10
    assert len(cuts) == 5
    assert len(documents) <= 1000 + WINDOW * (sink.delivery.reconnects + 1)


@pytest.mark.usefixtures("eager")
def test_m03_a_result_is_not_blamed_for_a_link_that_goes_silent(
    mosquitto, listen, proxy, mqtt, monkeypatch
):
    monkeypatch.setattr(link, "TICK_S", 0.02)
    monkeypatch.setattr(replies, "ping_interval_s", lambda keepalive_s: 0.1)
    broker = mosquitto()
    listener = listen(broker.url)
    relay = proxy(broker.port)
    silent = False

    def swallow(packet: bytes) -> list[bytes]:
        """Nothing gets through from the first result of a connection on, six times."""
        nonlocal silent
        if kind(packet) == CONNECT:
            silent = False
        elif kind(packet) == PUBLISH and b"/result" in packet:
            silent = relay.connections <= 6
        return [] if silent else [packet]

    relay.up.edit = swallow
    sink = mqtt(relay.url)
    publish(sink, 0, 10)
    wait_until(lambda: sink.delivery.waiting == 0)
    wait_until(lambda: len(seqs(listener)) + sink.delivery.refused >= 10)

    assert sink.delivery.refused == 0
    assert seqs(listener) == list(range(10))


# M04: acknowledgements that do not come, come twice, or are of nothing ---------------------------


def test_m04_without_acknowledgements_the_window_stalls_and_nobody_waits(
    mosquitto, listen, proxy, mqtt
):
    broker = mosquitto()
    listener = listen(broker.url)
    relay = proxy(broker.port)
    sink = mqtt(relay.url)
    publish(sink, 0, 1)
    wait_until(lambda: sink.delivery.acknowledged == 1)
    relay.down.edit = lambda packet: [] if kind(packet) == PUBACK else [packet]

    took_s = []
    for seq in range(1, 3001):
        began = time.perf_counter()
        sink.publish(result(seq))
        took_s.append(time.perf_counter() - began)
        time.sleep(0.0002)
    wait_until(lambda: not queue(sink).unsaved)
    wait_until(lambda: len(queue(sink)._new) <= NEW_MAX)
    stalled = sink.delivery.published
    in_memory = len(queue(sink).taken) + len(queue(sink)._new) + len(queue(sink)._old)

    relay.down.edit = None
    relay.cut()
    wait_until(lambda: drained(sink))
    wait_until(lambda: len(set(seqs(listener))) == 3001)

    assert sorted(took_s)[int(0.99 * len(took_s))] < 0.02  # on a machine with other work
    assert stalled == 1 + WINDOW
    assert in_memory <= WINDOW + 2 * NEW_MAX  # the rest is on disk
    assert first_times(seqs(listener)) == list(range(3001))
    assert len(seqs(listener)) == 3001 + WINDOW
    assert sink.delivery.acknowledged == 3001


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_m04_one_acknowledgement_that_does_not_come_stops_nobody_else(
    mosquitto, listen, proxy, mqtt, protocol
):
    broker = mosquitto()
    listener = listen(broker.url)
    relay = proxy(broker.port)
    sink = mqtt(relay.url, protocol=protocol)
    publish(sink, 0, 10)
    wait_until(lambda: sink.delivery.acknowledged == 10)
    withheld = []

    def withhold(packet: bytes) -> list[bytes]:
        if kind(packet) == PUBACK and acknowledged_id(packet) % 7 == 0 and not withheld:
            withheld.append(packet)
            return []
        return [packet]

    relay.down.edit = withhold
    publish(sink, 10, 190)
    wait_until(lambda: sink.delivery.waiting == 1)
    wait_until(lambda: sorted(seqs(listener)) == list(range(200)))
    relay.cut(reset=True)
    wait_until(lambda: drained(sink))
    wait_until(lambda: len(seqs(listener)) == 201)

    assert len(withheld) == 1
    assert set(seqs(listener)) == set(range(200))
    assert (sink.delivery.published, sink.delivery.acknowledged) == (201, 200)


def test_m04_acknowledgements_that_come_twice_or_are_of_nothing_change_nothing(
    mosquitto, listen, proxy, mqtt
):
    broker = mosquitto()
    listener = listen(broker.url)
    relay = proxy(broker.port)
    relay.down.edit = lambda packet: (
        [packet, packet, puback(0), puback(65_000), puback(64_999, 0x87)]
        if kind(packet) == PUBACK
        else [packet]
    )
    sink = mqtt(relay.url)
    publish(sink, 0, 500)
    wait_until(lambda: drained(sink))
    wait_until(lambda: len(seqs(listener)) == 500)

    assert seqs(listener) == list(range(500))
    assert (sink.delivery.published, sink.delivery.acknowledged) == (500, 500)
    assert (sink.delivery.reconnects, sink.delivery.refused) == (0, 0)
    assert queue(sink).bytes == 0


# M07: what the broker can take -------------------------------------------------------------------


def test_m07_no_more_is_unanswered_than_the_broker_takes(scripted_broker, mqtt):
    broker = scripted_broker(
        greet=lambda number: connack(b"\x21\0\1\x22\0\0"),  # receive maximum 1, topic alias 0
        receive_max=1,
        hold_s=0.03,
    )
    sink = mqtt(broker.url)
    sink.announce(INFO)
    publish(sink, 0, 10)
    wait_until(lambda: broker.violations or (drained(sink) and broker.on("/info")))

    assert broker.violations == 0
    assert broker.connections == 1
    assert [json.loads(item.payload)["seq"] for item in broker.on("/result")] == list(range(10))
    assert all(item.topic and b"\x23\0\1" not in item.properties for item in broker.received)


def test_m07_what_is_too_large_is_a_dead_letter_and_never_sent(mosquitto, listen, mqtt, caplog):
    import numpy as np

    broker = mosquitto("max_packet_size 4000")
    listener = listen(broker.url)
    sink = mqtt(broker.url)
    large = Tensors((Tensor("y", np.ones(4000, np.float32)),))
    for seq in range(20):
        sink.publish(result(seq, large if seq % 5 == 2 else OUTCOMES["labels"]))
    wait_until(lambda: sink.delivery.waiting == 0)
    wait_until(lambda: results(listener, "/gap"))
    with pytest.raises(SinkError, match="4 refused"):
        sink.close()

    letters = dead_letters(sink.outbox_path)
    assert [seq for seq, _ in letters] == [2, 7, 12, 17]
    assert all("more than the broker takes" in reason for _, reason in letters)
    assert seqs(listener) == [seq for seq in range(20) if seq % 5 != 2]
    assert sink.delivery.reconnects == 0
    gaps = results(listener, "/gap")
    validate(gaps, "gap")
    assert sum(gap["count"] for gap in gaps) == 4
    assert {gap["reason"] for gap in gaps} == {"refused"}


# M08: what the broker will not have --------------------------------------------------------------


def test_m08_a_topic_that_is_denied_is_refused_three_times_and_never_blocks_the_rest(
    mosquitto, listen, proxy, mqtt, tmp_path
):
    rules = tmp_path / "acl"
    rules.write_text("topic readwrite edge/+/+/port/#\ntopic readwrite edge/+/+/status\n")
    broker = mosquitto(f"acl_file {rules}")
    listener = listen(broker.url)
    relay = proxy(broker.port)
    refusals = Counter()

    def count(packet: bytes) -> list[bytes]:
        if kind(packet) == PUBACK and len(packet) > 4 and packet[4] >= 0x80:
            refusals[packet[4]] += 1
        return [packet]

    relay.down.edit = count
    sink = mqtt(relay.url)
    for seq in range(10):
        sink.publish(result(seq, source="port" if seq % 2 else "forbidden"))
    wait_until(lambda: len(seqs(listener)) == 5)
    rest_came = time.monotonic()
    publish(sink, 10, 10)
    wait_until(lambda: len(seqs(listener)) == 15)
    assert time.monotonic() - rest_came < 0.9  # before the first refused row is tried again
    wait_until(lambda: sink.delivery.waiting == 0)
    with pytest.raises(SinkError, match="5 refused"):
        sink.close()

    assert seqs(listener) == [1, 3, 5, 7, 9, *range(10, 20)]
    assert dead_letters(sink.outbox_path) == [(seq, "not authorized") for seq in range(0, 10, 2)]
    assert refusals[0x87] >= 15
    assert sink.delivery.reconnects == 0


@pytest.mark.usefixtures("eager")
def test_m08_a_message_that_an_old_broker_hangs_up_on_is_a_dead_letter(
    mosquitto, listen, proxy, mqtt
):
    broker = mosquitto()
    listener = listen(broker.url)
    relay = proxy(broker.port)
    relay.up.edit = lambda packet: (
        None if kind(packet) == PUBLISH and b'"seq":7,' in packet else [packet]
    )
    sink = mqtt(relay.url, protocol="3.1.1")
    publish(sink, 0, 50)
    wait_until(lambda: sink.delivery.waiting == 0)
    wait_until(lambda: set(seqs(listener)) == set(range(50)) - {7})
    with pytest.raises(SinkError, match="1 refused"):
        sink.close()

    assert dead_letters(sink.outbox_path) == [(7, "the broker hung up on it three times")]


@pytest.fixture
def stingy(scripted_broker, monkeypatch):
    """A broker that has no room for result 3, eight times."""
    monkeypatch.setattr("edge_runtime.mqtt.flight.PENALTY_S", 0.05)

    def make(words: str):
        refused = []

        def answer(publish) -> bytes:
            result = publish.topic.endswith("/result")
            if result and json.loads(publish.payload)["seq"] == 3 and len(refused) < 8:
                refused.append(publish)
                return puback(publish.id, 0x97, words)  # quota exceeded
            return puback(publish.id)

        return scripted_broker(answer)

    return make


@pytest.mark.parametrize(
    "words",
    [
        "",
        "come again later",
    ],
)
def test_m08_a_broker_without_room_is_asked_again_and_nothing_is_given_up(stingy, mqtt, words):
    broker = stingy(words)
    sink = mqtt(broker.url)
    publish(sink, 0, 100, 0.01)
    wait_until(lambda: sink.delivery.waiting == 0)

    came = [json.loads(item.payload)["seq"] for item in broker.on("/result")]
    assert sink.delivery.refused == 0
    assert Counter(came) == {**dict.fromkeys(range(100), 1), 3: 9}
    assert broker.connections == 1


def test_m08_what_comes_late_for_want_of_room_is_not_live(stingy, mqtt):
    broker = stingy("")
    sink = mqtt(broker.url)
    publish(sink, 0, 100, 0.01)
    wait_until(lambda: sink.delivery.waiting == 0)

    documents = [json.loads(item.payload) for item in broker.on("/result")]
    attempts = [at for at, item in enumerate(documents) if item["seq"] == 3]
    assert attempts[-1] > 10
    assert documents[attempts[-1]]["historical"]  # others have overtaken it


# M11: very many ------------------------------------------------------------------------------


DRAIN = """\
import sys, time
import psutil
from edge_runtime.sinks.mqtt import Mqtt
from tests.messages import IDENTITY
sink = Mqtt(identity=IDENTITY, url=sys.argv[1], state=sys.argv[2])
sink.open()
memory = []
while sink.delivery.waiting:
    memory.append(psutil.Process().memory_info().rss)
    time.sleep(0.02)
sink.close()
third = len(memory) // 3
print(max(memory[:third]), max(memory[-third:]), sink.delivery.reconnects, sink.delivery.published)
"""


def test_m11_a_hundred_thousand_wait_and_leave_in_order_over_one_connection(
    mosquitto, tmp_path, listen
):
    count = 100_000  # more than there are message ids
    broker = mosquitto("max_inflight_messages 0")
    store = Store(tmp_path / "bed-7" / "ward" / "outbox.db")
    store.open()
    topic, now = "edge/bed-7/ward/port/result", time.time_ns()
    for start in range(1, count + 1, 10_000):
        rows = [
            Row(at, f"old-{at}", "port", at, topic, b"%d" % at, "1", now, False, 0)
            for at in range(start, start + 10_000)
        ]
        store.commit(Batch(add=rows))
    store.close()
    heard = tmp_path / "heard"
    command = [program("mosquitto_sub", "mosquitto-clients"), "-p", str(broker.port)]
    with heard.open("wb") as file:
        subscriber = subprocess.Popen([*command, "-t", "#", "-C", str(count + 3)], stdout=file)
        probe = listen(broker.url, topic="none")
        wait_until(lambda: b"edge-run" not in heard.read_bytes() and probe.subscribed)
        wait_until(lambda: broker.log.read_text().count("New client connected") >= 2)
        done = subprocess.run(
            [sys.executable, "-c", DRAIN, broker.url, str(tmp_path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        subscriber.terminate()
        subscriber.wait()

    early, late, reconnects, published = map(int, done.stdout.split())
    numbers = [int(line) for line in heard.read_bytes().split() if line.isdigit()]
    assert numbers == list(range(1, count + 1))
    assert (reconnects, published) == (0, count)
    assert late - early < 5e6


def test_m11_an_id_that_is_still_in_use_is_not_used_again(mosquitto, listen, proxy, mqtt):
    broker = mosquitto()
    listener = listen(broker.url)
    relay = proxy(broker.port)
    sink = mqtt(relay.url)
    publish(sink, 0, 5)
    wait_until(lambda: sink.delivery.acknowledged == 5)
    withheld = []

    def withhold(packet: bytes) -> list[bytes]:
        if kind(packet) == PUBACK and not withheld:
            withheld.append(packet)
            return []
        return [packet]

    relay.down.edit = withhold
    publish(sink, 5, 5)
    wait_until(lambda: sink.delivery.acknowledged == 9)
    sender(sink)._link.session._client._last_mid = 65_530  # as after so many messages
    publish(sink, 10, 20)
    wait_until(lambda: drained(sink))
    wait_until(lambda: len(set(seqs(listener))) == 30)

    assert sink.delivery.acknowledged == 30
    assert first_times(seqs(listener)) == list(range(30))


# M14: what is not MQTT -------------------------------------------------------------------------


def nonsense(dice: random.Random) -> bytes:
    """Noise, a length that lies, bad UTF-8, or a packet of MQTT with a few bytes changed."""
    how = dice.randrange(4)
    if how == 0:
        return dice.randbytes(dice.randrange(1, 40))
    if how == 1:
        length = bytes(dice.choice([(0,), (1,), (2,), (127,), (0xFF, 0x7F), (0xFF,) * 5]))
        return bytes((dice.randrange(256),)) + length + dice.randbytes(dice.randrange(20))
    if how == 2:
        topic = dice.choice([b"\xff\xfe", b"\0", b"a/\xc3", b"\xed\xa0\x80"])
        body = bytes((0, len(topic))) + topic + b"\0\7\0" + dice.randbytes(4)
        return bytes((dice.choice((0x30, 0x32, 0x34)), len(body))) + body
    packet = bytearray(
        dice.choice(
            [
                puback(1),
                puback(2, 0x87, "no"),
                b"\x50\4\0\1\0\0",  # PUBREC
                b"\x62\4\0\1\0\0",  # PUBREL
                b"\x70\4\0\1\0\0",  # PUBCOMP
                b"\x90\4\0\1\0\1",  # SUBACK
                b"\x32\x0a\0\1a\0\7\0data",  # PUBLISH
                b"\xe0\x04\x8b\2\x11\0",  # DISCONNECT
                b"\xf0\x04\x18\2\x15\0",  # AUTH
                connack(b"\x21\0\1"),
                b"\xd0\0",  # PINGRESP
            ]
        )
    )
    for _ in range(dice.randrange(4)):
        packet[dice.randrange(len(packet))] = dice.randrange(256)
    return bytes(packet[: dice.randrange(1, len(packet) + 1)])


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_m14_malformed_packets_end_a_connection_and_nothing_else(scripted_broker, mqtt, protocol):
    dice, attempts = random.Random(14), 150

    def greet(number: int) -> bytes:
        accepted = connack() if protocol == "5" else b"\x20\2\0\0"
        if number > attempts:
            return accepted
        raise HangUpError(nonsense(dice) if number % 3 == 0 else accepted + nonsense(dice))

    broker = scripted_broker(greet=greet)
    sink = mqtt(broker.url, protocol=protocol)
    sink.announce(INFO)
    publish(sink, 0, 5)
    wait_until(lambda: broker.connections > attempts or sender(sink).ended, 30)

    assert not sender(sink).ended
    if protocol == "5":  # the scripted broker reads no other
        publish(sink, 5, 5)
        wait_until(lambda: drained(sink))
        assert {json.loads(item.payload)["seq"] for item in broker.on("/result")} >= set(
            range(6, 10)
        )


# M16: a slow broker ------------------------------------------------------------------------------


def test_m16_what_a_slow_broker_cannot_take_is_let_go_by_policy_and_told(
    mosquitto, listen, proxy, mqtt
):
    broker = mosquitto()
    listener = listen(broker.url)
    relay = proxy(broker.port)
    relay.up.rate = 6000  # about ten results a second
    sink = mqtt(relay.url, outbox=Limits(rows=100, reject=("ecg",)))
    began = time.monotonic()
    for seq in range(200):
        sink.publish(result(seq, source="camera"))
        sink.publish(result(seq, source="ecg"))
        wait_until(lambda: time.monotonic() - began > seq / 50)  # noqa: B023
    slow = len(seqs(listener))
    relay.up.rate = 0.0

    def delivered(source: str) -> set[int]:
        return set(seqs(listener, f"{source}/result"))

    def lost(source: str) -> int:
        records = {record["id"]: record for record in results(listener, f"{source}/gap")}
        return sum(record["count"] for record in records.values())

    wait_until(
        lambda: all(len(delivered(name)) + lost(name) == 200 for name in ("camera", "ecg")), 20
    )
    gaps, alerts = results(listener, "/gap"), results(listener, "/alert")
    validate(gaps, "gap")
    validate(alerts, "alert")

    assert slow < 100
    assert lost("camera") + lost("ecg") == sink.delivery.dropped
    assert lost("camera") > 50
    assert lost("ecg") > 50
    assert {(gap["source"], gap["reason"]) for gap in gaps} == {
        ("camera", "full"),
        ("ecg", "rejected"),
    }
    assert 199 in delivered("camera")  # the newest
    assert set(range(40)) <= delivered("ecg")  # the oldest
    assert all(
        gap["last_seq"] - gap["first_seq"] + 1 >= gap["count"]
        and gap["run"] == f"boot-{gap['source']}"
        for gap in gaps
    )
    assert {alert["kind"] for alert in alerts} == {"outbox-full"}


def test_m16_a_backlog_does_not_hold_up_what_is_live(mosquitto, listen, proxy, mqtt):
    broker = mosquitto()
    listener = listen(broker.url)
    arrived: dict[int, float] = {}
    keep = listener._client.on_message

    def note(client, data, message) -> None:
        keep(client, data, message)
        if message.topic.endswith("/result"):
            seq = int(re.search(rb'"seq":(\d+)', message.payload)[1])
            arrived.setdefault(seq, time.monotonic())

    listener._client.on_message = note
    first = mqtt("mqtt://127.0.0.1:1")
    publish(first, 0, 600)
    with pytest.raises(SinkError):
        first.close()
    relay = proxy(broker.port)
    relay.up.rate = 120_000  # about two hundred results a second
    sink = mqtt(relay.url)
    wait_until(lambda: len(arrived) > 20)

    sent: dict[int, float] = {}
    while sink.delivery.waiting > 150:
        seq = 10_000 + len(sent)
        sent[seq] = time.monotonic()
        publish(sink, seq, 1, 0.03)
    relay.up.rate = 0.0
    wait_until(lambda: drained(sink))
    wait_until(lambda: len(arrived) == 600 + len(sent))

    ages = sorted(arrived[seq] - at for seq, at in sent.items())
    documents = results(listener)
    assert len(sent) > 40
    assert ages[int(0.95 * len(ages))] < 0.8
    for late, numbers in ((True, list(range(600))), (False, list(sent))):
        assert [item["seq"] for item in documents if item["historical"] is late] == numbers


# The clock ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    "step_s",
    [
        3600.0,
        -1.9,
    ],
)
def test_a_step_of_the_clock_loses_nothing_and_keeps_order_and_historical_right(
    absent, mqtt, monkeypatch, step_s
):
    ahead_s, right = 0.0, time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: right() + int(ahead_s * 1e9))
    sink = mqtt(absent.url)
    publish(sink, 0, 600)
    wait_until(lambda: not queue(sink).unsaved)
    ahead_s += step_s
    publish(sink, 600, 600)
    waited_since = time.monotonic()
    wait_until(lambda: time.monotonic() - waited_since > 2.1)
    ahead_s += step_s
    absent.appear()
    wait_until(lambda: drained(sink))
    publish(sink, 1200, 20)
    wait_until(lambda: len(set(seqs(absent.listener))) == 1220)

    documents = results(absent.listener)
    assert [item["seq"] for item in documents] == list(range(1220))
    assert [item["historical"] for item in documents] == [True] * 1200 + [False] * 20
