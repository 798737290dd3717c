"""Home Assistant's side of a real broker: what it finds there when it starts, and after."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.publish as paho_publish

from edge_runtime.frame import Info
from edge_runtime.mqtt.homeassistant import HomeAssistant, HomeAssistantOptions
from edge_runtime.mqtt.link import Link
from edge_runtime.mqtt.login import Login, parse_url
from edge_runtime.mqtt.message import Message, Post
from edge_runtime.mqtt.terms import Terms
from edge_runtime.sinks.mqtt import Mqtt
from edge_runtime.wire import Topics

from ..brokers import HOST, Listener, Mosquitto, wait_until
from ..messages import IDENTITY, INFO, result

CONFIG = "homeassistant/device/bed-7/ward/config"


class Speaker:
    """The least that gives a companion a connection: one link, one thread."""

    def __init__(self, link: Link, companion: HomeAssistant, heard: list[Message]) -> None:
        self._link, self._companion, self._heard = link, companion, heard

    def greet(self, info: Info) -> None:
        self._publish(self._companion.greet(info))

    def work(self) -> None:
        """Read what has come and answer it."""
        self._link.wait(0.02)
        while self._heard:
            self._publish(self._companion.hear(self._heard.pop(0)))

    def _publish(self, posts: tuple[Post, ...]) -> None:
        for post in posts:
            self._link.session.publish(post.topic, post.payload, 1, retain=post.retain)


@contextmanager
def speaking(broker: Mosquitto, **options: Any) -> Iterator[Speaker]:
    companion = HomeAssistant(HomeAssistantOptions(**options), IDENTITY, Topics(IDENTITY))
    heard: list[Message] = []
    link = Link(Login(parse_url(broker.url)), Terms("ours", on_message=heard.append))
    try:
        session = link.connect()
        if companion.filters:
            session.subscribe(list(companion.filters))
        yield Speaker(link, companion, heard)
    finally:
        link.hang_up()
        link.close()


def meet(speaker: Speaker, condition: Callable[[], bool]) -> None:
    """Work until it holds."""

    def reached() -> bool:
        speaker.work()
        return condition()

    wait_until(reached)


def say_online(broker: Mosquitto) -> None:
    paho_publish.single("homeassistant/status", "online", 1, hostname=HOST, port=broker.port)


def test_home_assistant_finds_the_device_whenever_it_starts(mosquitto, listen):
    broker = mosquitto()
    with speaking(broker) as speaker:
        speaker.greet(INFO._replace(task="beats", labels=("N", "V")))
        early: Listener = listen(broker.url)
        meet(speaker, lambda: early.on(CONFIG) != [])

    late: Listener = listen(broker.url)
    wait_until(lambda: late.on(CONFIG))
    assert late.messages[0].retained
    found = json.loads(late.on(CONFIG)[0])
    assert found["dev"]["name"] == "bed-7 ward"
    assert {"port/rate", "port/beat", "file/source", "model"} <= set(found["cmps"])
    assert found["cmps"]["port/rate"]["stat_t"] == "edge/bed-7/ward/port/result"


def test_the_device_is_announced_again_when_home_assistant_says_that_it_is_online(
    mosquitto, listen
):
    broker = mosquitto()
    listener: Listener = listen(broker.url)
    with speaking(broker) as speaker:
        speaker.greet(INFO)
        meet(speaker, lambda: len(listener.on(CONFIG)) == 1)

        say_online(broker)

        meet(speaker, lambda: len(listener.on(CONFIG)) == 2)
        first, second = listener.on(CONFIG)
        assert first == second


def test_a_device_that_is_switched_off_leaves_nothing_behind(mosquitto, listen):
    broker = mosquitto()
    listener: Listener = listen(broker.url)
    with speaking(broker) as speaker:
        speaker.greet(INFO)
        meet(speaker, lambda: len(listener.on(CONFIG)) == 1)

    with speaking(broker, enabled=False) as speaker:
        speaker.greet(INFO)
        meet(speaker, lambda: listener.on(CONFIG)[-1] == b"")

    paho_publish.single("mark", "x", 1, retain=True, hostname=HOST, port=broker.port)
    late: Listener = listen(broker.url)
    wait_until(lambda: late.on("mark"))
    assert not late.on(CONFIG)


def test_sink_mqtt_announces_its_pipeline(mosquitto, listen, tmp_path):
    broker = mosquitto()
    listener: Listener = listen(broker.url)
    options = HomeAssistantOptions(name="Bed seven")
    sink = Mqtt(identity=IDENTITY, url=broker.url, state=str(tmp_path), home_assistant=options)
    sink.open()
    sink.announce(INFO._replace(task="classification", labels=("person",)))
    sink.publish(result())
    wait_until(lambda: listener.on(CONFIG) and listener.on("/result"))
    say_online(broker)
    wait_until(lambda: len(listener.on(CONFIG)) == 2)
    sink.close()

    found = json.loads(listener.on(CONFIG)[-1])
    topics = {item.topic for item in listener.messages}
    assert found["dev"]["name"] == "Bed seven"
    for component in found["cmps"].values():  # what is pointed at is what is published
        assert component["stat_t"] in topics or component["stat_t"].endswith("/file/result")
        assert {entry["t"] for entry in component.get("avty", found["avty"])} <= topics
