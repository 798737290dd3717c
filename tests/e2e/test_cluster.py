"""Three RabbitMQ nodes, made by deploy/rabbitmq-cluster: what the loss of a node costs."""

from __future__ import annotations

import json
import threading

import pytest

from edge_runtime.frame import Identity
from edge_runtime.sinks.mqtt import Mqtt
from tests.brokers import Gate, Listener, wait_until
from tests.brokers.cluster import Cluster
from tests.messages import INFO, result


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), 3, "quorum")
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.down()


@pytest.fixture
def cluster(three):
    yield three
    three.heal()


class Work:
    """A device that publishes all the while, and a subscriber with a session that outlives it.

    Both begin at node 1. The device knows all nodes; the subscriber's way is turned by `turn_to`.
    """

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.sent = 0
        self._way = Gate(cluster.port(1))
        urls = [f"mqtt://localhost:{cluster.port(node)}" for node in (1, 2, 3)]
        identity = Identity(name, "ward")
        self.sink = Mqtt(
            identity=identity, url=urls[0], fallback_urls=tuple(urls[1:]), drain_s=30.0
        )
        topic = f"edge/{name}/#"
        self.listener = Listener(self._way.url, version=4, durable=True, topic=topic)
        self.sink.open()
        self.sink.announce(INFO)
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        wait_until(lambda: len(self.seqs) > 100)

    @property
    def seqs(self) -> list[int]:
        return [json.loads(payload)["seq"] for payload in self.listener.on("/result")]

    @property
    def lost(self) -> set[int]:
        return set(range(self.sent)) - set(self.seqs)

    def turn_to(self, port: int) -> None:
        self._way.target = port

    def stop(self) -> None:
        """No more results; return when a broker has acknowledged all."""
        self._enough.set()
        self._thread.join()
        wait_until(lambda: self.sink.delivery.waiting == 0, 60)

    def close(self) -> None:
        self._enough.set()
        self._thread.join()
        self.sink.close()
        self.listener.close()
        self._way.close()

    def _run(self) -> None:
        while not self._enough.wait(0.01):
            self.sink.publish(result(self.sent))
            self.sent += 1


@pytest.fixture
def work(cluster):
    begun = []

    def begin(name: str) -> Work:
        begun.append(Work(cluster, name))
        return begun[-1]

    yield begin
    for item in begun:
        item.close()


def test_with_quorum_queues_a_killed_node_costs_nothing(cluster, work):
    busy = work("quorum")
    before = busy.sent
    cluster.kill(1)
    busy.turn_to(cluster.port(2))
    wait_until(lambda: busy.seqs and max(busy.seqs) > before + 100, 60)
    busy.stop()
    wait_until(lambda: not busy.lost)

    assert busy.sink.delivery.reconnects >= 1
    assert len(busy.seqs) - len(set(busy.seqs)) <= 2 * 20  # the windows of device and subscriber


def test_with_classic_queues_results_are_acknowledged_and_lost_with_their_node(cluster, work):
    """RabbitMQ's own default; the reason why up.sh sets another."""
    cluster.evaluate("application:set_env(rabbitmq_mqtt, durable_queue_type, classic).")
    busy = work("classic")
    cluster.kill(1)
    busy.turn_to(cluster.port(2))
    before = busy.sink.delivery.acknowledged
    wait_until(lambda: busy.sink.delivery.acknowledged > before + 200, 60)
    busy.stop()
    cluster.heal()
    wait_until(lambda: busy.listener.subscribed, 60)

    assert len(busy.lost) > 150


def test_with_mirrored_classic_queues_a_killed_node_costs_nothing(cluster, work):
    cluster.evaluate("application:set_env(rabbitmq_mqtt, durable_queue_type, classic).")
    cluster.mirror()
    busy = work("mirrored")
    before = busy.sent
    cluster.kill(1)
    busy.turn_to(cluster.port(2))
    wait_until(lambda: busy.seqs and max(busy.seqs) > before + 100, 60)
    busy.stop()
    wait_until(lambda: not busy.lost)
