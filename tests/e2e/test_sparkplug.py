"""The edge node at a real broker, seen by a host that reads bytes by the specification."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import paho.mqtt.publish as paho_publish
import pytest

from edge_runtime.errors import SinkError
from edge_runtime.frame import Info, SourceState
from edge_runtime.mqtt.client import LinkDownError
from edge_runtime.mqtt.session import Session
from edge_runtime.outcome import Label, Labels
from edge_runtime.sinks.sparkplug import Sparkplug

from ..brokers import HOST, Listener, Mosquitto, wait_until
from ..messages import BACKEND, IDENTITY, MODEL, result
from ..needs import ROOT
from ..sparkplug import Payload, command, decode

NODE = "bed-7-ward"
NBIRTH, NDEATH = f"spBv1.0/edge-run/NBIRTH/{NODE}", f"spBv1.0/edge-run/NDEATH/{NODE}"
DBIRTH, DDEATH = f"spBv1.0/edge-run/DBIRTH/{NODE}/port", f"spBv1.0/edge-run/DDEATH/{NODE}/port"
DDATA = f"spBv1.0/edge-run/DDATA/{NODE}/port"
NCMD = f"spBv1.0/edge-run/NCMD/{NODE}"
STATE = "spBv1.0/STATE/scada"
PERSON = Labels((Label(0, "person", 0.75),))


def info(state: str = "live") -> Info:
    return Info(MODEL, BACKEND, (SourceState("port", state),), "classification", ("person",))


class Host:
    """What a host application sees: everything below spBv1.0, in order."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    @property
    def messages(self) -> list[SimpleNamespace]:
        kept = list(self._listener.messages)
        return [item for item in kept if item.topic.split("/")[1] not in ("NCMD", "STATE")
                and "NCMD" not in item.topic]  # fmt: skip

    def topics(self) -> list[str]:
        return [item.topic for item in self.messages]

    def payloads(self, topic: str) -> list[Payload]:
        return [decode(item.payload) for item in self.messages if item.topic == topic]

    def await_count(self, topic: str, count: int) -> list[Payload]:
        wait_until(lambda: len(self.payloads(topic)) >= count)
        return self.payloads(topic)


def birth_numbers(payloads: list[Payload]) -> list[int]:
    return [payload.values()["bdSeq"] for payload in payloads]


def publish(broker: Mosquitto, topic: str, payload: bytes, *, retain: bool = False) -> None:
    paho_publish.single(topic, payload, 1, retain=retain, hostname=HOST, port=broker.port)


def say(broker: Mosquitto, *, online: bool, timestamp: int) -> None:
    word = json.dumps({"online": online, "timestamp": timestamp}).encode()
    publish(broker, STATE, word, retain=True)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Callable[..., Sparkplug]]:
    """A factory of open sinks, announced unless told otherwise."""
    with ExitStack() as stack:

        def make(broker: Mosquitto, *, announced: bool = True, **options: Any) -> Sparkplug:
            settings = {"drain_s": 0.5, "state": str(tmp_path / "state"), **options}
            edge = Sparkplug(identity=IDENTITY, url=broker.url, **settings)
            edge.open()
            stack.callback(close, edge)
            if announced:
                edge.announce(info())
            return edge

        yield make


def close(edge: Sparkplug) -> None:
    with suppress(SinkError):
        edge.close()


def test_a_run_is_birth_data_death(mosquitto, listen, node):
    broker = mosquitto()
    host = Host(listen(broker.url))
    edge = node(broker)
    for seq in range(3):
        edge.publish(result(seq, PERSON))
    edge.close()
    host.await_count(NDEATH, 1)

    assert host.topics() == [NBIRTH, DBIRTH, DDATA, DDATA, DDATA, NDEATH]
    messages = [(item, decode(item.payload)) for item in host.messages]
    assert [payload.seq for _, payload in messages] == [0, 1, 2, 3, 4, None]
    assert {item.qos for item, _ in messages} == {0}
    assert not any(item.retained for item, _ in messages)
    (birth,), (death,) = host.payloads(NBIRTH), host.payloads(NDEATH)
    assert birth.values()["bdSeq"] == death.values()["bdSeq"] == 0
    aliases = {metric["alias"]: metric["name"] for metric in host.payloads(DBIRTH)[0].metrics}
    first = {aliases[m["alias"]]: m["value"] for m in host.payloads(DDATA)[0].metrics}
    assert (first["Label"], first["Scores/person"]) == ("person", 0.75)


