"""Who is let in, whom we trust, and what is told of it: a real mosquitto with real certificates."""

from __future__ import annotations

import logging
import re
import socket
import ssl
import subprocess
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path

import pytest

from edge_runtime.errors import ConfigError
from edge_runtime.mqtt.client import LinkDownError
from edge_runtime.mqtt.link import Link
from edge_runtime.mqtt.login import Login, parse_url
from edge_runtime.mqtt.patience import Patience
from edge_runtime.mqtt.terms import Terms
from tests.brokers import HOST, free_port, is_open, wait_until
from tests.needs import program

from .authority import Authority, Pair

VERSIONS = ("5", "3.1.1")
TLS_HANDSHAKE = 0x16  # the first byte that a TLS client sends


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.fixture(scope="module")
def server(authority) -> Pair:
    return authority.issue("server", "DNS:localhost,IP:127.0.0.1")


@pytest.fixture(scope="module")
def device(authority) -> Pair:
    return authority.issue("bed-7", "DNS:bed-7")


@pytest.fixture
def reach():
    """A factory of links that are closed at the end: `reach(url, "5", ca_file=...)`."""
    links = []

    def make(url: str, protocol: str = "auto", terms: Terms | None = None, **access) -> Link:
        access = {key: str(value) if isinstance(value, Path) else value
                  for key, value in access.items()}  # fmt: skip
        login = Login(parse_url(url), **access)
        links.append(Link(login, terms or Terms(client_id="bed-7"), protocol))
        return links[-1]

    yield make
    for link in links:
        link.close()


def refused(link: Link) -> LinkDownError:
    with pytest.raises(LinkDownError) as caught:
        link.connect()
    return caught.value


def delivers(link: Link, listener) -> bool:
    """Whether a message goes through the link's session to someone else."""
    before = len(listener.messages)
    link.session.publish("edge/proof", b"1", 1)
    wait_until(lambda: len(listener.messages) > before)
    return listener.messages[-1].topic == "edge/proof"


def own(folder: Path, pair: Pair) -> Pair:
    """A copy of a pair, to be replaced later."""
    mine = Pair(folder / "own.pem", folder / "own.key")
    pair.copy_to(mine)
    return mine


# The broker proves itself ---------------------------------------------------------------------


@pytest.mark.parametrize("protocol", VERSIONS)
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("expired", "certificate has expired"),
        ("not yet valid", "certificate is not yet valid"),
        ("wrong authority", "unable to get local issuer certificate"),
        ("wrong host", "hostname mismatch"),
        ("revoked", "certificate revoked"),
    ],
)
def test_m10_a_broker_that_cannot_prove_itself_is_refused_and_plain_tcp_is_not_tried(
    mosquitto, gate, reach, authority, stranger, *, fault, words, protocol, monkeypatch
):
    pair = {
        "expired": lambda: authority.issue("expired", start_days=-3, end_days=-1),
        "not yet valid": lambda: authority.issue("early", start_days=1, end_days=2),
        "wrong authority": lambda: stranger.issue("server"),
        "wrong host": lambda: authority.issue("elsewhere", "DNS:broker.invalid"),
        "revoked": lambda: authority.issue("revoked"),
    }[fault]()
    options = {"ca_file": authority.ca}
    if fault == "revoked":
        authority.revoke(pair)
        options["crl_file"] = authority.crl()
    plain = free_port()
    broker = mosquitto(*pair.listener(authority.ca), f"listener {plain} {HOST}", tls=True)
    first_bytes = []
    relay = gate(broker.port, lambda first: first_bytes.append(first[0]) or "pass")
    dialled = record_dials(monkeypatch)
    patience = Patience("bed-7")
    link = reach(f"mqtts://localhost:{relay.port}", protocol, **options)

    for _ in range(3):
        exc = refused(link)
        patience.failed(link.address, exc)

    assert words in str(exc)
    assert (exc.alarm, patience.alarm) == ("certificate", "certificate")
    assert exc.hopeless is (fault != "not yet valid")  # the clock may yet be set
    today = time.strftime("this machine's clock says %Y-%m-%d ", time.gmtime())
    assert (today in str(exc)) is (fault in ("expired", "not yet valid"))
    assert first_bytes == [TLS_HANDSHAKE] * 3
    assert {port for port in dialled if port != broker.port} == {relay.port}
    assert not re.search(f"New connection from .* on port {plain}", broker.log.read_text())
    assert "New client connected" not in broker.log.read_text()


