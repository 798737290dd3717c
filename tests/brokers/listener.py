"""A subscriber that keeps what it gets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from .ports import free_port


class Listener:
    """Subscribes to everything, or to `topic`, and keeps it: topic, payload, retained, properties.

    A `durable` one asks for a session that outlives it; its `name` takes the session up again.
    """

    def __init__(
        self,
        url: str,
        *,
        version: int = 5,
        durable: bool = False,
        topic: str = "#",
        name: str = "",
        **login: str,
    ) -> None:
        import paho.mqtt.client as paho
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        self.messages: list[SimpleNamespace] = []
        self._subscribed = threading.Event()
        host, _, port = url.partition("://")[2].partition(":")
        self.name = name or f"listener-{free_port()}"
        clean = {} if version == 5 else {"clean_session": not durable}
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=self.name,
            protocol=paho.MQTTv5 if version == 5 else paho.MQTTv311,
            **clean,
        )
        if login:
            self._client.username_pw_set(login["username"], login["password"])
        self._client.reconnect_delay_set(0.1, 0.3)
        self._client.on_connect = lambda client, *_: client.subscribe(topic, qos=2)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_disconnect = lambda *_: self._subscribed.clear()
        self._client.on_message = self._keep
        if version == 5:
            session = Properties(PacketTypes.CONNECT)
            session.SessionExpiryInterval = 3600 if durable else 0
            self._client.connect(host, int(port), clean_start=not durable, properties=session)
        else:
            self._client.connect(host, int(port))
        self._client.loop_start()
        assert self._subscribed.wait(10)

    def _keep(self, client, userdata, message) -> None:
        self.messages.append(
            SimpleNamespace(
                topic=message.topic,
                payload=message.payload,
                retained=message.retain,
                properties=message.properties,
                qos=message.qos,
            )
        )

    @property
    def subscribed(self) -> bool:
        """Whether it is connected and the broker took its subscription."""
        return self._subscribed.is_set()

    def on(self, ending: str) -> list[bytes]:
        """Payloads of topics that end so, in order of arrival."""
        return [item.payload for item in list(self.messages) if item.topic.endswith(ending)]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    """A factory of subscribers: `listen(broker.url)`."""
    with ExitStack() as stack:

        def make(url: str, **options) -> Listener:
            listener = Listener(url, **options)
            stack.callback(listener.close)
            return listener

        yield make
