"""Sessions, limits, several brokers and two clients of one name, against real brokers."""

from __future__ import annotations

import logging
import socket
import threading
import time
from contextlib import ExitStack, suppress

import pytest

from edge_runtime.mqtt.client import LinkDownError
from edge_runtime.mqtt.link import Link
from edge_runtime.mqtt.login import Login, parse_url
from edge_runtime.mqtt.message import Message
from edge_runtime.mqtt.patience import Patience
from edge_runtime.mqtt.terms import Terms
from tests.brokers import HOST, wait_until

VERSIONS = ("5", "3.1.1")


class Device:
    """A link that keeps what it hears; closed at the end of the test."""

    def __init__(self, urls: list[str], protocol: str, **terms) -> None:
        self.heard: list[Message] = []
        self.acks: list[tuple[int, str]] = []
        first, *others = map(parse_url, urls)
        asked = Terms(
            **{"client_id": "bed-7", **terms},
            on_message=self.heard.append,
            on_ack=lambda number, refusal: self.acks.append((number, refusal)),
        )
        self.link = Link(Login(first, others=tuple(others)), asked, protocol)

    def connect(self):
        return self.link.connect()

    def until(self, condition) -> None:
        wait_until(lambda: self.link.wait(0.02) or condition())

    def failure(self) -> LinkDownError:
        with pytest.raises(LinkDownError) as caught:
            self.link.connect()
        return caught.value

    def loss(self) -> LinkDownError:
        with pytest.raises(LinkDownError) as caught:
            self.until(lambda: False)
        return caught.value


@pytest.fixture
def device():
    devices = []

    def make(*urls: str, protocol: str = "5", **terms) -> Device:
        devices.append(Device(list(urls), protocol, **terms))
        return devices[-1]

    yield make
    for item in devices:
        item.link.close()


# What a session keeps -------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", VERSIONS)
def test_a_kept_session_gets_what_came_while_it_was_away(mosquitto, device, protocol):
    broker = mosquitto()
    ours = device(broker.url, protocol=protocol, session_expiry_s=60)
    other = device(broker.url, client_id="other").connect()
    first = ours.connect()
    first.subscribe(["command"])
    first.publish("command", b"granted", 1)
    ours.until(lambda: ours.heard)
    ours.link.hang_up()

    other.publish("command", b"while away", 1)
    again = ours.connect()
    ours.until(lambda: len(ours.heard) == 2)

    assert (first.resumed, again.resumed) == (False, True)
    assert ours.heard[1].payload == b"while away"


@pytest.mark.parametrize("protocol", VERSIONS)
def test_a_session_is_not_kept_unless_it_is_asked_for(mosquitto, device, protocol):
    broker = mosquitto()
    device(broker.url, protocol=protocol, session_expiry_s=60).connect()
    ours = device(broker.url, protocol=protocol)

    assert ours.connect().resumed is False
    assert ours.connect().resumed is False


def test_a_kept_session_refuses_to_publish_at_qos_2_because_ids_come_again(mosquitto, device):
    session = device(mosquitto().url, session_expiry_s=60).connect()

    session.publish("a", b"1", 1)
    with pytest.raises(ValueError, match="QoS 2"):
        session.publish("a", b"2", 2)


def test_the_id_that_a_broker_gives_is_kept(mosquitto, device):
    ours = device(mosquitto().url, client_id="")

    first = ours.connect().client_id

    assert first
    assert ours.connect().client_id == first


@pytest.mark.parametrize("protocol", VERSIONS)
def test_a_clean_stop_publishes_no_will_and_a_lost_connection_does(
    mosquitto, listen, device, protocol
):
    broker = mosquitto()
    listener = listen(broker.url)
    ours = device(broker.url, protocol=protocol, will=("edge/will", "offline"))

    ours.connect()
    ours.link.hang_up()
    ours.connect().publish("edge/after", b"", 1)
    wait_until(lambda: listener.messages)
    ours.link.drop()
    wait_until(lambda: len(listener.messages) == 2)

    assert [item.topic for item in listener.messages] == ["edge/after", "edge/will"]


def test_the_members_of_a_group_share_the_messages(mosquitto, device):
    broker = mosquitto()
    members = [device(broker.url, client_id=f"member-{number}") for number in (1, 2)]
    for member in members:
        member.connect().subscribe(["result", "result/+"], shared="archive")
        member.link.session.subscribe([f"own/{id(member)}"])
        member.link.session.publish(f"own/{id(member)}", b"granted", 1)
        member.until(lambda member=member: member.heard)
        member.heard.clear()
    source = device(broker.url, client_id="source").connect()

    for number in range(20):
        source.publish("result/a" if number % 2 else "result", str(number).encode(), 1)
    wait_until(
        lambda: (
            [member.link.wait(0.02) for member in members]
            and sum(len(member.heard) for member in members) >= 20
        )
    )

    heard = [int(message.payload) for member in members for message in member.heard]
    assert sorted(heard) == list(range(20))
    assert all(member.heard for member in members)


