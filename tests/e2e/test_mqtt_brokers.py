"""Sink mqtt against real brokers: what is promised of delivery, and how each failure is told."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import time
from collections import Counter

import jsonschema
import pytest

from edge_runtime.errors import MissingExtraError, SinkError
from edge_runtime.mqtt.broker import Broker
from edge_runtime.outbox.options import Limits
from edge_runtime.sinks.mqtt import Mqtt
from tests.brokers import free_port, wait_until
from tests.messages import IDENTITY, INFO, result
from tests.needs import ROOT, program

ROOT_TOPIC = "edge/bed-7/ward"
PUBLISH_FOR_EVER = """\
import sys, threading
from edge_runtime.sinks.mqtt import Mqtt
from tests.messages import IDENTITY, INFO, result
sink = Mqtt(identity=IDENTITY, url=sys.argv[1])
sink.open()
sink.announce(INFO)
sink.publish(result())
threading.Event().wait()
"""


def mqtt(url: str, **options) -> Mqtt:
    sink = Mqtt(identity=IDENTITY, url=url, **options)
    sink.open()
    return sink


def publish(sink: Mqtt, start: int, count: int, pause_s: float = 0.0) -> None:
    for seq in range(start, start + count):
        sink.publish(result(seq))
        if pause_s:
            time.sleep(pause_s)


def seqs(listener) -> list[int]:
    return [json.loads(payload)["seq"] for payload in listener.on("/result")]


def told(caplog, level: int = logging.WARNING) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= level]


def connected(sink: Mqtt) -> bool:
    return sink._publisher._sender.connected


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_every_result_arrives_once_in_order_and_as_encoded(mosquitto, listen, protocol, qos):
    broker = mosquitto()
    listener = listen(broker.url)
    sink = mqtt(broker.url, protocol=protocol, qos=qos)
    sink.announce(INFO)

    publish(sink, 0, 300)
    sink.close()
    wait_until(lambda: listener.on("/status")[-1:] == [b"stopped"])
    wait_until(lambda: len(seqs(listener)) >= 300)

    assert seqs(listener) == list(range(300))
    assert {item.topic for item in listener.messages} == {
        f"{ROOT_TOPIC}/{end}" for end in ("port/result", "status", "info")
    }
    schema = json.loads((ROOT / "edge_runtime" / "result.schema.json").read_text())
    jsonschema.validate(json.loads(listener.on("/result")[0]), schema)
    assert {item.qos for item in listener.messages if "result" in item.topic} == {qos}
    assert sink.protocol_in_use == protocol
    assert (sink.delivery.acknowledged, sink.delivery.waiting) == (300, 0)


def test_auto_takes_the_newest_version_and_says_nothing_of_it(mosquitto, caplog):
    sink = mqtt(mosquitto().url)
    wait_until(lambda: connected(sink))
    sink.close()

    assert sink.protocol_in_use == "5"
    assert told(caplog) == []


def test_status_and_info_wait_for_whoever_comes_later(mosquitto, listen):
    broker = mosquitto()
    sink = mqtt(broker.url)
    sink.announce(INFO)
    publish(sink, 0, 1)
    wait_until(lambda: sink.delivery.acknowledged == 1)

    late = listen(broker.url)
    wait_until(lambda: late.on("/info"))
    sink.close()
    wait_until(lambda: late.on("/status")[-1:] == [b"stopped"])
    later = listen(broker.url)
    wait_until(lambda: later.on("/status"))

    assert late.on("/status") == [b"online", b"stopped"]
    assert later.on("/status") == [b"stopped"]
    info = json.loads(late.on("/info")[0])
    schema = json.loads((ROOT / "edge_runtime" / "info.schema.json").read_text())
    jsonschema.validate(info, schema)
    assert info["protocol"] == "5"
    assert [source["state"] for source in info["sources"]] == ["live", "lost"]
    assert late.on("/result") == []  # results are not retained


def test_mqtt_5_carries_type_life_and_model_version(mosquitto, listen):
    broker = mosquitto()
    listener = listen(broker.url)
    sink = mqtt(broker.url, expiry_s=3600)
    sink.announce(INFO)
    publish(sink, 0, 1)
    wait_until(lambda: listener.on("/result") and listener.on("/info"))
    sink.close()

    properties = {item.topic.rpartition("/")[2]: item.properties for item in listener.messages}
    assert properties["result"].ContentType == "application/json"
    assert properties["result"].PayloadFormatIndicator == 1
    assert 3590 <= properties["result"].MessageExpiryInterval <= 3600
    assert properties["result"].UserProperty == [
        ("schema", "1"),
        ("model-version", "1.2.0"),
        ("trace-id", "boot-port-0"),
    ]
    assert properties["info"].ContentType == "application/json"
    assert not hasattr(properties["info"], "MessageExpiryInterval")


def test_the_will_says_offline_when_the_process_is_killed(mosquitto, listen):
    broker = mosquitto()
    listener = listen(broker.url)
    child = subprocess.Popen([sys.executable, "-c", PUBLISH_FOR_EVER, broker.url], cwd=ROOT)
    wait_until(lambda: listener.on("/result"))
    child.send_signal(signal.SIGKILL)
    child.wait()

    wait_until(lambda: listener.on("/status")[-1:] == [b"offline"])
    later = listen(broker.url)
    wait_until(lambda: later.on("/status"))
    assert later.on("/status") == [b"offline"]


@pytest.mark.parametrize(("qos", "protocol"), [(1, "5"), (1, "3.1.1"), (2, "5")])
def test_nothing_is_lost_when_the_broker_is_killed_and_comes_back(
    mosquitto, listen, caplog, qos, protocol
):
    broker = mosquitto(durable=True)
    listener = listen(broker.url, durable=True)
    sink = mqtt(broker.url, qos=qos, protocol=protocol)
    sink.announce(INFO)
    wait_until(lambda: connected(sink))
    publish(sink, 0, 100, 0.002)
    wait_until(lambda: len(seqs(listener)) == 100)
    wait_until(lambda: sink.delivery.waiting == 0)  # acknowledged too, so none of them comes again

    publish(sink, 100, 50)
    broker.kill()
    publish(sink, 150, 150, 0.005)
    time.sleep(2.0)
    broker.start()
    wait_until(lambda: connected(sink) and sink.delivery.waiting == 0)
    publish(sink, 300, 100, 0.002)
    sink.close()
    wait_until(lambda: set(seqs(listener)) >= set(range(400)))

    repeats = sum(count - 1 for count in Counter(seqs(listener)).values())
    assert repeats <= 20  # the window
    documents = [json.loads(payload) for payload in listener.on("/result")]
    late = {item["seq"] for item in documents if item["historical"]}
    assert late >= set(range(150, 300))
    assert not late & {*range(100), *range(300, 400)}
    assert sink.delivery.reconnects == 1
    assert len(listener.on("/info")) >= 2
    assert len(told(caplog)) <= 2  # lost, then refused: once each, however often it was tried


def test_a_broker_that_comes_later_gets_everything(mosquitto, listen):
    broker = mosquitto(durable=True)
    listener = listen(broker.url, durable=True)
    broker.kill()
    sink = mqtt(broker.url)
    publish(sink, 0, 50)
    wait_until(lambda: sink._publisher._sender.cause)

    broker.start()
    publish(sink, 50, 50)
    wait_until(lambda: len(seqs(listener)) >= 100)
    sink.close()

    assert seqs(listener) == list(range(100))
    assert (sink.delivery.published, sink.delivery.dropped) == (100, 0)


def test_what_did_not_fit_is_counted_and_the_newest_arrive(mosquitto, listen):
    broker = mosquitto(durable=True)
    listener = listen(broker.url, durable=True)
    broker.kill()
    sink = mqtt(broker.url, outbox=Limits(durability="memory", rows=40))
    publish(sink, 0, 100)

    broker.start()
    wait_until(lambda: len(seqs(listener)) == 40)
    with pytest.raises(SinkError, match="60 results not delivered: 0 still waited, 60 dropped"):
        sink.close()

    assert seqs(listener) == list(range(60, 100))


def test_a_wrong_password_is_told_once_and_tried_again(mosquitto, tmp_path, caplog):
    passwords = tmp_path / "passwords"
    tool = program("mosquitto_passwd", "mosquitto")
    subprocess.run([tool, "-b", "-c", str(passwords), "ward", "right"], check=True)
    broker = mosquitto(f"password_file {passwords}", anonymous=False)
    sink = mqtt(broker.url, username="ward", password="wr0ng-s3cret", drain_s=5.0)
    publish(sink, 0, 3)
    wait_until(lambda: sink._publisher._sender.cause)

    began = time.monotonic()
    with pytest.raises(SinkError, match=r"3 results not delivered .*refused: .*kept in"):
        sink.close()
    assert time.monotonic() - began < 4  # a person must act: draining is pointless
    assert len(told(caplog)) == 1
    assert "bad user name or password" in told(caplog)[0] or "not authorized" in told(caplog)[0]
    assert "wr0ng-s3cret" not in caplog.text

    right = mqtt(broker.url, username="ward", password="right")
    publish(right, 0, 3)
    right.close()
    assert right.delivery.acknowledged == 7  # the first three, which had waited, and the alert


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_tls_with_an_authority_of_ones_own(mosquitto, certificates, protocol):
    broker = mosquitto(*certificates.listener(), tls=True)
    sink = mqtt(broker.url, ca_file=str(certificates.ca), protocol=protocol)

    publish(sink, 0, 500)
    sink.close()

    assert sink.delivery.acknowledged == 500


def test_tls_with_a_client_certificate(mosquitto, certificates):
    broker = mosquitto(
        *certificates.listener(),
        "require_certificate true",
        "use_identity_as_username true",
        anonymous=False,
        tls=True,
    )
    sink = mqtt(
        broker.url,
        ca_file=str(certificates.ca),
        cert_file=str(certificates.client),
        key_file=str(certificates.client_key),
    )

    publish(sink, 0, 5)
    sink.close()

    assert sink.delivery.acknowledged == 5


@pytest.mark.parametrize("what", ["stranger", "wrong host", "no authority"])
def test_a_broker_that_cannot_prove_itself_gets_nothing(mosquitto, certificates, caplog, what):
    lines = list(certificates.listener())
    if what == "wrong host":
        lines[1:] = [
            f"certfile {certificates.other_host}",
            f"keyfile {certificates.other_host_key}",
        ]
    broker = mosquitto(*lines, tls=True)
    trusted = {"stranger": certificates.other_ca, "wrong host": certificates.ca}.get(what, "")
    sink = mqtt(broker.url, ca_file=str(trusted), drain_s=5.0)
    publish(sink, 0, 1)
    wait_until(lambda: sink._publisher._sender.cause)

    with pytest.raises(SinkError, match=r"1 results not delivered .TLS failed: "):
        sink.close()

    assert sink.delivery.published == 0
    assert len(told(caplog)) == 1
    assert ("mismatch" if what == "wrong host" else "certificate") in told(caplog)[0]


def test_a_plain_connection_to_a_tls_broker_is_told(mosquitto, certificates, caplog):
    broker = mosquitto(*certificates.listener(), tls=True)
    sink = mqtt(f"mqtt://localhost:{broker.port}", drain_s=0.2)
    publish(sink, 0, 1)
    wait_until(lambda: sink._publisher._sender.cause)

    with pytest.raises(SinkError):
        sink.close()
    assert len(told(caplog)) == 1


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_websockets(mosquitto, listen, protocol):
    port = free_port()
    broker = mosquitto(f"listener {port} 127.0.0.1", "protocol websockets")
    listener = listen(broker.url)
    sink = mqtt(f"ws://localhost:{port}", protocol=protocol)

    publish(sink, 0, 200)
    sink.close()

    wait_until(lambda: len(seqs(listener)) == 200)
    assert seqs(listener) == list(range(200))


def test_the_embedded_broker_is_spoken_to_in_3_1_1_aloud(listen, caplog):
    with Broker() as broker:
        listener = listen(broker.url, version=4)
        sink = mqtt(broker.url)
        sink.announce(INFO)
        publish(sink, 0, 100, 0.001)
        sink.close()
        wait_until(lambda: len(seqs(listener)) == 100)

        assert seqs(listener) == list(range(100))
        assert sink.protocol_in_use == Broker.protocol
        assert json.loads(listener.on("/info")[0])["protocol"] == "3.1.1"
        assert len(told(caplog)) == 1
        assert "does not speak MQTT 5" in told(caplog)[0]
        wait_until(lambda: listener.on("/status")[-1:] == [b"stopped"])


def test_the_embedded_broker_refuses_a_port_in_use_and_ends_when_told():
    with Broker() as broker:
        with pytest.raises(SinkError, match=f"port {broker.port} is in use"):
            Broker(port=broker.port).open()
        child = broker._child
    assert child.returncode == 0
    broker.close()


def test_the_embedded_broker_ends_with_its_parent():
    code = (
        "import os, signal\nfrom edge_runtime.mqtt.broker import Broker\n"
        "broker = Broker()\nbroker.open()\nprint(broker.port, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    port = int(done.stdout)

    from tests.brokers import is_open

    wait_until(lambda: not is_open(port))


def test_without_its_package_the_embedded_broker_names_the_extra(monkeypatch):
    monkeypatch.setattr("edge_runtime.mqtt.broker.importlib.util.find_spec", lambda name: None)

    with pytest.raises(MissingExtraError, match=r"edge-runtime\[broker\]"):
        Broker().open()


@pytest.mark.parametrize("manner", ["close", "silence"])
def test_a_broker_that_meets_mqtt_5_with_less_than_a_refusal(mosquitto, gate, caplog, manner):
    broker = mosquitto()

    def admit(first: bytes) -> str:
        version = first[first.index(b"MQTT") + 4]
        return manner if version == 5 else "pass"

    relay = gate(broker.port, admit)
    sink = mqtt(relay.url)
    publish(sink, 0, 10)
    wait_until(lambda: sink.delivery.acknowledged == 10)
    sink.close()

    assert sink.protocol_in_use == "3.1.1"
    assert len(told(caplog)) == 1
    assert "using 3.1.1" in told(caplog)[0]


def test_a_link_where_nothing_gets_through_is_noticed_and_left(mosquitto, gate, listen):
    broker = mosquitto()
    listener = listen(broker.url)
    relay = gate(broker.port)
    sink = mqtt(relay.url, keepalive_s=2)
    publish(sink, 0, 10)
    wait_until(lambda: sink.delivery.acknowledged == 10)

    relay.frozen = True
    publish(sink, 10, 10)
    frozen_at = time.monotonic()
    wait_until(lambda: not connected(sink), 10)
    noticed_s = time.monotonic() - frozen_at
    relay.frozen = False
    wait_until(lambda: sink.delivery.acknowledged >= 20)
    sink.close()

    assert noticed_s <= 1.5 * 2 + 1.2  # one and a half keepalives, looked after once a second
    assert set(seqs(listener)) == set(range(20))


def test_a_link_that_breaks_again_and_again_loses_nothing(mosquitto, gate, listen, caplog):
    broker = mosquitto()
    listener = listen(broker.url)
    relay = gate(broker.port)
    sink = mqtt(relay.url, keepalive_s=5)
    for burst in range(5):
        publish(sink, burst * 40, 40, 0.005)
        relay.cut()
    sink.close()
    wait_until(lambda: set(seqs(listener)) == set(range(200)))

    assert sink.delivery.reconnects >= 2
    assert len(told(caplog)) <= 3


def test_a_broker_that_takes_one_message_at_a_time_gets_one_at_a_time(mosquitto, listen):
    broker = mosquitto("max_inflight_messages 1")
    listener = listen(broker.url)
    sink = mqtt(broker.url)

    publish(sink, 0, 200)
    sink.close()

    wait_until(lambda: len(seqs(listener)) == 200)
    assert seqs(listener) == list(range(200))


def test_a_result_too_large_for_the_broker_is_given_up_and_the_rest_goes_on(
    mosquitto, listen, caplog
):
    import numpy as np

    from edge_runtime.outcome import Tensor, Tensors

    broker = mosquitto("max_packet_size 4000")
    listener = listen(broker.url)
    sink = mqtt(broker.url)
    wait_until(lambda: connected(sink))
    large = Tensors((Tensor("y", np.ones(4000, np.float32)),))

    sink.publish(result(0))
    sink.publish(result(1, large))
    sink.publish(result(2))
    with pytest.raises(SinkError, match=r"1 results not delivered.*1 refused"):
        sink.close()

    wait_until(lambda: len(seqs(listener)) == 2)
    assert seqs(listener) == [0, 2]
    assert len(told(caplog)) == 1


def test_a_topic_that_we_may_not_publish_to_does_not_block_the_others(mosquitto, tmp_path, listen):
    rules = tmp_path / "acl"
    rules.write_text("topic readwrite edge/+/+/port/result\ntopic readwrite edge/+/+/status\n")
    broker = mosquitto(f"acl_file {rules}")
    listener = listen(broker.url)
    sink = mqtt(broker.url)
    for seq in range(10):
        sink.publish(result(seq, source="port" if seq % 2 else "forbidden"))

    with pytest.raises(SinkError, match=r"5 results not delivered.*5 refused"):
        sink.close()

    wait_until(lambda: len(seqs(listener)) == 5)
    assert seqs(listener) == [1, 3, 5, 7, 9]


def test_a_message_that_makes_the_broker_hang_up_is_given_up_and_the_rest_goes_on(
    mosquitto, gate, listen
):
    broker = mosquitto()
    listener = listen(broker.url)
    relay = gate(broker.port, poison=b'"seq":7,')
    sink = mqtt(relay.url, protocol="3.1.1", drain_s=20.0)
    publish(sink, 0, 20)

    with pytest.raises(SinkError, match=r"1 results not delivered: 0 still waited, .*1 refused"):
        sink.close()

    wait_until(lambda: set(seqs(listener)) == set(range(20)) - {7})


def test_two_clients_of_one_name_are_told_and_do_not_fight(mosquitto, caplog, tmp_path):
    broker = mosquitto()
    first, second = (mqtt(broker.url, state=str(tmp_path / name)) for name in "ab")
    wait_until(lambda: "another client" in caplog.text)
    time.sleep(2)

    assert first.delivery.reconnects + second.delivery.reconnects <= 10  # ever less often
    assert "does another client connect as 'edge-run-bed-7-ward'?" in caplog.text
    assert len(told(caplog)) <= 4
    first.close()
    second.close()


def test_a_recorded_stream_waits_for_room_and_loses_nothing(mosquitto, listen):
    broker = mosquitto()
    listener = listen(broker.url)
    sink = mqtt(broker.url, outbox=Limits(rows=25))
    for seq in range(1000):
        wait_until(sink.ready)
        sink.publish(result(seq))
    sink.close()

    wait_until(lambda: len(seqs(listener)) == 1000)
    assert seqs(listener) == list(range(1000))
    assert sink.delivery.dropped == 0
