"""Whole, resumed, redirected, over TLS, from a stick: how bytes come when nobody means harm."""

from __future__ import annotations

import errno
import functools
import http.server
import os
import signal
import socket
import struct
import threading
import time
from pathlib import Path

import pytest

from edge_runtime.errors import ConfigError, DownloadError
from edge_runtime.update.remote import mirrors
from edge_runtime.update.remote.download import bring
from edge_runtime.update.remote.fetch import Fetcher

from .boards import BUNDLE, WANTED, failure, get
from .servers import (
    Server,
    altered,
    certificate,
    ignoring_range,
    redirect,
    reset,
    status,
    truncated,
)


@pytest.fixture
def server():
    with Server({"b": BUNDLE}) as serving:
        yield serving


def test_a_redirect_on_the_same_host_is_followed(part, server):
    server.files = {"c": BUNDLE}
    server.badly("b", redirect("/c"))

    get(part, server)

    assert part.read_bytes() == BUNDLE


def test_tls_is_read_with_the_authority_that_was_given(part, tmp_path):
    with Server({"b": BUNDLE}, certificate(tmp_path)) as safe:
        get(part, safe, ca_file=tmp_path / "ca.pem")
    assert part.read_bytes() == BUNDLE


@pytest.mark.parametrize("fault", ["unknown", "host", "expired"])
def test_tls_that_cannot_be_verified_is_refused(part, tmp_path, fault):
    context = certificate(
        tmp_path,
        "other.example" if fault == "host" else "127.0.0.1",
        days=-1 if fault == "expired" else 1,
    )
    with Server({"b": BUNDLE}, context) as safe:
        caught = failure(part, safe, ca_file=None if fault == "unknown" else tmp_path / "ca.pem")

    assert (type(caught), caught.reason) == (DownloadError, "tls")
    assert "certificate" in str(caught)
    assert safe.requests == []


@pytest.mark.parametrize(
    "mirror",
    [
        "http://example.com/",
        "ftp://example.com/",
        "https://",
        "https://u:secret@h/",
        "https://u:secret/x@h/",
        "https://models..example.com/",
        "https://example.com/a b",
        "https://example.com/\u00e9",
        "file://",
        "file://media/stick",
    ],
)
def test_an_address_that_is_not_safe_is_refused(mirror):
    with pytest.raises(ConfigError, match="repository") as caught:
        mirrors.address(mirror)
    assert "secret" not in str(caught.value)


def test_addresses_that_are_safe():
    assert mirrors.address("https://h/r") == "https://h/r/"
    assert mirrors.address("http://localhost:1/") == "http://localhost:1/"
    assert mirrors.address("http://[::1]:1") == "http://[::1]:1/"
    assert mirrors.address("file://localhost/media/x") == "file://localhost/media/x/"
    assert mirrors.address("/media/a stick") == "file:///media/a%20stick/"


def test_a_transfer_goes_on_where_it_ended(part, server):
    part.write_bytes(BUNDLE[:150_000])

    get(part, server)

    assert part.read_bytes() == BUNDLE
    assert [headers["Range"] for headers in server.asked("b")] == ["bytes=150000-"]


def test_what_is_whole_is_not_asked_for(part, server):
    part.write_bytes(BUNDLE)

    get(part, server)

    assert server.requests == []


def test_a_server_without_ranges_sends_all_of_it(part, server):
    server.badly("b", ignoring_range)
    part.write_bytes(BUNDLE[:150_000])

    get(part, server)

    assert part.read_bytes() == BUNDLE


@pytest.mark.parametrize("held", [b"\0" * 1000, b"\0" * len(BUNDLE), b"\0" * (len(BUNDLE) + 1)])
def test_a_part_that_is_wrong_is_fetched_again(part, server, held):
    part.write_bytes(held)

    get(part, server)

    assert part.read_bytes() == BUNDLE


def test_a_part_of_another_file_is_not_taken(part, server):
    server.files = {"b": BUNDLE + b"longer"}
    part.write_bytes(BUNDLE[:1000])

    assert failure(part, server).reason == "oversize"
    assert part.stat().st_size <= WANTED.length


def test_a_range_that_the_server_cannot_give_is_no_end(part, server):
    part.write_bytes(BUNDLE[:150_000])
    server.badly(
        "b",
        lambda handler, content: (
            status(416)(handler, b"")
            if handler.headers.get("Range")
            else ignoring_range(handler, content)
        ),
    )

    get(part, server)

    assert part.read_bytes() == BUNDLE


def test_a_part_that_nobody_asked_for_is_not_taken(part, server):
    server.badly("b", status(206, Content_Range=f"bytes 5-6/{WANTED.length}"))

    assert failure(part, server).reason == "range"
    assert part.read_bytes() == b""


def test_a_line_that_breaks_again_and_again_gets_there(part, server):
    for behaviour in (truncated(60_000), reset(60_000)):
        part.unlink(missing_ok=True)
        server.badly("b", behaviour)
        get(part, server)
        assert part.read_bytes() == BUNDLE


def test_a_line_that_brings_nothing_is_given_up(part, server):
    server.badly("b", truncated(0))

    caught = failure(part, server)

    assert (type(caught), caught.reason) == (DownloadError, "truncated")
    assert len(server.requests) == 1


def test_a_transfer_survives_the_death_of_its_process(part, server):
    server.badly("b", truncated(120_000))
    child = os.fork()
    if child == 0:
        with Fetcher() as fetcher:
            bring(
                WANTED,
                [f"{server.url}b"],
                part,
                fetcher=fetcher,
                progress=lambda done, _: done > 100_000 and os.kill(os.getpid(), signal.SIGKILL),
            )
        os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    held = part.stat().st_size
    assert held > 100_000
    server.well()

    get(part, server)

    assert part.read_bytes() == BUNDLE
    assert server.asked("b")[-1]["Range"] == f"bytes={held}-"


