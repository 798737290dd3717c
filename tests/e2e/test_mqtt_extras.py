"""What the sink does beside delivering: commands, Home Assistant, encodings, a second broker."""

from __future__ import annotations

import json
import threading
import time

import jsonschema
import pytest

from edge_runtime import encoding
from edge_runtime.commands.options import CommandOptions
from edge_runtime.mqtt.homeassistant import HomeAssistantOptions
from edge_runtime.outbox.options import Limits
from edge_runtime.sinks.mqtt import Mqtt
from tests.brokers import free_port, wait_until
from tests.e2e.commands import edge_run
from tests.messages import IDENTITY, INFO, result
from tests.needs import ROOT
from tests.unit.commands_kit import KEY


def mqtt(url: str, **options) -> Mqtt:
    sink = Mqtt(identity=IDENTITY, url=url, **options)
    sink.open()
    sink.announce(INFO)
    return sink


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "key"
    path.write_text(KEY.hex())
    path.chmod(0o600)
    return str(path)


def send(broker, verb: str, key_file: str):
    return edge_run(
        *("command", verb, "--device", "bed-7", "--pipeline", "ward", "--url", broker.url),
        *("--signing-key", key_file, "--json", "--timeout", "10"),
    )


def test_a_running_pipeline_obeys_the_commands_of_its_run_file_only(mosquitto, listen, key_file):
    broker = mosquitto()
    listener = listen(broker.url)
    commands = CommandOptions(("announce", "counters"), key_file=key_file)
    sink = mqtt(broker.url, commands=commands)
    sink.publish(result())
    wait_until(lambda: sink.delivery.acknowledged == 1)

    counters = json.loads(send(broker, "counters", key_file).out)
    announced = len(listener.on("/info"))
    assert send(broker, "announce", key_file).code == 0
    wait_until(lambda: len(listener.on("/info")) > announced)
    refused = send(broker, "stop", key_file)
    sink.close()

    assert counters["answer"]["acknowledged"] == 1
    assert refused.code == 1
    assert "verb-not-allowed" in refused.err


def test_home_assistant_is_told_of_the_device_again_after_its_restart(mosquitto, listen):
    from paho.mqtt import publish

    broker = mosquitto()
    listener = listen(broker.url)
    sink = mqtt(broker.url, home_assistant=HomeAssistantOptions())
    wait_until(lambda: listener.on("/config"))
    publish.single("homeassistant/status", "online", qos=1, hostname="localhost", port=broker.port)
    wait_until(lambda: len(listener.on("/config")) == 2)
    sink.close()

    device = json.loads(listener.on("/config")[0])
    assert device["cmps"]
    later = listen(broker.url)
    wait_until(lambda: later.on("/config"))
    assert later.on("/config")[0] == listener.on("/config")[1]


@pytest.mark.parametrize("name", ["cbor", "msgpack"])
def test_other_encodings_say_the_same(mosquitto, listen, name):
    broker = mosquitto()
    listener = listen(broker.url)
    sink = mqtt(broker.url, encoding=name)
    sink.publish(result(3))
    wait_until(lambda: listener.on("/result") and listener.on("/info"))
    sink.close()

    message = next(item for item in listener.messages if item.topic.endswith("/result"))
    document = encoding.decode(message.payload)
    assert message.properties.ContentType == encoding.CONTENT_TYPES[name]
    schema = json.loads((ROOT / "edge_runtime" / "result.schema.json").read_text())
    jsonschema.validate(document, schema)
    assert document["seq"] == 3
    assert encoding.decode(listener.on("/info")[0])["model"]["name"] == "beats"


def test_a_second_broker_takes_over_and_nothing_is_lost(mosquitto, listen):
    first, second = mosquitto(), mosquitto()
    one, two = listen(first.url), listen(second.url)
    sink = mqtt(first.url, fallback_urls=(second.url,))
    for seq in range(50):
        sink.publish(result(seq))
    wait_until(lambda: sink.delivery.waiting == 0)
    first.kill()
    for seq in range(50, 100):
        sink.publish(result(seq))
    wait_until(lambda: sink.delivery.waiting == 0)
    sink.close()

    heard = [json.loads(item)["seq"] for item in (*one.on("/result"), *two.on("/result"))]
    assert sorted(set(heard)) == list(range(100))
    assert two.on("/status") == [b"online", b"stopped"]
    assert two.on("/info")


def test_a_result_leaves_the_outbox_when_a_subscriber_has_confirmed_it(mosquitto, listen):
    from paho.mqtt import publish

    broker = mosquitto()
    listener = listen(broker.url)
    sink = mqtt(broker.url, outbox=Limits(confirm=True, confirm_s=1.0), drain_s=0.1)
    sink.publish(result(0))
    sink.publish(result(1))
    wait_until(lambda: len(listener.on("/result")) == 2)
    ids = [json.loads(item)["id"] for item in listener.on("/result")]
    assert sink.delivery.waiting == 2

    publish.single(
        "edge/bed-7/ward/ack",
        json.dumps({"ids": ids[:1]}),
        1,
        hostname="localhost",
        port=broker.port,
    )
    wait_until(lambda: sink.delivery.waiting == 1)
    wait_until(lambda: len(listener.on("/result")) >= 4)  # the other one, again and again

    assert {json.loads(item)["id"] for item in listener.on("/result")[2:]} == {ids[1]}
    with pytest.raises(Exception, match="1 results not delivered"):
        sink.close()


def test_publishing_never_waits_for_a_disk_that_hangs(monkeypatch):
    from edge_runtime.outbox.store import Store

    gate, real = threading.Event(), Store.commit

    def slow(store, batch) -> None:
        gate.wait(10)
        real(store, batch)

    monkeypatch.setattr(Store, "commit", slow)
    sink = mqtt(f"mqtt://localhost:{free_port()}", drain_s=0.0)
    began = time.perf_counter()
    for seq in range(500):
        sink.publish(result(seq))
    took_s = time.perf_counter() - began
    gate.set()
    with pytest.raises(Exception, match="500 results not delivered"):
        sink.close()

    assert took_s < 1.0
