"""Sink mqtt without a broker: options, the outbox, and what is told of a broker out of reach."""

from __future__ import annotations

import logging
import socket
import sys
import time

import pytest

from edge_runtime.errors import BadOptionError, ConfigError, MissingExtraError, SinkError
from edge_runtime.frame import Identity
from edge_runtime.mqtt.homeassistant import HomeAssistantOptions
from edge_runtime.outbox.options import Limits
from edge_runtime.sinks.mqtt import Mqtt
from tests.brokers import free_port, wait_until
from tests.messages import IDENTITY, INFO, OUTCOMES, result


def mqtt(**options) -> Mqtt:
    standard = {"identity": IDENTITY, "url": f"mqtt://localhost:{free_port()}"}
    return Mqtt(**{**standard, **options})


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"url": "broker"}, "url"),
        ({"url": "mqtt://10.0.0.1"}, "url"),
        ({"url": "mqtts://10.0.0.1"}, "username"),
        ({"password": "p"}, "username"),
        ({"qos": 3}, "qos"),
        ({"keepalive_s": 0}, "keepalive_s"),
        ({"window": 0}, "window"),
        ({"outbox": Limits(rows=10), "window": 20}, "outbox"),
        ({"home_assistant": HomeAssistantOptions(), "encoding": "cbor"}, "encoding"),
        ({"drain_s": -1.0}, "drain_s"),
        ({"expiry_s": -1}, "expiry_s"),
        ({"prefix": "a/#"}, "prefix"),
        ({"identity": Identity("a/b", "p")}, "device"),
    ],
)
def test_impossible_options_are_refused_by_their_key(options: dict, key: str):
    with pytest.raises(BadOptionError) as caught:
        mqtt(**options)
    assert caught.value.key == key


def test_a_missing_certificate_is_a_matter_of_configuration(tmp_path):
    sink = mqtt(url="mqtts://localhost:1", ca_file=str(tmp_path / "none.pem"))

    with pytest.raises(ConfigError, match="ca_file"):
        sink.open()
    sink.close()


def told(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("host", "cause"),
    [("localhost", "nothing listens there"), ("no-such-host.invalid", "no such host")],
)
def test_a_broker_out_of_reach_is_told_in_one_line_and_tried_again(caplog, host, cause):
    url = f"mqtt://{host}:{free_port()}"
    sink = mqtt(url=url, drain_s=0.3, allow_insecure=True)
    sink.open()
    sink.publish(result())
    wait_until(lambda: sink._publisher._sender._patience._failures >= 3)

    with pytest.raises(SinkError, match=f"1 results not delivered .*{cause}.*kept in"):
        sink.close()
    assert len(told(caplog)) == 1
    assert url in told(caplog)[0]
    assert cause in told(caplog)[0]


def test_publishing_without_a_broker_takes_no_time_and_fills_the_outbox():
    sink = mqtt(outbox=Limits(durability="memory", rows=50), drain_s=0.0)
    sink.open()

    began = time.perf_counter()
    for seq in range(49):
        sink.publish(result(seq))
    assert sink.ready()
    sink.publish(result(49))
    assert not sink.ready()
    for seq in range(50, 60):
        sink.publish(result(seq))
    assert time.perf_counter() - began < 1.0

    assert (sink.delivery.waiting, sink.delivery.dropped) == (50, 10)
    with pytest.raises(SinkError, match=r"60 results not delivered .*50 still waited, 10 dropped"):
        sink.close()


def test_a_bound_in_bytes_holds_for_large_results():
    sink = mqtt(outbox=Limits(durability="memory", memory_mb=0.01), drain_s=0.0)
    sink.open()
    for seq in range(40):
        sink.publish(result(seq, OUTCOMES["float tensors"]))

    assert sink.delivery.waiting < 20
    assert sink.delivery.waiting + sink.delivery.dropped == 40
    with pytest.raises(SinkError):
        sink.close()


def test_closing_with_nothing_to_deliver_does_not_wait_for_the_broker():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sink = mqtt(url=f"mqtt://127.0.0.1:{silent.getsockname()[1]}", drain_s=10.0)
        sink.open()
        sink.announce(INFO)

        began = time.monotonic()
        sink.close()

        assert time.monotonic() - began < 1.0


def test_a_broker_that_talks_nonsense_is_told_and_survived(caplog):
    import random
    import threading

    random.seed(5)
    server = socket.create_server(("127.0.0.1", 0))
    connections = []

    def talk() -> None:
        while True:
            try:
                peer, _ = server.accept()
            except OSError:
                return
            connections.append(peer)
            kind = len(connections) % 3
            greeting = {0: b"", 1: b"\x20\x03\x00\x00\x00", 2: b"\x20\x02\x00\x00"}[kind]
            try:
                peer.recv(4096)
                peer.sendall(greeting + random.randbytes(300))
            except OSError:
                pass
            peer.close()

    threading.Thread(target=talk, daemon=True).start()
    sink = mqtt(url=f"mqtt://127.0.0.1:{server.getsockname()[1]}", drain_s=0.0)
    sink.open()
    sink.publish(result())
    wait_until(lambda: len(connections) > 8, 30)

    assert not sink._publisher._sender.ended
    sink.publish(result(1))
    server.close()
    with pytest.raises(SinkError, match="2 results not delivered"):
        sink.close()
    assert told(caplog)


def test_publishing_before_open_or_after_close_is_an_error_not_a_loss():
    sink = mqtt()
    with pytest.raises(SinkError, match="not running"):
        sink.publish(result())
    sink.open()
    sink.close()
    wait_until(lambda: sink._publisher._sender.ended)
    with pytest.raises(SinkError, match="not running"):
        sink.publish(result())


def test_an_encoding_without_its_extra_is_told_at_the_start(monkeypatch):
    monkeypatch.setitem(sys.modules, "cbor2", None)
    sink = mqtt(encoding="cbor")

    with pytest.raises(MissingExtraError, match=r"edge-runtime\[cbor\]"):
        sink.open()
    sink.close()