def record_dials(monkeypatch) -> list[int]:
    """The ports of all connections that this process makes from now on."""
    ports = []
    real = socket.create_connection

    def dial(address, *args, **options):
        ports.append(address[1])
        return real(address, *args, **options)

    monkeypatch.setattr(socket, "create_connection", dial)
    return ports


def test_m10_with_a_revocation_list_an_unrevoked_broker_is_let_pass(
    mosquitto, listen, reach, authority, server
):
    port = free_port()
    broker = mosquitto(f"listener {port} {HOST}", *server.listener(authority.ca))
    wait_until(lambda: is_open(port))
    link = reach(f"mqtts://localhost:{port}", ca_file=authority.ca, crl_file=authority.crl())

    link.connect()

    assert delivers(link, listen(broker.url))


def test_m10_a_list_of_another_authority_lets_nobody_pass(
    mosquitto, reach, authority, stranger, server
):
    broker = mosquitto(*server.listener(authority.ca), tls=True)
    link = reach(broker.url, ca_file=authority.ca, crl_file=stranger.crl())

    assert "unable to get certificate crl" in str(refused(link))


def test_a_plain_broker_where_tls_is_wanted_is_told(mosquitto, reach):
    broker = mosquitto()

    exc = refused(reach(f"mqtts://localhost:{broker.port}"))

    assert str(exc) == "it closed the connection at once: does it speak TLS on this port?"
    assert (exc.alarm, exc.hopeless) == ("", False)


# We prove ourselves ---------------------------------------------------------------------------


@pytest.fixture
def mutual(mosquitto, authority, server):
    """A broker that wants a client certificate and takes its name for the user's."""
    return mosquitto(
        *server.listener(authority.ca),
        "require_certificate true",
        "use_identity_as_username true",
        anonymous=False,
        tls=True,
    )


def user_connected(broker, name: str) -> bool:
    return f"u'{name}'" in broker.log.read_text()


@pytest.mark.parametrize("protocol", VERSIONS)
def test_a_client_certificate_is_accepted_for_the_name_in_it(
    mutual, reach, authority, device, protocol
):
    reach(
        mutual.url, protocol, ca_file=authority.ca, cert_file=device.cert, key_file=device.key
    ).connect()

    wait_until(lambda: user_connected(mutual, "bed-7"))


@pytest.mark.parametrize("protocol", ["auto", *VERSIONS])
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("none", "certificate required"),
        ("stranger's", "unknown ca"),
        ("expired", "certificate expired"),
    ],
)
def test_a_client_certificate_that_the_broker_refuses_is_told_in_its_words(
    mutual, reach, authority, stranger, *, fault, words, protocol, caplog
):
    options = {}
    if fault != "none":
        pair = (
            stranger.issue("bed-7")
            if fault == "stranger's"
            else authority.issue("late", start_days=-2, end_days=-1)
        )
        options = {"cert_file": pair.cert, "key_file": pair.key}
    link = reach(mutual.url, protocol, ca_file=authority.ca, **options)

    exc = refused(link)

    assert str(exc) == f"TLS failed: it refuses our certificate, or that we have none: {words}"
    assert (exc.hopeless, exc.alarm) == (True, "certificate")
    assert "MQTT 5" not in caplog.text  # the version is not what it is about


def test_a_key_that_others_can_read_is_refused_at_the_start_and_later(
    mutual, reach, authority, device, tmp_path
):
    mine = own(tmp_path, device)
    access = {"ca_file": authority.ca, "cert_file": mine.cert, "key_file": mine.key}
    link = reach(mutual.url, **access)
    link.connect()

    device.copy_to(mine)
    mine.key.chmod(0o644)
    exc = refused(link)

    assert "others may read it; run chmod 600" in str(exc)
    assert exc.alarm == "certificate"
    with pytest.raises(ConfigError, match="chmod 600"):
        reach(mutual.url, **access)