def test_nothing_is_left_at_the_broker(mosquitto, listen, node):
    broker = mosquitto()
    edge = node(broker)
    edge.publish(result(0, PERSON))
    edge.close()

    assert not kept(broker, listen)


def kept(broker: Mosquitto, listen: Callable[..., Listener]) -> list[str]:
    """The topics of ours that a late subscriber finds retained."""
    publish(broker, "spBv1.0/zzz/mark", b"\x08\x01", retain=True)
    late_one = listen(broker.url)
    wait_until(lambda: late_one.on("mark"))
    return [item.topic for item in late_one.messages if not item.topic.endswith("mark")]


def test_a_rebirth_command_is_answered_with_everything_from_the_beginning(mosquitto, listen, node):
    broker = mosquitto()
    host = Host(listen(broker.url))
    edge = node(broker)
    edge.publish(result(0, PERSON))
    host.await_count(DDATA, 1)

    publish(broker, NCMD, b"nonsense")
    publish(broker, NCMD, command("Node Control/Rebirth", value=False))
    publish(broker, NCMD, command("Node Control/Rebirth"))
    births = host.await_count(NBIRTH, 2)
    devices = host.await_count(DBIRTH, 2)
    edge.publish(result(1, PERSON))
    host.await_count(DDATA, 2)

    assert host.topics() == [NBIRTH, DBIRTH, DDATA, NBIRTH, DBIRTH, DDATA]
    assert birth_numbers(births) == [0, 0]
    assert devices[1].values()["Scores/person"] == 0.75
    assert [p.seq for p in (births[1], devices[1], host.payloads(DDATA)[1])] == [0, 1, 2]


def test_sequence_numbers_go_on_past_255(mosquitto, listen, node):
    broker = mosquitto()
    host = Host(listen(broker.url))
    edge = node(broker, drain_s=20.0)
    for seq in range(600):
        edge.publish(result(seq, PERSON))
    edge.close()

    seqs = [payload.seq for payload in host.await_count(DDATA, 600)]
    assert seqs == [(2 + number) % 256 for number in range(600)]


