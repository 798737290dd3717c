"""docs/security.md as it is written: its broker keeps devices apart, its run files are accepted."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from edge_runtime import config
from edge_runtime.mqtt.client import LinkDownError
from edge_runtime.mqtt.link import Link
from edge_runtime.mqtt.login import Login, parse_url
from edge_runtime.mqtt.terms import Terms
from edge_runtime.sinks.mqtt import Mqtt
from tests.brokers import Server, free_port, is_open, wait_until
from tests.e2e.authority import Authority
from tests.messages import IDENTITY
from tests.needs import ROOT, program

PAGE = (ROOT / "docs" / "security.md").read_text()
PASSWORD = "secret-of-"
USERS = ("viewer", "operator", "archive", "bed-7", "bed-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


HEAD = """\
name = "ward"
[model]
path = "model"
[[source]]
kind = "serial"
"""


@pytest.mark.parametrize("block", blocks("toml"))
def test_every_run_file_of_the_page_is_accepted(block, tmp_path):
    run_file = tmp_path / "run.toml"
    run_file.write_text(HEAD + block)

    (sink,) = config.load(run_file, {}).sinks

    assert isinstance(sink.options.make(Mqtt, identity=IDENTITY), Mqtt)


class Documented(Server):
    """The broker of the page; only its ports and folder are others."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        super().__init__(folder)
        self.certificate_port = free_port()
        self.ca = authority.ca
        (settings,), (rules,) = blocks("conf"), blocks("acl")
        places = {
            "listener 8883": f"listener {self.port}",
            "listener 8884": f"listener {self.certificate_port}",
            "/etc/mosquitto/certs": str(folder / "certs"),
            "/etc/mosquitto": str(folder),
        }
        for written, here in places.items():
            assert written in settings
            settings = settings.replace(written, here)
        (folder / "edge.conf").write_text(f"user root\nlog_type all\n{settings}")
        (folder / "edge.acl").write_text(rules)
        (folder / "edge.acl").chmod(0o600)
        users = folder / "edge.users"
        users.write_text("".join(f"{name}:{PASSWORD}{name}\n" for name in USERS))
        subprocess.run([program("mosquitto_passwd", "mosquitto"), "-U", users], check=True)
        pair = authority.issue("broker")
        (folder / "certs").mkdir()
        for name, file in (
            ("ca.pem", authority.ca),
            ("broker.pem", pair.cert),
            ("broker.key", pair.key),
            ("crl.pem", authority.crl()),
        ):
            (folder / "certs" / name).write_bytes(file.read_bytes())

    def command(self) -> list[str]:
        return [program("mosquitto", "mosquitto"), "-c", str(self.folder / "edge.conf")]

    def answers(self) -> bool:
        return is_open(self.port) and is_open(self.certificate_port)


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def broker(tmp_path_factory, authority):
    server = Documented(tmp_path_factory.mktemp("documented"), authority)
    server.start()
    yield server
    server.close()


class Someone:
    """A user of the broker: what was refused to it, and what it has heard."""

    def __init__(self, login: Login, **terms) -> None:
        self.heard: dict[str, bytes] = {}
        self._answers: dict[int, str] = {}
        self.link = Link(
            login,
            Terms(
                client_id=f"test-{free_port()}",
                on_ack=self._answers.__setitem__,
                on_message=lambda message: self.heard.update({message.topic: message.payload}),
                **terms,
            ),
            "5",
        )

    def listen(self) -> None:
        self.link.connect().subscribe(["#"])

    def may_write(self, topic: str) -> bool:
        number = self.link.session.publish(topic, b"1", 1)
        wait_until(lambda: self.link.wait(0.05) or number in self._answers)
        assert self._answers[number] in ("", "not authorized")
        return not self._answers[number]

    def hears(self, topic: str) -> bool:
        wait_until(lambda: self.link.wait(0.02) or topic in self.heard)
        return True


@pytest.fixture
def someone(broker):
    people = []

    def make(name: str, *, login: Login | None = None, **terms) -> Someone:
        way = login or Login(
            parse_url(f"mqtts://localhost:{broker.port}"),
            username=name,
            password=PASSWORD + name,
            ca_file=str(broker.ca),
        )
        people.append(Someone(way, **terms))
        people[-1].listen()
        return people[-1]

    yield make
    for person in people:
        person.link.close()


WRITTEN = ("port/result", "status", "info", "alert", "port/gap", "command/stop/response")