def test_names_and_passwords_go_through_tls(mosquitto, reach, authority, server, users):
    port = free_port()
    mosquitto(
        f"password_file {users({'bed-7': 'right'})}",
        f"listener {port} {HOST}",
        *server.listener(authority.ca),
        anonymous=False,
    )
    wait_until(lambda: is_open(port))
    way = {"ca_file": authority.ca, "username": "bed-7"}

    reach(f"mqtts://localhost:{port}", password="right", **way).connect()
    exc = refused(reach(f"mqtts://localhost:{port}", password="wrong", **way))

    assert exc.alarm == "login"


@pytest.fixture
def users(tmp_path):
    """Writes a password file of mosquitto: `users({"name": "password"})`."""

    def write(passwords: dict[str, str]) -> Path:
        file = tmp_path / "users"
        file.write_text("".join(f"{name}:{word}\n" for name, word in passwords.items()))
        tool = program("mosquitto_passwd", "mosquitto")
        subprocess.run([tool, "-U", str(file)], check=True, capture_output=True)
        return file

    return write


# Renewal without a restart --------------------------------------------------------------------


def test_all_certificates_are_renewed_between_two_connections_of_one_link(
    mosquitto, reach, authority, stranger, server, *, device, tmp_path, caplog
):
    caplog.set_level(logging.INFO)
    lines = ("require_certificate true", "use_identity_as_username true")
    old, new = (
        mosquitto(*pair.listener(made_by.ca), *lines, anonymous=False, tls=True, started=False)
        for pair, made_by in ((server, authority), (stranger.issue("server"), stranger))
    )
    new.config.write_text(new.config.read_text().replace(str(new.port), str(old.port)))
    mine, trusted = own(tmp_path, device), tmp_path / "trusted.pem"
    trusted.write_bytes(authority.ca.read_bytes())
    old.start()
    link = reach(old.url, ca_file=trusted, cert_file=mine.cert, key_file=mine.key)
    link.connect()
    wait_until(lambda: user_connected(old, "bed-7"))

    old.kill()
    new.port = old.port
    new.start()
    stale = refused(link)
    stranger.issue("bed-7-renewed").copy_to(mine)
    trusted.write_bytes(stranger.ca.read_bytes())
    link.connect()

    assert "certificate" in str(stale)
    wait_until(lambda: user_connected(new, "bed-7-renewed"))
    news = [line for line in caplog.messages if "read again" in line]
    assert len(news) == 1
    assert all(str(path) in news[0] for path in (*mine, trusted))


@pytest.mark.parametrize("what", ["half a certificate", "another's key", "no key", "half a CA"])
def test_a_file_that_is_not_whole_is_told_and_tried_again_and_the_old_one_is_not_used(
    mosquitto, gate, reach, authority, server, *, device, tmp_path, what
):
    mine, trusted = own(tmp_path, device), tmp_path / "trusted.pem"
    trusted.write_bytes(authority.ca.read_bytes())
    broker = mosquitto(*server.listener(authority.ca), "require_certificate true", tls=True)
    relay = gate(broker.port)
    link = reach(
        f"mqtts://localhost:{relay.port}",
        ca_file=trusted,
        cert_file=mine.cert,
        key_file=mine.key,
    )
    link.connect()

    if what == "half a certificate":
        mine.cert.write_bytes(device.cert.read_bytes()[:300])
    elif what == "another's key":
        mine.key.write_bytes(server.key.read_bytes())
    elif what == "no key":
        mine.key.unlink()
    else:
        trusted.write_bytes(authority.ca.read_bytes()[:300])
    failures = [refused(link), refused(link)]
    assert relay.connections == 1
    own(tmp_path, device)
    trusted.write_bytes(authority.ca.read_bytes())
    link.connect()

    for exc in failures:
        assert str(exc).startswith(("cert_file: ", "key_file: ", "ca_file: "))
        assert str(tmp_path) in str(exc)
        assert (exc.hopeless, exc.alarm) == (False, "certificate")
    assert relay.connections == 2


