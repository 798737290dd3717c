"""What MQTT 5 says beside a payload: our bytes are the protocol's, and cost next to nothing."""

from __future__ import annotations

import time

import pytest

from edge_runtime.mqtt.link import Link
from edge_runtime.mqtt.login import Login, parse_url
from edge_runtime.mqtt.properties import NONE, Properties, describe
from edge_runtime.mqtt.terms import Terms
from tests.brokers import wait_until

TRACE = "0af7651916cd43dd8448eb211c80319c"


def read_back(properties: Properties):
    """As another implementation reads the bytes."""
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties as Other

    other = Other(PacketTypes.PUBLISH)
    _, size = other.unpack(properties.pack())
    assert size == len(properties.pack())
    return other


def test_all_that_is_described_is_read_back_by_another_implementation():
    other = read_back(
        describe(
            "application/json",
            expiry_s=604800,
            user=(("model-version", "1.2.0"), ("ward", "Süd")),
            correlation=b"\x00\xff7",
            response_topic="edge/bed-7/ward/answers",
        ).traced(TRACE)
    )

    assert other.PayloadFormatIndicator == 1
    assert other.ContentType == "application/json"
    assert other.MessageExpiryInterval == 604800
    assert other.UserProperty == [("model-version", "1.2.0"), ("ward", "Süd"), ("trace-id", TRACE)]
    assert other.CorrelationData == b"\x00\xff7"
    assert other.ResponseTopic == "edge/bed-7/ward/answers"


@pytest.mark.parametrize(
    ("content_type", "text"),
    [("application/json", True), ("text/plain", True), ("application/cbor", False), ("", False)],
)
def test_only_text_is_marked_as_text(content_type, text):
    assert hasattr(read_back(describe(content_type)), "PayloadFormatIndicator") is text


@pytest.mark.parametrize("size", [0, 121, 122, 123, 124, 16377, 16378, 16379, 65535])
def test_the_length_is_right_where_it_grows_by_a_byte(size):
    value = "x" * size

    assert read_back(describe("", user=(("n", value),))).UserProperty == [("n", value)]


def test_nothing_is_one_byte():
    assert NONE.pack() == describe("").pack() == b"\0"


def test_a_text_too_long_for_mqtt_is_refused():
    with pytest.raises(ValueError, match="65535"):
        describe("", user=(("n", "x" * 65536),))


def test_a_trace_id_costs_a_small_part_of_packing_anew():
    kept = describe("application/json", expiry_s=604800, user=(("model-version", "1.2.0"),))
    other = read_back(kept.traced(TRACE))

    assert 5 * cost_s(lambda: kept.traced(TRACE).pack()) < cost_s(other.pack)


def cost_s(act, times: int = 200) -> float:
    def once() -> float:
        began = time.perf_counter()
        for _ in range(times):
            act()
        return time.perf_counter() - began

    return min(once() for _ in range(10))


@pytest.fixture
def connect():
    links = []

    def make(url: str, version: str):
        links.append(Link(Login(parse_url(url)), Terms(client_id="properties"), version))
        return links[-1].connect()

    yield make
    for link in links:
        link.hang_up()
        link.close()


def test_a_real_broker_hands_them_on(mosquitto, listen, connect):
    broker = mosquitto()
    listener = listen(broker.url)
    session = connect(broker.url, "5")
    kept = session.properties(
        "application/cbor", expiry_s=100, user=(("model-version", "2"),), correlation=b"7"
    )

    session.publish("a", b"\x01", 1, extra=kept, trace=TRACE)
    session.publish("b", b"\x02", 1, extra=kept)
    session.publish("c", b"\x03", 1, trace=TRACE)
    session.publish("d", b"\x04", 1)
    wait_until(lambda: len(listener.messages) == 4)

    first, second, third, fourth = (item.properties for item in listener.messages)
    assert [item.payload for item in listener.messages] == [b"\x01", b"\x02", b"\x03", b"\x04"]
    assert first.UserProperty == [("model-version", "2"), ("trace-id", TRACE)]
    assert second.UserProperty == [("model-version", "2")]
    assert third.UserProperty == [("trace-id", TRACE)]
    assert not hasattr(fourth, "UserProperty")
    for properties in (first, second):
        assert properties.ContentType == "application/cbor"
        assert properties.CorrelationData == b"7"
        assert 90 <= properties.MessageExpiryInterval <= 100
        assert not hasattr(properties, "PayloadFormatIndicator")


def test_mqtt_3_1_1_carries_the_payload_alone(mosquitto, listen, connect):
    broker = mosquitto()
    listener = listen(broker.url)
    session = connect(broker.url, "3.1.1")

    assert session.properties("application/json", expiry_s=100) is None
    session.publish("a", b"{}", 1, extra=None, trace=TRACE)
    wait_until(lambda: listener.messages)

    assert listener.messages[0].payload == b"{}"
    assert not hasattr(listener.messages[0].properties, "UserProperty")
