"""Servers that are slow, endless, short, rude or lost: what a device keeps, and what it says."""

from __future__ import annotations

import socket
import time

import pytest

from edge_runtime.errors import DownloadError, VerificationError
from edge_runtime.update.remote import metadata
from edge_runtime.update.remote.fetch import Fetcher
from edge_runtime.update.remote.mirrors import StatusError
from edge_runtime.update.remote.pace import Limits

from .boards import BUNDLE, QUICK, WANTED, Board, failure, get
from .repository import Repository
from .servers import (
    Server,
    altered,
    certificate,
    drip,
    drip_headers,
    endless,
    flipped,
    redirect,
    reset,
    silent,
    status,
    truncated,
)


@pytest.fixture
def server():
    with Server({"b": BUNDLE}) as serving:
        yield serving


def test_a04_endless_metadata_ends_at_its_cap(tmp_path, repository):
    board = Board(tmp_path, repository)
    for name in ("2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json"):
        with Server(repository.files) as serving:
            serving.badly(name, endless)
            assert board.refused(serving) == "oversize"
    used = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert used < 100_000


def test_a04_a_length_over_the_cap_is_refused_before_it_is_read(tmp_path, repository):
    board = Board(tmp_path, repository)
    with Server(repository.files) as serving:
        serving.badly("timestamp.json", altered(lambda _: b" " * 20_000_000))
        assert board.refused(serving) == "oversize"


def test_a05_an_endless_bundle_ends_at_its_length(part, server):
    server.badly("b", endless)

    assert failure(part, server).reason == "oversize"
    assert part.stat().st_size <= WANTED.length


def test_a05_a_longer_bundle_is_refused(part, server):
    server.badly("b", altered(lambda content: content + b"x"))

    assert failure(part, server).reason == "oversize"
    assert part.stat().st_size <= WANTED.length


@pytest.mark.parametrize("slow", [drip, drip_headers, silent])
def test_a06_a_slow_bundle_is_given_up(part, server, slow):
    server.badly("b", slow)
    began = time.monotonic()

    caught = failure(part, server, limits=QUICK)

    assert (type(caught), caught.reason) == (DownloadError, "too-slow")
    assert server.url in str(caught)
    assert time.monotonic() - began < 10
    assert part.stat().st_size < 1000


@pytest.mark.parametrize("slow", [drip, drip_headers, silent])
@pytest.mark.parametrize("name", ["2.root.json", "timestamp.json"])
def test_a06_slow_metadata_is_given_up(tmp_path, repository, slow, name):
    with Server(repository.files) as serving:
        serving.badly(name, slow)
        began = time.monotonic()
        caught = Board(tmp_path, repository).failed(serving, limits=QUICK)

    assert (type(caught), caught.reason) == (DownloadError, "too-slow")
    assert time.monotonic() - began < 10


def test_a06_the_deadline_holds_for_a_server_that_is_just_quick_enough(part, server):
    server.badly("b", drip)
    limits = Limits(metadata_s=0.5, rate=1, window_s=0.2)
    with (
        pytest.raises(DownloadError, match="deadline"),
        Fetcher(limits=limits) as fetcher,
        fetcher.open(f"{server.url}b", end=limits.end()) as answer,
    ):
        list(answer.chunks)


def test_a06_a_connection_that_nobody_accepts_is_given_up(part):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        url = f"https://127.0.0.1:{deaf.getsockname()[1]}/b"
        assert failure(part, url, limits=QUICK).reason == "too-slow"


def test_a15_a_bad_first_mirror_costs_nothing_but_time(tmp_path, repository, part):
    evil = Repository()
    evil.release(b"evil", "6.6.6", counter=666)
    evil.publish()
    board = Board(tmp_path, repository)
    with Server(evil.files) as bad, Server(repository.files) as good:
        found = board.refresh(bad, good)
        assert [release.version for release in found.releases] == ["1.0.0"]
        assert found.mirrors == (good.url, bad.url)


@pytest.mark.parametrize(
    "behaviour",
    [
        altered(flipped),
        endless,
        drip,
        truncated(1000),
        reset(1000),
        status(500),
        status(403),
        redirect("https://evil.example/b"),
    ],
    ids=["altered", "endless", "drip", "truncated", "reset", "500", "403", "redirect"],
)
def test_a15_the_second_mirror_gives_the_bundle_in_the_same_cycle(part, server, behaviour):
    with Server({"b": BUNDLE}) as bad:
        bad.badly("b", behaviour)
        assert get(part, bad, server, limits=QUICK) == f"{server.url}b"

    assert part.read_bytes() == BUNDLE