def test_a_revocation_is_seen_at_the_next_connection(mosquitto, reach, authority, tmp_path):
    pair, crl = authority.issue("soon-revoked"), tmp_path / "crl.pem"
    crl.write_bytes(authority.crl().read_bytes())
    broker = mosquitto(*pair.listener(authority.ca), tls=True)
    link = reach(broker.url, ca_file=authority.ca, crl_file=crl)
    link.connect()

    authority.revoke(pair)
    crl.write_bytes(authority.crl().read_bytes())

    assert "certificate revoked" in str(refused(link))


def test_a_changed_password_file_is_used_at_the_next_connection(mosquitto, reach, users, tmp_path):
    file = tmp_path / "password"
    file.write_text("first")
    broker = mosquitto(f"password_file {users({'bed-7': 'first'})}", anonymous=False)
    link = reach(broker.url, username="bed-7", password_file=file)
    link.connect()

    users({"bed-7": "second"})
    broker.kill()
    broker.start()
    exc = refused(link)
    file.unlink()
    missing = refused(link)
    file.write_text("second\n")
    link.connect()

    assert (exc.alarm, exc.hopeless) == ("login", True)
    assert "password_file" in str(missing)
    assert (missing.alarm, missing.hopeless) == ("login", False)


def test_unchanged_files_are_read_once(mosquitto, reach, authority, server, monkeypatch):
    broker = mosquitto(*server.listener(authority.ca), tls=True)
    link = reach(broker.url, ca_file=authority.ca)
    reads = []
    monkeypatch.setattr("edge_runtime.mqtt.credentials.read", reads.append)

    link.connect()
    link.connect()

    assert reads == []


# Ways through the network ---------------------------------------------------------------------


class Front:
    """Ends TLS in front of a plain broker, as a load balancer does, and keeps what it was told."""

    def __init__(self, pair: Pair, target: int, alpn: list[str]) -> None:
        self.asked: list[tuple[str | None, str | None]] = []  # SNI, ALPN
        self._target = target
        self._name: str | None = None
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pair.cert, pair.key)
        self._context.set_alpn_protocols(alpn)
        self._context.sni_callback = self._keep_name
        self._server = socket.create_server((HOST, 0))
        self.port = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._server.close()
        self._thread.join()

    def _keep_name(self, _socket, name: str | None, _context) -> None:
        self._name = name

    def _serve(self) -> None:
        """One connection; question and answer take turns, which CONNECT and a PUBLISH do."""
        with suppress(OSError):
            near, _ = self._server.accept()
            with (
                self._context.wrap_socket(near, server_side=True) as near,
                socket.create_connection((HOST, self._target)) as far,
            ):
                self.asked.append((self._name, near.selected_alpn_protocol()))
                while question := near.recv(4096):
                    far.sendall(question)
                    near.sendall(far.recv(4096))


@pytest.fixture
def front():
    fronts = []

    def make(*args) -> Front:
        fronts.append(Front(*args))
        return fronts[-1]

    yield make
    for item in fronts:
        item.close()


def test_alpn_offers_the_protocol_that_aws_iot_wants_on_port_443(
    mosquitto, reach, front, authority, server
):
    balancer = front(server, mosquitto().port, ["http/1.1", "x-amzn-mqtt-ca"])
    link = reach(
        f"mqtts://localhost:{balancer.port}", ca_file=authority.ca, alpn=("x-amzn-mqtt-ca",)
    )

    link.connect()
    link.drop()

    assert balancer.asked == [("localhost", "x-amzn-mqtt-ca")]


def test_server_name_is_asked_for_and_checked_in_the_hosts_place(
    mosquitto, reach, front, authority
):
    elsewhere = authority.issue("elsewhere", "DNS:broker.ward.example")
    balancer = front(elsewhere, mosquitto().port, ["mqtt"])
    link = reach(
        f"mqtts://127.0.0.1:{balancer.port}",
        ca_file=authority.ca,
        server_name="broker.ward.example",
    )

    link.connect()
    link.drop()

    assert balancer.asked == [("broker.ward.example", None)]


