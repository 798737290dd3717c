"""Where a broker is, who we are there, and what is too careless to be done by accident."""

from __future__ import annotations

import ssl

import pytest

from edge_runtime.errors import BadOptionError, ConfigError
from edge_runtime.mqtt import credentials
from edge_runtime.mqtt.login import Login, parse_url

REMOTE = parse_url("mqtts://broker.example:8883")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://localhost", "mqtt://localhost:1883"),
        ("mqtts://broker", "mqtts://broker:8883"),
        ("mqtt://10.1.2.3:1884/", "mqtt://10.1.2.3:1884"),
        ("ws://host:9001", "ws://host:9001/mqtt"),
        ("wss://host/live", "wss://host:443/live"),
        ("mqtt://[::1]:1885", "mqtt://[::1]:1885"),
    ],
)
def test_a_url_says_host_port_and_way(url: str, expected: str):
    assert str(parse_url(url)) == expected


@pytest.mark.parametrize(
    "url",
    ["", "broker", "broker:1883", "http://broker", "mqtt://", "mqtt://h:x", "mqtt://h:99999",
     "mqtt://h/topic", "mqtt://user:secret@h", "mqtt://h?x=1"],
)  # fmt: skip
def test_a_url_that_is_none_is_refused_without_repeating_a_password(url: str):
    with pytest.raises(BadOptionError) as caught:
        parse_url(url)
    assert caught.value.key == "url"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "[::1]"])
def test_loopback_needs_no_tls_and_no_user(host: str):
    assert Login(parse_url(f"mqtt://{host}:1883")).address.loopback


@pytest.mark.parametrize("host", ["broker", "10.0.0.1", "localhost.example", "[fe80::1]"])
def test_the_network_needs_tls_unless_told_otherwise(host: str):
    address = parse_url(f"mqtt://{host}")

    with pytest.raises(BadOptionError, match="allow_insecure") as caught:
        Login(address, username="u", password="p")
    assert caught.value.key == "url"
    Login(address, username="u", password="p", allow_insecure=True)


def test_the_network_needs_a_user_or_a_certificate_unless_told_otherwise():
    with pytest.raises(BadOptionError, match="allow_insecure") as caught:
        Login(REMOTE)
    assert caught.value.key == "username"
    Login(REMOTE, username="u", password="p")
    Login(REMOTE, cert_file="c", key_file="k")
    Login(REMOTE, allow_insecure=True)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"password": "p"}, "username"),
        ({"password_file": "p"}, "username"),
        ({"username": "u", "password": "p", "password_file": "f"}, "password_file"),
        ({"cert_file": "c"}, "key_file"),
        ({"key_file": "c"}, "cert_file"),
        ({"ca_file": "c"}, "url"),
        ({"crl_file": "c"}, "url"),
        ({"server_name": "broker"}, "url"),
        ({"alpn": ("mqtt",)}, "url"),
        ({"alpn": ("",)}, "alpn"),
        ({"alpn": ("m" * 256,)}, "alpn"),
    ],
)
def test_what_contradicts_itself_is_refused_by_its_key(options: dict, key: str):
    with pytest.raises(BadOptionError) as caught:
        Login(parse_url("mqtt://localhost"), **options)
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("other", "options"),
    [
        ("mqtt://10.0.0.2", {"username": "u", "password": "p"}),
        ("mqtts://10.0.0.2", {}),
        ("mqtt://localhost", {"ca_file": "c"}),
    ],
)
def test_every_broker_of_several_is_held_to_the_same_rules(other: str, options: dict):
    first = parse_url("mqtts://localhost")
    Login(first, **options)

    with pytest.raises(BadOptionError) as caught:
        Login(first, others=(parse_url("mqtts://localhost:8884"), parse_url(other)), **options)

    assert str(parse_url(other)) in str(caught.value)


def test_a_login_is_taken_apart_into_one_for_each_broker():
    other = parse_url("mqtts://other.example:8884")
    login = Login(REMOTE, others=(other,), username="u", password="p", ca_file="c")

    assert login.addresses == (REMOTE, other)
    assert login.at(other) == Login(other, username="u", password="p", ca_file="c")


def test_the_password_shows_nowhere():
    login = Login(REMOTE, username="ward", password="s3cret")
    secrets = credentials.read(login)

    assert secrets.password == "s3cret"
    for shown in (repr(login), str(login), repr(secrets), repr(login.at(REMOTE))):
        assert "s3cret" not in shown


def test_the_password_is_the_files_content_without_its_line_end(tmp_path):
    file = tmp_path / "password"
    file.write_text("s3cret \n")

    login = Login(REMOTE, username="u", password_file=str(file))

    assert credentials.read(login).password == "s3cret "


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "No such file"), (b"", "is empty"), (b"\n", "is empty"), (b"s3cret\xff", "not UTF-8")],
)
def test_a_password_file_that_holds_none_is_named_and_not_repeated(tmp_path, content, why):
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ConfigError, match=f"password_file: .*password: .*{why}") as caught:
        credentials.read(Login(REMOTE, username="u", password_file=str(file)))
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None or "s3cret" not in repr(caught.value.__cause__)


def test_a_plain_connection_has_no_tls_context():
    assert credentials.read(Login(parse_url("mqtt://localhost"))).context is None


def test_tls_is_new_enough_and_checks_the_name(certificates):
    login = Login(REMOTE, username="u", ca_file=str(certificates.ca))

    context = credentials.read(login).context

    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.cert_store_stats()["x509_ca"] == 1  # the system's authorities are not added


def test_without_an_authority_of_ones_own_the_systems_are_trusted():
    context = credentials.read(Login(REMOTE, username="u")).context
    expected = ssl.create_default_context()

    assert context.cert_store_stats() == expected.cert_store_stats()
    assert context.verify_mode == ssl.CERT_REQUIRED


def test_a_certificate_that_cannot_be_used_is_named(certificates, tmp_path):
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("no certificate")
    good = {"cert_file": str(certificates.client), "key_file": str(certificates.client_key)}
    cases = [
        ({"ca_file": str(tmp_path / "none.pem")}, "ca_file: .*none.pem"),
        ({"ca_file": str(nonsense)}, "ca_file: .*nonsense.pem"),
        ({"crl_file": str(tmp_path / "none.pem")}, "crl_file: .*none.pem"),
        ({"crl_file": str(certificates.ca)}, "crl_file: .*holds no revocation list"),
        ({**good, "cert_file": str(nonsense)}, "cert_file: .*nonsense.pem"),
        ({**good, "key_file": str(tmp_path / "none.key")}, "key_file: .*none.key: No such file"),
        ({**good, "key_file": str(certificates.server_key)}, "cert_file: .*mismatch"),
    ]
    for options, message in cases:
        with pytest.raises(ConfigError, match=message):
            credentials.read(Login(REMOTE, username="u", **options))


def test_a_key_that_others_may_read_is_refused_as_ssh_does(certificates, tmp_path):
    key = tmp_path / "open.key"
    key.write_bytes(certificates.client_key.read_bytes())
    login = Login(REMOTE, cert_file=str(certificates.client), key_file=str(key))

    key.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        credentials.read(login)
    key.chmod(0o600)
    assert credentials.read(login).context is not None