def test_a15_bytes_that_a_mirror_spoilt_are_fetched_again(part, server):
    """The first begins wrongly and breaks off; the second resumes, sees it, begins anew."""
    with Server({"b": b"\0" * len(BUNDLE)}) as bad:
        bad.badly("b", truncated(50_000))
        get(part, bad, server)

    assert part.read_bytes() == BUNDLE
    assert [headers.get("Range") for headers in server.asked("b")] == ["bytes=50000-", None]


def test_a15_when_no_mirror_will_do_the_attack_is_what_is_told(tmp_path, repository):
    evil = Repository()
    evil.publish("root")
    with Server({}) as empty, Server(evil.files) as bad:
        caught = Board(tmp_path, repository).failed(empty, bad)

    assert (type(caught), caught.reason) == (VerificationError, "bad-signature")
    assert empty.url in str(caught)
    assert bad.url in str(caught)


@pytest.mark.parametrize(
    ("code", "reason"), [(403, "forbidden"), (404, "not-found"), (429, "busy"), (500, "server")]
)
def test_a23_a_status_is_named(part, server, code, reason):
    server.badly("b", status(code))

    caught = failure(part, server)

    assert isinstance(caught, StatusError)
    assert (caught.status, caught.reason, caught.retry_after_s) == (code, reason, 0)


@pytest.mark.parametrize("value", ["120", "date"])
def test_a23_retry_after_is_told_and_kept_to(tmp_path, repository, value):
    stamp = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 120))
    with Server(repository.files) as serving, Fetcher() as fetcher:
        serving.badly(
            "timestamp.json", status(429, Retry_After=stamp if value == "date" else "120")
        )
        ask = lambda: metadata.refresh(  # noqa: E731
            tmp_path / "tuf", repository.first_root, [serving.url], fetcher, now=int(time.time())
        )
        with pytest.raises(StatusError) as caught:
            ask()
        assert 110 < caught.value.retry_after_s <= 1.2 * 120
        asked = len(serving.requests)
        with pytest.raises(StatusError, match="asked to wait until"):
            ask()
        assert len(serving.requests) == asked


@pytest.mark.parametrize(
    "location",
    [
        "http://other.example/b",
        "https://other.example/b",
        "ftp://127.0.0.1/b",
        "file:///etc/passwd",
        "http://127.0.0.1:99999/b",
        "http://[/b",
        "http://u:p@127.0.0.1/b",
        "/\u00e9",
        "/a b",
        "",
    ],
)
def test_a23_a_redirect_elsewhere_is_not_followed(part, server, location):
    server.badly("b", redirect(location))

    assert failure(part, server).reason == "redirect"


def test_a23_a_redirect_from_tls_to_plain_is_not_followed(part, server, tmp_path):
    with Server({"b": BUNDLE}, certificate(tmp_path)) as safe:
        safe.badly("b", redirect(f"{server.url}b"))
        assert failure(part, safe, ca_file=tmp_path / "ca.pem").reason == "redirect"
    assert server.requests == []


def test_a23_what_a_redirect_adds_to_the_address_is_never_told(part, server, caplog):
    """Object stores put a signature there that opens the door for whoever has it."""
    server.badly("?", status(403))
    server.badly("b", redirect("/c?signature=s3cret"))

    assert failure(part, server).reason == "forbidden"
    server.badly("?", silent)
    assert failure(part, server, limits=QUICK).reason == "too-slow"
    assert server.asked("signature=s3cret")
    assert "s3cret" not in caplog.text


def test_a23_a_status_is_told_though_its_page_breaks_off(part, server):
    def short(handler, _content):
        handler.send_response(404)
        handler.send_header("Content-Length", "50")
        handler.end_headers()
        handler.wfile.write(b"no")
        handler.close_connection = True

    server.badly("b", short)

    assert failure(part, server).reason == "not-found"


def test_a23_redirects_in_a_circle_end(part, server):
    server.badly("b", redirect("/b"))

    assert failure(part, server).reason == "redirect"
    assert len(server.requests) == 5