def test_server_name_is_not_merely_asked_for(mosquitto, reach, authority, server):
    broker = mosquitto(*server.listener(authority.ca), tls=True)

    exc = refused(reach(broker.url, ca_file=authority.ca, server_name="broker.ward.example"))

    assert "hostname mismatch" in str(exc)


@pytest.mark.parametrize("protocol", VERSIONS)
@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_websockets_carry_messages_both_ways(
    mosquitto, listen, reach, authority, server, *, scheme, protocol
):
    port = free_port()
    tls = server.listener(authority.ca) if scheme == "wss" else ()
    broker = mosquitto(f"listener {port} {HOST}", "protocol websockets", *tls)
    wait_until(lambda: is_open(port))
    heard = []
    terms = Terms(client_id="bed-7", on_message=heard.append)
    link = reach(
        f"{scheme}://localhost:{port}",
        protocol,
        terms,
        **({"ca_file": authority.ca} if tls else {}),
    )

    link.connect().subscribe(["back"])
    link.session.publish("back", b"to us", 1)
    wait_until(lambda: link.wait(0.05) or heard)

    assert heard[0].payload == b"to us"
    assert delivers(link, listen(broker.url))


def test_a_websocket_broker_that_cannot_prove_itself_is_refused(
    mosquitto, reach, authority, stranger
):
    port = free_port()
    pair = stranger.issue("server")
    mosquitto(f"listener {port} {HOST}", "protocol websockets", *pair.listener(stranger.ca))
    wait_until(lambda: is_open(port))

    exc = refused(reach(f"wss://localhost:{port}", ca_file=authority.ca))

    assert (exc.alarm, exc.hopeless) == ("certificate", True)


def test_a_refusal_of_our_certificate_is_told_through_websockets_too(
    mosquitto, reach, authority, server
):
    port = free_port()
    lines = (*server.listener(authority.ca), "require_certificate true")
    mosquitto(f"listener {port} {HOST}", "protocol websockets", *lines)
    wait_until(lambda: is_open(port))

    exc = refused(reach(f"wss://localhost:{port}", ca_file=authority.ca))

    assert exc.alarm == "certificate"


# Secrets --------------------------------------------------------------------------------------


def test_neither_password_nor_key_is_ever_told(
    mosquitto, reach, authority, server, device, *, users, tmp_path, caplog
):
    caplog.set_level(logging.DEBUG)
    word, file, mine = "pa55-w0rd-7f3a", tmp_path / "password", own(tmp_path, device)
    file.write_text(word)
    broker = mosquitto(
        *server.listener(authority.ca),
        f"password_file {users({'bed-7': 'another'})}",
        anonymous=False,
        tls=True,
    )
    shown = []
    patience = Patience("bed-7")
    keys = {"cert_file": mine.cert, "key_file": mine.key, "ca_file": authority.ca}
    for protocol in VERSIONS:
        for access in ({"password": word}, {"password_file": file}):
            link = reach(broker.url, protocol, username="bed-7", **access, **keys)
            shown += [repr(link._login) if hasattr(link, "_login") else repr(link._logins)]
            shown += [repr(vars(link)), repr(link._credentials.current()), told(refused(link))]
    with pytest.raises(ConfigError) as caught:  # the key where the certificate should be
        reach(broker.url, cert_file=mine.key, key_file=mine.key)
    shown.append(told(caught.value))
    mine.key.write_bytes(device.key.read_bytes()[:150])
    file.write_bytes(word.encode() + b"\xff")
    shown.append(told(exc := refused(link)))
    patience.failed(link.address, exc)

    text = "\n".join([*shown, caplog.text])
    assert "bed-7" in text
    assert "refused" in text
    assert word not in text
    secret_lines = device.key.read_text().splitlines()[1:-1]
    assert secret_lines
    assert not [line for line in secret_lines if line[:20] in text]


def told(exc: BaseException) -> str:
    """All that a log or a crash report would show of it."""
    return "".join(traceback.format_exception(exc)) + repr(exc)
