"""The device API of hawkBit, message by message, against a server that records and misbehaves."""

from __future__ import annotations

import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from edge_runtime.errors import BadOptionError, ConfigError, DownloadError
from edge_runtime.update.engines.engine import State, Wanted
from edge_runtime.update.engines.hawkbit import JITTER, PAUSE_MAX_S, HawkBit
from edge_runtime.update.engines.rest import BYTES_MAX

from ...brokers.ports import HOST

BASE = "/DEFAULT/controller/v1/bed-7"
TOKEN = "8f3a-secret"


class Recorder:
    """An HTTP server of given answers: (status, headers, body) by "METHOD path"; 200 {} else."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.heard: list[tuple[str, dict[str, str], Any]] = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = json.loads(self.rfile.read(length)) if length else None
                asked = f"{self.command} {self.path}"
                recorder.heard.append((asked, dict(self.headers), body))
                status, headers, content = recorder.answers.get(asked, (200, {}, b"{}"))
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = _answer  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._server.server_port}"

    @property
    def asked(self) -> list[str]:
        return [asked for asked, _, _ in self.heard]

    def say(self, asked: str, body: object, status: int = 200, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        self.answers[asked] = (status, named, content)

    def offer(self, kind: str = "deploymentBase", job: str = "11", **more: object) -> None:
        """A base resource with a link, as hawkBit writes it."""
        href = f"{self.url}{BASE}/{kind}/{job}?c=-2129030598"
        base = {"config": {"polling": {"sleep": "00:01:00"}}, "_links": {kind: {"href": href}}}
        self.say(f"GET {BASE}", base)
        if kind == "deploymentBase":
            self.say(f"GET {BASE}/{kind}/{job}", deployment(**more))
        else:
            self.say(f"GET {BASE}/{kind}/{job}", {"id": job, "cancelAction": {"stopId": "11"}})

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def deployment(
    name: str = "ecg-beats", update: str = "forced", version: str = "1.2.0"
) -> dict[str, object]:
    chunks = [
        {"part": "os", "name": "kernel", "version": "6.6", "artifacts": []},
        {"part": "bApp", "name": name, "version": version, "artifacts": [], "metadata": []},
    ]
    return {"id": "11", "deployment": {"download": "forced", "update": update, "chunks": chunks}}


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    server = Recorder()
    yield server
    server.close()


def engine(url: str, **options: Any) -> HawkBit:
    return HawkBit(
        url,
        **{
            "controller": "bed-7",
            "model": "ecg-beats",
            "token": TOKEN,
            "timeout_s": 5.0,
            **options,
        },
    )


def test_nothing_is_wanted_while_the_server_has_no_action(recorder):
    recorder.say(f"GET {BASE}", {"config": {"polling": {"sleep": "01:02:03"}}, "_links": {}})
    hawkbit = engine(recorder.url)

    assert hawkbit.wanted() is None
    assert recorder.asked == [f"GET {BASE}"]
    assert 3723 <= hawkbit.pause_s <= 3723 * (1 + JITTER)


def test_pauses_of_many_devices_are_not_in_step(recorder):
    recorder.offer()
    pauses = set()
    for _ in range(5):
        hawkbit = engine(recorder.url)
        hawkbit.wanted()
        pauses.add(hawkbit.pause_s)
    assert len(pauses) == 5


@pytest.mark.parametrize(
    ("sleep", "least", "most"),
    [("00:00:00", 5, 6), ("999:00:00", 86_400, 103_680), ("soon", 0, 0), (7, 0, 0), (None, 0, 0)],
)
def test_a_pause_that_makes_no_sense_is_bounded_or_ignored(recorder, sleep, least, most):
    recorder.say(f"GET {BASE}", {"config": {"polling": {"sleep": sleep}}})
    hawkbit = engine(recorder.url)
    hawkbit.wanted()
    assert least <= hawkbit.pause_s <= most


def test_an_action_wants_the_release_that_its_module_names(recorder):
    recorder.offer()
    assert engine(recorder.url).wanted() == Wanted("11", "ecg-beats", "1.2.0")
    assert recorder.asked == [f"GET {BASE}", f"GET {BASE}/deploymentBase/11"]


@pytest.mark.parametrize(("gateway", "scheme"), [(False, "TargetToken"), (True, "GatewayToken")])
def test_the_token_goes_as_its_kind_wants_it(recorder, gateway, scheme):
    engine(recorder.url, gateway=gateway).wanted()
    assert recorder.heard[0][1]["Authorization"] == f"{scheme} {TOKEN}"


def test_a_token_file_is_read_anew_and_must_be_private(recorder, tmp_path):
    file = tmp_path / "token"
    file.write_text("first\n")
    file.chmod(0o600)
    hawkbit = engine(recorder.url, token="", token_file=str(file))
    hawkbit.wanted()
    file.write_text("second\n")
    hawkbit.wanted()
    sent = [headers["Authorization"] for _, headers, _ in recorder.heard]
    assert sent == ["TargetToken first", "TargetToken second"]

    file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        hawkbit.wanted()


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"a\x07b"])
def test_a_token_file_without_a_token_is_a_configuration_to_mend(recorder, tmp_path, content):
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_bytes(content)

    with pytest.raises(ConfigError, match=f"token_file: {file}: is not a token") as caught:
        engine(recorder.url, token="", token_file=str(file)).wanted()

    assert "two words" not in str(caught.value)
    assert recorder.asked == []


@pytest.mark.parametrize("after", ["9" * 400, "9" * 5000, "-1", "1e9", "\xb2"])
def test_a_retry_after_that_makes_no_sense_is_bounded_or_ignored(recorder, after):
    recorder.say(f"GET {BASE}", {}, 503, Retry_After=after)
    hawkbit = engine(recorder.url)

    with pytest.raises(DownloadError, match="HTTP 503"):
        hawkbit.wanted()

    assert hawkbit.pause_s <= PAUSE_MAX_S * (1 + JITTER)


def test_a_version_does_not_write_on_a_terminal(recorder):
    recorder.offer(version="1.0\x1b[2J")

    assert engine(recorder.url).wanted().version == "1.0 [2J"


def test_a_link_elsewhere_gets_neither_request_nor_token(recorder):
    stranger = Recorder()
    try:
        recorder.offer()
        href = f"{stranger.url}/steal/deploymentBase/11"
        recorder.say(f"GET {BASE}", {"_links": {"deploymentBase": {"href": href}}})
        assert engine(recorder.url).wanted() == Wanted("11", "ecg-beats", "1.2.0")
        assert stranger.heard == []
    finally:
        stranger.close()


@pytest.mark.parametrize("job", ["../../admin", "%2e%2e", "", "x" * 65, "1 1"])
def test_an_action_id_that_is_a_path_is_not_asked_for(recorder, job):
    recorder.say(f"GET {BASE}", {"_links": {"deploymentBase": {"href": f"/deploymentBase/{job}"}}})
    with pytest.raises(DownloadError) as caught:
        engine(recorder.url).wanted()
    assert caught.value.reason == "malformed"
    assert recorder.asked == [f"GET {BASE}"]


@pytest.mark.parametrize(
    ("state", "place", "execution", "finished"),
    [
        ("downloading", "deploymentBase", "proceeding", "none"),
        ("installing", "deploymentBase", "proceeding", "none"),
        ("done", "deploymentBase", "closed", "success"),
        ("failed", "deploymentBase", "closed", "failure"),
        ("cancelled", "cancelAction", "closed", "success"),
        ("not-cancelled", "cancelAction", "rejected", "none"),
    ],
)
def test_each_state_is_told_as_ddi_has_it(recorder, state: State, place, execution, finished):
    assert engine(recorder.url).tell("11", state, "p99 latency\nover budget") is True
    asked, _, body = recorder.heard[0]
    assert asked == f"POST {BASE}/{place}/11/feedback"
    assert body == {
        "id": "11",
        "status": {
            "execution": execution,
            "result": {"finished": finished},
            "details": ["p99 latency over budget"],
        },
    }


@pytest.mark.parametrize("status", [404, 410])
def test_news_of_a_closed_action_is_not_owed(recorder, status):
    recorder.say(f"POST {BASE}/deploymentBase/11/feedback", {}, status)
    assert engine(recorder.url).tell("11", "done") is False


def test_a_verdict_that_could_not_be_told_is_told_by_the_next_process(recorder):
    recorder.offer()
    recorder.say(f"POST {BASE}/deploymentBase/11/feedback", {}, 500)
    job = engine(recorder.url).wanted().job
    with pytest.raises(DownloadError):
        engine(recorder.url).tell(job, "done")

    recorder.say(f"POST {BASE}/deploymentBase/11/feedback", {})
    assert engine(recorder.url).wanted().job == job
    assert engine(recorder.url).tell(job, "done") is True


def test_an_action_without_our_module_is_closed_as_failed(recorder):
    recorder.offer(name="other-model")
    assert engine(recorder.url).wanted() is None
    asked, _, body = recorder.heard[-1]
    assert asked == f"POST {BASE}/deploymentBase/11/feedback"
    assert body["status"]["result"]["finished"] == "failure"
    assert "ecg-beats" in body["status"]["details"][0]


def test_outside_the_maintenance_window_nothing_is_wanted_and_nothing_told(recorder):
    recorder.offer(update="skip")
    assert engine(recorder.url).wanted() is None
    assert recorder.asked == [f"GET {BASE}", f"GET {BASE}/deploymentBase/11"]


@pytest.mark.parametrize("job", ["11", "12"])
def test_a_cancellation_names_the_action_and_is_answered_at_its_own_id(recorder, job):
    recorder.offer("cancelAction", job)
    hawkbit = engine(recorder.url)
    assert hawkbit.wanted() == Wanted("11", cancel=True)
    hawkbit.tell("11", "cancelled")
    assert recorder.asked[-1] == f"POST {BASE}/cancelAction/{job}/feedback"


def test_an_action_that_closed_since_the_poll_is_not_wanted(recorder):
    recorder.offer()
    recorder.say(f"GET {BASE}/deploymentBase/11", {}, 404)
    assert engine(recorder.url).wanted() is None


def test_attributes_are_sent_when_they_are_asked_for_and_only_then(recorder):
    engine(recorder.url, attributes={"profile": "raspberry-pi-5"}).wanted()
    assert recorder.asked == [f"GET {BASE}"]

    recorder.say(f"GET {BASE}", {"_links": {"configData": {"href": f"{BASE}/configData"}}})
    engine(recorder.url, attributes={"profile": "raspberry-pi-5"}).wanted()
    asked, _, body = recorder.heard[-1]
    assert asked == f"PUT {BASE}/configData"
    assert body == {"mode": "replace", "data": {"profile": "raspberry-pi-5"}}


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (302, "server"),
        (401, "login"),
        (403, "login"),
        (404, "unknown-device"),
        (429, "busy"),
        (500, "server"),
        (503, "busy"),
    ],
)
def test_a_refusal_says_why_and_never_the_token(recorder, caplog, status, reason):
    caplog.set_level(logging.DEBUG)
    page = b"<html>what a proxy says</html>"
    recorder.say(f"GET {BASE}", page, status, Location="http://127.0.0.1:1/", Retry_After="90")
    hawkbit = engine(recorder.url)
    with pytest.raises(DownloadError, match=f"HTTP {status}") as caught:
        hawkbit.wanted()
    assert caught.value.reason == reason
    assert (90 <= hawkbit.pause_s <= 108) is (reason == "busy")
    assert recorder.asked == [f"GET {BASE}"]
    assert TOKEN not in f"{caught.value!r} {hawkbit!r} {caplog.text}"


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"{}" + b" " * BYTES_MAX],
)
def test_garbage_is_later_not_a_crash(recorder, body):
    recorder.say(f"GET {BASE}", body)
    with pytest.raises(DownloadError) as caught:
        engine(recorder.url).wanted()
    assert caught.value.reason == "malformed"


@pytest.mark.parametrize("chunks", [None, {}, [7], [{"name": "ecg-beats"}], [{"version": "1"}]])
def test_a_deployment_of_nonsense_is_later_not_a_crash(recorder, chunks):
    recorder.offer()
    recorder.say(f"GET {BASE}/deploymentBase/11", {"deployment": {"chunks": chunks}})
    with pytest.raises(DownloadError) as caught:
        engine(recorder.url).wanted()
    assert caught.value.reason == "malformed"


def silent(connection: socket.socket, ended: threading.Event) -> None:
    ended.wait()


def dripping(connection: socket.socket, ended: threading.Event) -> None:
    """A header that never ends, a letter now and then: no single read is ever late."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while not ended.wait(0.02):
        connection.sendall(b"x")