def test_progress_is_told_to_the_end(part, server):
    told: list[tuple[int, int]] = []
    with Fetcher() as fetcher:
        bring(
            WANTED, [f"{server.url}b"], part, fetcher=fetcher, progress=lambda *at: told.append(at)
        )

    assert told == sorted(told)
    assert told[-1] == (WANTED.length, WANTED.length)


def test_a_link_in_the_place_of_the_part_is_not_followed(part, server, tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    part.symlink_to(victim)

    assert failure(part, server).reason == "link"
    assert victim.read_bytes() == b"precious"


def test_a_full_disk_is_said_and_no_other_mirror_asked(part, server):
    full = Path("/dev/full")
    caught = failure(full, server, server)

    assert (type(caught), caught.reason) == (DownloadError, "no-space")
    assert str(caught).startswith("/dev/full: ")
    assert len(server.requests) == 1


@pytest.mark.parametrize(("code", "reason"), [(errno.ENOSPC, "no-space"), (errno.EIO, "disk")])
def test_a_disk_that_gives_way_at_the_last_moment_is_said(part, server, monkeypatch, code, reason):
    """Where space is found late (btrfs, quotas, a network's disk) fsync is who says so."""

    def fsync(_descriptor):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fsync)

    caught = failure(part, server, server)

    assert (type(caught), caught.reason) == (DownloadError, reason)
    assert str(caught).startswith(f"{part}: ")
    assert len(server.requests) == 1


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_pipe_or_a_folder_on_a_stick_is_no_file(tmp_path, part, make):
    make(tmp_path / "b")
    open_before = len(list(Path("/proc/self/fd").iterdir()))

    assert failure(part, (tmp_path / "b").as_uri()).reason == "not-found"
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before


def test_a_resumed_file_of_a_stick(tmp_path, part):
    (tmp_path / "b").write_bytes(BUNDLE)
    part.write_bytes(BUNDLE[:1000])

    get(part, (tmp_path / "b").as_uri())

    assert part.read_bytes() == BUNDLE


def test_an_encoding_that_nobody_asked_for_is_refused(part, server):
    server.badly("b", status(200, Content_Encoding="gzip"))

    assert failure(part, server).reason == "encoding"


def test_a_kept_connection_that_the_server_closed_is_made_anew(server):
    with Fetcher() as fetcher:
        for _ in range(2):
            assert fetcher.read(f"{server.url}b", WANTED.length, time.monotonic() + 30) == BUNDLE
        assert server.connections == 1
        server.badly(
            "b",
            lambda handler, content: (
                altered(lambda _: content)(handler, content),
                handler.connection.shutdown(socket.SHUT_RDWR),
            ),
        )
        fetcher.read(f"{server.url}b", WANTED.length, time.monotonic() + 30)
        server.well()
        assert fetcher.read(f"{server.url}b", WANTED.length, time.monotonic() + 30) == BUNDLE
        assert server.connections == 2


def test_a_kept_connection_of_tls_that_was_reset_is_made_anew(tmp_path):
    """As balancers do with what was idle for too long; here between metadata and bundle."""
    was_read, is_gone = threading.Event(), threading.Event()

    def and_reset(handler, content):
        ignoring_range(handler, content)
        was_read.wait(10)
        with socket.socket(fileno=handler.connection.detach()) as plain:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.close_connection = True
        is_gone.set()

    with Server({"b": BUNDLE}, certificate(tmp_path)) as safe:
        safe.badly("b", and_reset)
        with Fetcher(ca_file=tmp_path / "ca.pem") as fetcher:
            fetcher.read(f"{safe.url}b", WANTED.length, time.monotonic() + 30)
            was_read.set()
            assert is_gone.wait(10)
            safe.well()
            assert fetcher.read(f"{safe.url}b", WANTED.length, time.monotonic() + 30) == BUNDLE
        assert safe.connections == 2


def test_a_host_that_does_not_exist_is_named(part):
    assert failure(part, "https://no-such-host.invalid/b").reason == "name"


def test_a_port_that_nobody_listens_at(part):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

    assert failure(part, f"http://127.0.0.1:{port}/b").reason == "connection"


def test_a_bundle_that_is_too_short_is_never_whole(part, server):
    server.files = {"b": b"evil"}

    assert failure(part, server).reason == "truncated"
    assert part.read_bytes() == b"evil"


@pytest.mark.parametrize("protocol", ["HTTP/1.0", "HTTP/1.1"])
def test_a_server_that_hangs_up_after_each_answer_is_read_as_any(tmp_path, protocol):
    """Such as `python -m http.server`, and nginx with `keepalive_timeout 0`."""
    content = bytes(range(256)) * 4096
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "b").write_bytes(content[::-1])

    class Handler(http.server.SimpleHTTPRequestHandler):
        protocol_version = protocol

        def end_headers(self):
            self.send_header("Connection", "close")
            super().end_headers()

        def log_message(self, *_):
            pass

    handler = functools.partial(Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as plain:
        threading.Thread(target=plain.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{plain.server_port}"
        end = time.monotonic() + 20
        with Fetcher() as fetcher:
            assert fetcher.read(f"{url}/a", len(content), end) == content
            with pytest.raises(DownloadError):
                fetcher.read(f"{url}/none", 9, end)
            assert fetcher.read(f"{url}/b", len(content), end) == content[::-1]
        plain.shutdown()
