"""A device as a subscriber knows it: it publishes what it is told to, and hears confirmations."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack

import pytest

from edge_runtime.encoding import CONTENT_TYPES, Encoding, encode
from edge_runtime.frame import Identity
from edge_runtime.notices import Notices
from edge_runtime.outbox.gap import Gap
from edge_runtime.wire import Encoder, Topics
from tests.messages import INFO, TIME_NS, result

GAP = Gap(7, "port", "boot-port", "full", 3, 12, 9, TIME_NS, TIME_NS + 10**9)


class Device:
    """Publishes at QoS 1 and waits until the broker has it."""

    def __init__(self, port: int, name: str = "bed-7", encoding: Encoding = "json") -> None:
        import paho.mqtt.client as paho  # some environments have a runtime to test, and no MQTT

        identity = Identity(name, "ward")
        self.topics = Topics(identity)
        self.encoder = Encoder(identity)
        self.notices = Notices(identity)
        self.confirmed: list[str] = []  # ids, as they came
        self.batches: list[int] = []  # how many of them in each message
        self._encoding: Encoding = encoding
        self._ready = threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe(self.topics.ack, 1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._hear
        self._client.reconnect_delay_set(0.1, 0.2)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._ready.wait(10)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, typed: bool = True):
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        extra = Properties(PacketTypes.PUBLISH)
        if typed:
            extra.ContentType = CONTENT_TYPES[self._encoding]
        return self._client.publish(topic, payload, 1, retain, extra)

    def results(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            payload = encode(self.encoder.result(result(number)), self._encoding)
            sent = self.publish(self.topics.result("port"), payload)
        sent.wait_for_publish(10)

    def introduce(self) -> None:
        """What a sink does after it has connected."""
        self.publish(self.topics.status, b"online", retain=True)
        info = encode(self.encoder.info(INFO, time.time_ns(), "5"), self._encoding)
        self.publish(self.topics.info, info, retain=True).wait_for_publish(10)

    def gap(self) -> None:
        payload = encode(self.notices.gap(GAP), self._encoding)
        self.publish(self.topics.gap("port"), payload).wait_for_publish(10)

    def alert(self, text: str = "no room", *, cleared: bool = False) -> None:
        key = f"alert-{cleared}"
        payload = self.notices.alert(key, TIME_NS, "outbox-full", text, cleared=cleared)
        self.publish(self.topics.alert, encode(payload, self._encoding)).wait_for_publish(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _hear(self, client, userdata, message) -> None:
        ids = json.loads(message.payload)["ids"]
        self.confirmed += ids
        self.batches.append(len(ids))


@pytest.fixture
def device() -> Iterator[Callable[..., Device]]:
    """A factory of devices: `device(broker.port, "bed-8", "cbor")`."""
    with ExitStack() as stack:

        def make(*words) -> Device:
            made = Device(*words)
            stack.callback(made.close)
            return made

        yield make