def dripping_tls(connection: socket.socket, ended: threading.Event) -> None:
    """A handshake that never ends: the head of a record of 16 KiB, then a byte now and then."""
    connection.sendall(b"\x16\x03\x03\x40\x00")
    while not ended.wait(0.02):
        connection.sendall(b"\0")


@pytest.mark.parametrize(
    ("scheme", "behave"), [("http", silent), ("http", dripping), ("https", dripping_tls)]
)
def test_a_server_that_hangs_or_drips_ends_at_the_deadline(
    scheme: str, behave: Callable[[socket.socket, threading.Event], None]
):
    ended = threading.Event()

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            behave(connection, ended)

    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((HOST, 0)))
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        stack.callback(thread.join)
        stack.callback(ended.set)
        began = time.monotonic()
        with pytest.raises(DownloadError) as caught:
            engine(f"{scheme}://{HOST}:{listener.getsockname()[1]}", timeout_s=0.5).wanted()
        assert caught.value.reason == "too-slow"
        assert 0.4 < time.monotonic() - began < 5.0


def test_a_server_that_is_not_there_is_later():
    with socket.socket() as unused:
        unused.bind((HOST, 0))
        with pytest.raises(DownloadError) as caught:
            engine(f"http://{HOST}:{unused.getsockname()[1]}").wanted()
    assert caught.value.reason == "connection"


def test_a_certificate_of_nobody_we_know_is_refused_and_a_known_one_taken(recorder, certificates):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server, certificates.server_key)
    recorder._server.socket = context.wrap_socket(recorder._server.socket, server_side=True)
    recorder.say(f"GET {BASE}", {})
    url = recorder.url.replace("http://127.0.0.1", "https://localhost")

    with pytest.raises(DownloadError) as caught:
        engine(url).wanted()
    assert caught.value.reason == "certificate"
    assert recorder.heard == []
    assert engine(url, ca_file=str(certificates.ca)).wanted() is None


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"url": "http://hawkbit.example"}, "url"),
        ({"url": "https://user:word@hawkbit.example"}, "url"),
        ({"url": "ftp://hawkbit.example"}, "url"),
        ({"token": "two words"}, "token"),
        ({"token": "line\r\nX: y"}, "token"),
        ({"token_file": "beside"}, "token_file"),
    ],
)
def test_a_careless_option_is_refused_without_showing_the_token(options, key):
    with pytest.raises(BadOptionError) as caught:
        engine(**{"url": "https://hawkbit.example", **options})
    assert caught.value.key == key
    assert "line" not in str(caught.value)