def test_shared_subscriptions_need_mqtt_5(mosquitto, device):
    session = device(mosquitto().url, protocol="3.1.1").connect()

    with pytest.raises(LinkDownError, match="shared subscriptions") as caught:
        session.subscribe(["result"], shared="archive")
    assert caught.value.hopeless


# Limits of the broker -------------------------------------------------------------------------


def test_a_broker_without_qos_1_and_retained_messages_gets_what_it_takes(
    mosquitto, listen, device, caplog
):
    broker = mosquitto("max_qos 0", "retain_available false")
    listener = listen(broker.url)
    ours = device(broker.url, will=("edge/will", "offline"))

    for _ in range(2):
        session = ours.connect()
        numbers = [session.publish("edge/a", b"1", qos, retain=True) for qos in (1, 2)]
        ours.until(lambda: len(ours.acks) == 2)
        assert ours.acks == [(number, "") for number in numbers]
        ours.acks.clear()
    wait_until(lambda: len(listener.messages) >= 4)
    ours.link.drop()
    wait_until(lambda: listener.on("/will"))

    assert {(item.qos, item.retained) for item in listener.messages} == {(0, False)}
    warnings = [text for text in caplog.messages if "localhost" in text]
    assert len(warnings) == len(set(warnings)) == 5  # each limit once, however often it is met
    assert sum("last will" in text for text in warnings) == 2
    assert sum("is lowered" in text for text in warnings) == 2
    assert sum("no retained messages" in text for text in warnings) == 1


@pytest.mark.parametrize(("ours_s", "theirs_s"), [(600, 1), (1, 600), (1, 0)])
def test_of_our_keepalive_and_the_brokers_the_shorter_one_counts(
    scripted, device, ours_s, theirs_s
):
    broker = scripted({CONNECT: connack(0, b"\x13" + theirs_s.to_bytes(2, "big"))})
    ours = device(broker.url, keepalive_s=ours_s)

    ours.connect()
    exc = ours.loss()

    assert str(exc) == "the connection was lost"  # nothing answers our ping
    assert broker.received == [CONNECT, PINGREQ]


# What the broker says -------------------------------------------------------------------------

CONNECT, SUBSCRIBE, PINGREQ = 0x10, 0x80, 0xC0


def connack(code: int, properties: bytes = b"") -> bytes:
    body = bytes((0, code, len(properties))) + properties
    return bytes((0x20, len(body))) + body


class Scripted:
    """A broker that answers each kind of packet with the same bytes."""

    def __init__(self, answers: dict[int, bytes]) -> None:
        self.received: list[int] = []
        self._answers = answers
        self._server = socket.create_server((HOST, 0))
        self.url = f"mqtt://localhost:{self._server.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._server.accept()
                with sock, suppress(OSError):
                    while head := sock.recv(2):  # packets here are shorter than 128 bytes
                        sock.recv(head[1])
                        self.received.append(head[0] & 0xF0)
                        sock.sendall(self._answers.get(self.received[-1], b""))


@pytest.fixture
def scripted():
    brokers = []

    def make(answers: dict[int, bytes]) -> Scripted:
        brokers.append(Scripted(answers))
        return brokers[-1]

    yield make
    for broker in brokers:
        broker.close()


def text(identifier: int, value: str) -> bytes:
    return bytes((identifier,)) + len(value).to_bytes(2, "big") + value.encode()


def test_a_refusal_is_told_with_the_brokers_own_words_and_where_it_points_to(scripted, device):
    moved = text(0x1F, "moved\nfor good") + text(0x1C, "b.example:8883")
    ours = device(scripted({CONNECT: connack(0x9D, moved)}).url)

    exc = ours.failure()

    assert str(exc) == "it refused: server moved; movedfor good; use b.example:8883"
    assert (exc.code, exc.hopeless, exc.alarm) == (0x9D, False, "")


def test_a_hang_up_is_told_with_its_reason(mosquitto, device):
    ours = device(mosquitto("max_packet_size 2000").url)

    ours.connect().publish("a", bytes(4000), 1)

    assert str(ours.loss()) == "it hung up: packet too large"


@pytest.mark.parametrize("protocol", VERSIONS)
def test_a_login_that_is_refused_is_an_alarm(mosquitto, device, protocol):
    exc = device(mosquitto(anonymous=False).url, protocol=protocol).failure()

    assert "not authorized" in str(exc)
    assert (exc.alarm, exc.hopeless) == ("login", True)


