"""How a web server is reached: names that are not found, addresses that are deaf, proxies."""

from __future__ import annotations

import base64
import logging
import socket
import threading
import time

import pytest

from edge_runtime.errors import ConfigError, DownloadError
from edge_runtime.update.remote.fetch import Fetcher
from edge_runtime.update.remote.pace import Limits

from .boards import BUNDLE, QUICK, failure, get
from .servers import Server, certificate
from .web_proxy import WebProxy

HOST = "models.test"  # a name that no name server knows: RFC 6761
BUNDLE_URL = f"https://{HOST}/b"
LOGIN = "ward 7:s3cret/@"
ESCAPED = "ward%207:s3cret%2F%40"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("https_proxy", "all_proxy", "http_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.fixture
def server(tmp_path):
    with Server({"b": BUNDLE}, certificate(tmp_path, HOST)) as serving:
        yield serving


@pytest.fixture
def proxy(server):
    with WebProxy(server) as running:
        yield running


def found_at(monkeypatch, *addresses):
    """The name has these addresses from now on."""
    real = socket.getaddrinfo
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

    def look_up(host, *more, **options):
        return found if host == HOST else real(host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "all_proxy"])
def test_a_proxy_of_the_environment_is_used_and_tls_goes_through_it(
    part, proxy, tmp_path, environment, name
):
    environment.setenv(name, f"http://127.0.0.1:{proxy.port}")

    get(part, BUNDLE_URL, ca_file=tmp_path / "ca.pem")

    assert part.read_bytes() == BUNDLE
    assert [host for host, _ in proxy.asked] == [f"{HOST}:443"]
    assert "Proxy-Authorization" not in proxy.asked[0][1]
    assert len(proxy.behind.requests) == 1


def test_one_tunnel_carries_all_requests(proxy, tmp_path, environment):
    environment.setenv("https_proxy", f"127.0.0.1:{proxy.port}")

    with Fetcher(ca_file=tmp_path / "ca.pem") as fetcher:
        for _ in range(3):
            assert fetcher.read(BUNDLE_URL, len(BUNDLE), time.monotonic() + 20) == BUNDLE

    assert len(proxy.asked) == 1
    assert proxy.behind.connections == 1


def test_a_proxys_login_is_sent_to_it_alone_and_never_told(
    part, proxy, tmp_path, environment, caplog
):
    caplog.set_level(logging.DEBUG)
    environment.setenv("https_proxy", f"http://{ESCAPED}@127.0.0.1:{proxy.port}")

    get(part, BUNDLE_URL, ca_file=tmp_path / "ca.pem")
    sent = proxy.asked[0][1]["Proxy-Authorization"]
    assert base64.b64decode(sent.removeprefix("Basic ")).decode() == LOGIN
    assert "Proxy-Authorization" not in proxy.behind.requests[0][1]

    proxy.behave = lambda handler: handler.send_error(407)
    part.unlink()
    told = str(failure(part, BUNDLE_URL))
    assert f"{BUNDLE_URL}: the proxy 127.0.0.1:{proxy.port}: it says 407" in told
    assert "s3cret" not in told + caplog.text
    assert sent.removeprefix("Basic ") not in told + caplog.text


@pytest.mark.parametrize("fault", ["unknown", "host"])
def test_a_proxy_that_ends_tls_itself_is_refused(part, proxy, tmp_path, environment, fault):
    environment.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
    url = BUNDLE_URL if fault == "unknown" else "https://other.test/b"

    caught = failure(part, url, ca_file=None if fault == "unknown" else tmp_path / "ca.pem")

    assert (type(caught), caught.reason) == (DownloadError, "tls")
    assert "certificate" in str(caught)


@pytest.mark.parametrize("listed", [HOST, ".test", "other, test", "*"])
def test_what_no_proxy_lists_is_reached_directly(part, proxy, environment, listed):
    environment.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
    environment.setenv("no_proxy", listed)

    assert failure(part, BUNDLE_URL).reason == "name"
    assert proxy.asked == []


def test_this_machine_is_reached_directly(part, proxy, environment):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        environment.setenv(name, f"http://127.0.0.1:{proxy.port}")
    with Server({"b": BUNDLE}) as plain:
        get(part, plain)

    assert part.read_bytes() == BUNDLE
    assert proxy.asked == []


@pytest.mark.parametrize(
    "url",
    ["socks5://u:s3cret@h:1", "https://u:s3cret@h", "http://u:s3cret/x@h", "http://", "http://h:0"],
)
def test_a_proxy_that_cannot_be_is_named_without_its_password(part, environment, url):
    environment.setenv("https_proxy", url)

    with pytest.raises(ConfigError, match="https_proxy") as caught:
        get(part, BUNDLE_URL)

    assert "s3cret" not in str(caught.value)


def test_a_proxy_that_is_not_there_is_told_as_such(part, environment):
    environment.setenv("https_proxy", "http://no-such-proxy.invalid:3128")

    caught = failure(part, BUNDLE_URL)

    assert (type(caught), caught.reason) == (DownloadError, "proxy")
    assert "the proxy no-such-proxy.invalid:3128: " in str(caught)


def _drip(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.02)


def _mute(handler):
    handler.connection.recv(1)  # until the other side has enough


def _babble(handler):
    handler.wfile.write(b"SSH-2.0-no proxy\r\n")


@pytest.mark.parametrize(
    ("behave", "reason"), [(_drip, "too-slow"), (_mute, "too-slow"), (_babble, "proxy")]
)
def test_a_proxy_is_held_to_the_deadline_and_to_http(part, proxy, environment, behave, reason):
    environment.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
    proxy.behave = behave
    began = time.monotonic()

    assert failure(part, BUNDLE_URL, limits=QUICK).reason == reason
    assert time.monotonic() - began < 5


def test_a_name_that_is_looked_up_for_ever_is_given_up(part, environment):
    asked, never = threading.Event(), threading.Event()

    def look_up(*_, **__):
        asked.set()
        never.wait(60)
        raise socket.gaierror

    environment.setattr(socket, "getaddrinfo", look_up)
    began = time.monotonic()
    try:
        caught = failure(part, BUNDLE_URL, limits=Limits(connect_s=0.3))
    finally:
        never.set()

    assert asked.is_set()
    assert time.monotonic() - began < 10
    assert (type(caught), caught.reason) == (DownloadError, "name")
    assert "no name server answers" in str(caught)


def test_a_name_that_is_none_is_named(part):
    assert failure(part, "https://models..test/b").reason == "name"


def test_many_deaf_addresses_do_not_add_up_beyond_the_deadline(part, environment):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        where = deaf.getsockname()
        waiting = [socket.socket() for _ in range(4)]  # they fill its queue: no more is taken
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(where)
        found_at(environment, *[where] * 100)
        began = time.monotonic()
        caught = failure(part, BUNDLE_URL, limits=Limits(connect_s=0.2, metadata_s=1, rate=10**6))
        for one in waiting:
            one.close()

    assert (type(caught), caught.reason) == (DownloadError, "too-slow")
    assert time.monotonic() - began < 8


def test_the_next_address_is_tried_where_one_refuses(part, server, tmp_path, environment):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        closed = gone.getsockname()
    found_at(environment, closed, server.server_address)

    get(part, BUNDLE_URL, ca_file=tmp_path / "ca.pem")

    assert part.read_bytes() == BUNDLE


def test_authorities_that_cannot_be_read_cost_no_connection(part, server, tmp_path):
    with pytest.raises(ConfigError, match="none.pem"):
        get(part, server, ca_file=tmp_path / "none.pem")
    assert server.connections == 0