@pytest.fixture(params=["a password", "a certificate"])
def bed_7(request, broker, authority, someone):
    if request.param == "a password":
        return someone("bed-7")
    pair = authority.issue("bed-7")
    login = Login(
        parse_url(f"mqtts://localhost:{broker.certificate_port}"),
        ca_file=str(broker.ca),
        cert_file=str(pair.cert),
        key_file=str(pair.key),
    )
    return someone("bed-7", login=login)


def test_a_device_writes_its_own_topics_and_the_viewer_reads_them(bed_7, someone):
    viewer = someone("viewer")

    for topic in WRITTEN:
        assert bed_7.may_write(f"edge/bed-7/ward/{topic}")
        assert viewer.hears(f"edge/bed-7/ward/{topic}")


@pytest.mark.parametrize(
    "topic",
    [
        *(f"edge/bed-8/ward/{end}" for end in ("port/result", "status", "command/stop", "ack")),
        "edge/viewer/ward/status",
        "edge",
        "elsewhere/bed-7/status",
        "$share/group/edge/bed-7",
    ],
)
def test_a_device_writes_nothing_else(bed_7, topic):
    assert not bed_7.may_write(topic)


def test_a_device_hears_its_commands_and_acknowledgements_and_nothing_of_others(bed_7, someone):
    bed_8, operator, archive = map(someone, ("bed-8", "operator", "archive"))

    assert bed_8.may_write("edge/bed-8/ward/port/result")
    assert bed_7.may_write("edge/bed-7/ward/port/result")
    for device in ("bed-8", "bed-7"):
        assert operator.may_write(f"edge/{device}/ward/command/stop")
        assert archive.may_write(f"edge/{device}/ward/ack")
        operator.hears(f"edge/{device}/ward/ack")  # so that the broker has dealt with it
    for device, person in (("bed-7", bed_7), ("bed-8", bed_8)):
        person.hears(f"edge/{device}/ward/command/stop")
        person.hears(f"edge/{device}/ward/ack")

        assert set(person.heard) == {
            f"edge/{device}/ward/command/stop",
            f"edge/{device}/ward/ack",
        }


@pytest.mark.parametrize(
    ("name", "topic", "may"),
    [
        ("viewer", "edge/bed-7/ward/command/stop", False),
        ("viewer", "edge/bed-7/ward/ack", False),
        ("viewer", "edge/bed-7/ward/status", False),
        ("viewer", "edge/viewer/ward/status", False),
        ("operator", "edge/bed-7/ward/command/stop", True),
        ("operator", "edge/bed-7/ward/ack", False),
        ("operator", "edge/bed-7/ward/port/result", False),
        ("operator", "edge/operator/ward/status", False),
        ("archive", "edge/bed-7/ward/ack", True),
        ("archive", "edge/bed-7/ward/command/stop", False),
        ("archive", "edge/archive/ward/status", False),
    ],
)
def test_people_write_what_their_role_allows(someone, name, topic, may):
    assert someone(name).may_write(topic) is may


def test_a_will_is_published_within_the_devices_own_topics_only(someone):
    viewer = someone("viewer")
    for device in ("bed-8", "bed-7"):
        topic = f"edge/{device}/night/status"
        lost = someone("bed-7", will=(topic, "offline"), will_retained=False)
        lost.link.drop()

    viewer.hears("edge/bed-7/night/status")
    assert "edge/bed-8/night/status" not in viewer.heard


def test_nobody_comes_in_without_a_name_or_by_a_wrong_or_stolen_one(broker, authority, someone):
    url = f"mqtts://localhost:{broker.port}"
    ca = {"ca_file": str(broker.ca)}
    stolen = authority.issue("bed-9")
    authority.revoke(stolen)
    broker.stop()
    (broker.folder / "certs" / "crl.pem").write_bytes(authority.crl().read_bytes())
    broker.start()
    with_certificate = f"mqtts://localhost:{broker.certificate_port}"
    keys = {"cert_file": str(stolen.cert), "key_file": str(stolen.key)}
    cases = [
        (Login(parse_url(url), **ca), "login"),
        (Login(parse_url(url), username="bed-7", password="guess", **ca), "login"),
        (Login(parse_url(with_certificate), **ca), "certificate"),
        (Login(parse_url(with_certificate), **ca, **keys), "certificate"),
    ]

    for login, alarm in cases:
        with pytest.raises(LinkDownError) as caught:
            someone("nobody", login=login)
        assert caught.value.alarm == alarm