def test_a_refused_subscription_ends_the_connection_only_where_it_is_needed(
    scripted, device, caplog
):
    suback = bytes((0x90, 4, 0, 1, 0, 135))
    ours = device(scripted({CONNECT: connack(0), SUBSCRIBE: suback}).url)

    ours.connect().subscribe(["extra"], needed=False)
    ours.until(lambda: "refused" in caplog.text)
    ours.connect().subscribe(["needed"])
    exc = ours.loss()

    assert "it refused to subscribe us to extra: not authorized" in caplog.text
    assert str(exc) == "it refused to subscribe us to needed: not authorized"
    assert (exc.alarm, exc.hopeless) == ("login", True)


# Several brokers ------------------------------------------------------------------------------


def test_the_next_broker_is_used_when_one_is_killed_and_the_one_that_works_is_kept(
    mosquitto, device
):
    first, second = mosquitto(), mosquitto()
    ours, patience = device(first.url, second.url), Patience("bed-7")
    ours.connect()
    assert str(ours.link.address) == first.url

    first.kill()
    waits = [patience.failed(ours.link.address, ours.loss())]
    waits.append(patience.failed(ours.link.address, ours.failure()))
    assert str(ours.link.address) == first.url  # the one that failed
    ours.connect()
    assert str(ours.link.address) == second.url
    patience.connected(ours.link.address, "5")

    first.start()
    ours.link.drop()
    ours.connect()
    assert str(ours.link.address) == second.url
    second.kill()
    ours.loss()
    ours.failure()
    ours.connect()
    assert str(ours.link.address) == first.url
    assert waits[0] > 0  # a lost connection: the same broker, after a moment
    assert waits[1] == 0  # then the next one, at once


def test_the_back_off_is_per_round_of_brokers_and_every_failure_is_told_once(
    mosquitto, device, caplog
):
    urls = [mosquitto(started=False).url for _ in range(3)]
    ours, patience = device(*urls), Patience("bed-7")

    waits, tried = [], []
    for _ in range(12):
        waits.append(patience.failed(ours.link.address, ours.failure()))
        tried.append(str(ours.link.address))

    assert tried == urls * 4
    assert [wait > 0 for wait in waits] == [False, False, True] * 4
    assert 0.125 <= waits[2] <= 0.25
    assert 1.0 <= waits[11] <= 2.0
    assert len(caplog.messages) == 3


def test_a_round_is_hopeless_only_when_every_broker_is(mosquitto, device):
    closed, refusing = mosquitto(started=False), mosquitto(anonymous=False)

    mixed = device(refusing.url, closed.url)
    hopeless = device(refusing.url, mosquitto(anonymous=False).url)

    assert [mixed.failure().hopeless for _ in range(4)] == [False] * 4
    assert [hopeless.failure().hopeless for _ in range(4)] == [False, True] * 2


# Two clients of one name ----------------------------------------------------------------------


class Rival(threading.Thread):
    """Connects again and again as the sender does: as soon as Patience lets it."""

    def __init__(self, url: str, protocol: str) -> None:
        super().__init__()
        self.patience = Patience("bed-7")
        self.alarms: set[str] = set()
        self._link = Link(Login(parse_url(url)), Terms(client_id="bed-7"), protocol)
        self._stop_now = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._stop_now.is_set():
            try:
                session = self._link.connect()
                self.patience.connected(self._link.address, session.version)
                while not self._stop_now.is_set():
                    self._link.wait(0.1)
            except LinkDownError as exc:
                wait_s = self.patience.failed(self._link.address, exc)
                self.alarms.add(self.patience.alarm)
                self._link.drop()
                self._stop_now.wait(wait_s)
        self._link.close()

    def stop(self) -> None:
        self._stop_now.set()
        self._link.wake()
        self.join()


def test_m09_a_broker_that_names_a_takeover_is_left_alone_for_long(scripted, device, caplog):
    taken_over = bytes((0xE0, 1, 142))
    ours = device(scripted({CONNECT: connack(0), SUBSCRIBE: taken_over}).url)
    patience = Patience("bed-7")

    ours.connect().subscribe(["a"])
    wait_s = patience.failed(ours.link.address, ours.loss())

    assert patience.alarm == "client-id-takeover"
    assert "another client connected as 'bed-7'" in caplog.messages[0]
    assert wait_s >= 15


@pytest.mark.parametrize("protocol", VERSIONS)
def test_m09_two_clients_of_one_name_raise_an_alarm_and_no_storm(mosquitto, gate, caplog, protocol):
    caplog.set_level(logging.WARNING)
    relay = gate(mosquitto().port)
    began = time.monotonic()
    with ExitStack() as stack:
        rivals = [Rival(relay.url, protocol) for _ in range(2)]
        for rival in rivals:
            stack.callback(rival.stop)
        wait_until(lambda: any("client-id-takeover" in rival.alarms for rival in rivals), 5)
        wait_until(lambda: time.monotonic() - began > 5)  # in which a storm would show
        connections = relay.connections

    assert connections <= 14  # of a storm's hundreds; see HASTY_FAILURES
    assert "'bed-7'" in caplog.text
    assert len(caplog.messages) <= 4