def test_a_killed_node_is_dead_at_once_with_the_number_of_its_birth(
    mosquitto, listen, node, tmp_path
):
    broker = mosquitto()
    host = Host(listen(broker.url))
    state = str(tmp_path / "state")
    code = (
        "import time\n"
        "from tests.e2e.test_sparkplug import IDENTITY, Sparkplug, info\n"
        f"edge = Sparkplug(identity=IDENTITY, url={broker.url!r}, state={state!r})\n"
        "edge.open(); edge.announce(info()); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    try:
        host.await_count(DBIRTH, 1)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    (death,) = host.await_count(NDEATH, 1)
    will = next(item for item in host.messages if item.topic == NDEATH)
    assert birth_numbers([*host.payloads(NBIRTH), death]) == [0, 0]
    assert (will.qos, death.seq) == (1, None)
    assert not kept(broker, listen)

    node(broker)

    assert birth_numbers(host.await_count(NBIRTH, 2)) == [0, 1]


def test_results_wait_for_a_broker_that_is_gone_and_come_as_historical(
    mosquitto, listen, node, monkeypatch
):
    monkeypatch.setattr("edge_runtime.sparkplug.waiting.LIVE_NS", 300_000_000)
    broker = mosquitto()
    host = Host(listen(broker.url))
    say(broker, online=True, timestamp=10)
    edge = node(broker, primary_host="scada")
    host.await_count(NBIRTH, 1)

    broker.kill()
    wait_until(lambda: edge._sender.cause)
    for seq in range(1, 4):
        edge.publish(result(seq, PERSON))
    wait_until(lambda: late_now(edge))
    broker.start()
    listener = listen(broker.url)
    again = Host(listener)
    wait_until(lambda: edge._sender.sessions == 2)
    say(broker, online=True, timestamp=20)  # the new broker has kept nothing: until now all waits
    stored = again.await_count(DDATA, 3)
    edge.publish(result(4, PERSON))
    live = again.await_count(DDATA, 4)[-1]

    assert again.topics() == [NBIRTH, DBIRTH, DDATA, DDATA, DDATA, DDATA]
    assert birth_numbers(again.payloads(NBIRTH)) == [1]
    assert all(metric["is_historical"] for payload in stored for metric in payload.metrics)
    assert not any(metric["is_historical"] for metric in live.metrics)
    assert [decode(item.payload).seq for item in again.messages] == list(range(6))
    assert born_after_the_host_was(listener)


def late_now(edge: Sparkplug) -> bool:
    from edge_runtime.sparkplug.waiting import late

    rows = list(edge._waiting._rows)
    return len(rows) == 3 and all(late(accepted_ns) for _, accepted_ns in rows)


@pytest.mark.parametrize("late", [False, True])
def test_a_result_that_met_a_broken_connection_is_said_in_the_next(
    mosquitto, listen, node, monkeypatch, late: bool
):
    hand_over, broken = Session.publish, []

    def once_broken(session: Session, topic: str, payload: bytes, qos: int) -> int:
        if topic == DDATA and not broken:
            broken.append(topic)
            session.drop()
            raise LinkDownError("cut")
        return hand_over(session, topic, payload, qos)

    monkeypatch.setattr(Session, "publish", once_broken)
    monkeypatch.setattr("edge_runtime.sparkplug.waiting.LIVE_NS", -1 if late else 10**12)
    broker = mosquitto()
    host = Host(listen(broker.url))
    edge = node(broker, drain_s=20.0)
    for seq in range(3):
        edge.publish(result(seq, PERSON))
    edge.close()

    birth = host.await_count(DBIRTH, 2)[1]
    host.await_count(NDEATH, 2)
    names = {metric["alias"]: metric["name"] for metric in birth.metrics}
    said = [
        metric["value"]
        for payload in host.payloads(DDATA)
        for metric in payload.metrics
        if names[metric["alias"]] == "Result/Sequence"
    ]
    assert birth_numbers(host.payloads(NBIRTH)) == [0, 1]
    # A present value that was not said is in the birth; a late one is said after it.
    assert (birth.values()["Result/Sequence"], said) == ((None, [0, 1, 2]) if late else (0, [1, 2]))


def test_a_source_that_is_lost_is_a_dead_device(mosquitto, listen, node):
    broker = mosquitto()
    host = Host(listen(broker.url))
    edge = node(broker)
    host.await_count(DBIRTH, 1)
    edge.announce(info("lost"))
    host.await_count(DDEATH, 1)
    edge.announce(info("live"))
    host.await_count(DBIRTH, 2)

    assert host.topics() == [NBIRTH, DBIRTH, DDEATH, DBIRTH]
    assert [decode(item.payload).seq for item in host.messages] == [0, 1, 2, 3]


def test_nothing_is_published_before_the_primary_host_is_online(mosquitto, listen, node):
    broker = mosquitto()
    listener = listen(broker.url)
    host = Host(listener)
    say(broker, online=False, timestamp=10)
    edge = node(broker, primary_host="scada")
    edge.publish(result(0, PERSON))
    publish(broker, "spBv1.0/STATE/another", b'{"online": true, "timestamp": 99}', retain=True)
    wait_until(lambda: edge._sender.sessions == 1)
    publish(broker, NCMD, command("Node Control/Rebirth"))

    say(broker, online=True, timestamp=11)
    host.await_count(DDATA, 1)

    assert host.topics() == [NBIRTH, DBIRTH, DDATA]
    assert born_after_the_host_was(listener)


def born_after_the_host_was(listener: Listener) -> bool:
    """Whether the last word of the host was heard before the first birth."""
    topics = [item.topic for item in listener.messages]
    return topics.index(NBIRTH) > max(at for at, topic in enumerate(topics) if topic == STATE)


def test_the_node_leaves_when_the_primary_host_does_and_comes_back_with_it(mosquitto, listen, node):
    broker = mosquitto()
    host = Host(listen(broker.url))
    say(broker, online=True, timestamp=10)
    edge = node(broker, primary_host="scada")
    host.await_count(DBIRTH, 1)

    say(broker, online=False, timestamp=20)
    host.await_count(NDEATH, 1)
    wait_until(lambda: edge._sender.sessions == 2)
    edge.publish(result(0, PERSON))
    say(broker, online=True, timestamp=30)
    host.await_count(DDATA, 1)

    assert host.topics() == [NBIRTH, DBIRTH, NDEATH, NBIRTH, DBIRTH, DDATA]
    assert birth_numbers(host.payloads(NBIRTH)) == [0, 1]
    assert birth_numbers(host.payloads(NDEATH)) == [0]


def test_what_nobody_took_is_an_error_with_its_number_and_cause(mosquitto, node):
    broker = mosquitto()
    edge = node(broker, primary_host="scada", rows=2)
    for seq in range(3):
        edge.publish(result(seq, PERSON))
    assert not edge.ready()

    with pytest.raises(SinkError, match="3 results not delivered .*the primary host is not online"):
        edge.close()
