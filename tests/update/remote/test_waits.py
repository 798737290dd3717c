"""A server that asks for peace gets it, also from the next process; none asks for ever."""

from __future__ import annotations

import time

import pytest

from edge_runtime.update.remote.fetch import Fetcher
from edge_runtime.update.remote.mirrors import StatusError
from edge_runtime.update.remote.waits import LONGEST_S, Waits

from ...e2e.update_site import Site
from .servers import Server, status

START = 1_800_000_000.0


@pytest.fixture
def clock(monkeypatch):
    now = [START]
    monkeypatch.setattr("time.time", lambda: now[0])
    return now


@pytest.fixture
def kept(tmp_path):
    return tmp_path / "waits.json"


@pytest.fixture
def server():
    with Server({"b": b"bytes"}) as serving:
        yield serving


def read(server, kept=None):
    """As a process of its own would."""
    with Fetcher(waits=kept) as fetcher:
        return fetcher.read(f"{server.url}b", 100, time.monotonic() + 20)


def sent_away(server, kept=None):
    with pytest.raises(StatusError) as caught:
        read(server, kept)
    return caught.value


@pytest.mark.parametrize("code", [429, 503])
def test_a23_the_next_process_keeps_to_a_retry_after_as_well(server, kept, clock, code):
    server.badly("b", status(code, Retry_After="120"))
    first = sent_away(server, kept)
    assert 120 <= first.retry_after_s <= 144  # a fifth more, so that a fleet spreads
    server.well()

    clock[0] += 119
    again = sent_away(server, kept)
    assert (again.status, again.reason) == (code, "busy")
    assert str(again) == str(first)
    assert "asked to wait until 2027-01-15 08:0" in str(again)
    assert len(server.requests) == 1

    clock[0] += 26
    assert read(server, kept) == b"bytes"


def test_a23_the_wait_is_of_one_host_alone(server, kept, clock):
    server.badly("b", status(429, Retry_After="120"))
    sent_away(server, kept)
    with Server({"b": b"other"}) as other:
        assert read(other, kept) == b"other"
        other.badly("b", status(503, Retry_After="120"))
        sent_away(other, kept)

    server.well()
    sent_away(server, kept)  # what the other asked for has not wiped it out


def test_a23_a_wait_that_was_begun_with_the_clock_ahead_ends_when_it_is_set_back(
    server, kept, clock
):
    server.badly("b", status(429, Retry_After="120"))
    sent_away(server, kept)
    server.well()

    clock[0] -= 60
    assert read(server, kept) == b"bytes"


@pytest.mark.parametrize("asked", ["999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a23_no_wait_is_longer_than_two_days(server, kept, clock, asked):
    server.badly("b", status(429, Retry_After=asked))
    assert sent_away(server, kept).retry_after_s == LONGEST_S
    server.well()

    clock[0] += LONGEST_S - 1
    sent_away(server, kept)
    clock[0] += 2
    assert read(server, kept) == b"bytes"


@pytest.mark.parametrize("code", [403, 404, 500])
def test_a23_only_a_busy_server_is_left_alone(server, kept, clock, code):
    """A newer root that is not there is a 404 in each refresh: some add a Retry-After to it."""
    server.badly("b", status(code, Retry_After="120"))
    assert sent_away(server, kept).retry_after_s == 0
    server.well()

    assert read(server, kept) == b"bytes"
    assert not kept.exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"h": 1}', b'{"h": [1, 2]}', b'{"h": ["a", 1, 2]}', b"[" * 9999],
)
def test_a_file_that_was_cut_off_holds_no_waits(server, kept, clock, content):
    kept.write_bytes(content)
    assert read(server, kept) == b"bytes"


def test_a_file_that_promises_too_long_a_wait_is_not_believed(kept, clock):
    kept.write_text(f'{{"h": [{START - 1}, {START + 1 + LONGEST_S}, 429]}}')
    assert Waits(kept).of("h") is None


def test_a_disk_that_takes_nothing_keeps_nobody_from_waiting_now(tmp_path, clock):
    waits = Waits(tmp_path / "missing" / "waits.json")
    waits.begin("h", 60, 429)
    assert waits.of("h") is not None


def test_waits_that_are_over_are_dropped_from_the_file(kept, clock):
    Waits(kept).begin("old", 60, 429)
    clock[0] += 100
    Waits(kept).begin("new", 60, 429)
    assert b"old" not in kept.read_bytes()


def test_a23_a_timer_each_minute_asks_a_busy_server_once(tmp_path):
    site = Site(tmp_path)
    repo = tmp_path / "repo"
    files = {str(path.relative_to(repo)): path.read_bytes() for path in repo.rglob("*.json")}
    with Server(files) as server:
        server.badly("timestamp.json", status(429, Retry_After="600"))
        site.write(repository=server.url)
        for verb in ("check", "apply"):
            assert "429 and asked to wait until 20" in site.device(verb, code=1)
        assert len(server.asked("timestamp.json")) == 1
        assert server.connections == 1
        assert "nothing is released" in site.device("check", "--from", "repo")
