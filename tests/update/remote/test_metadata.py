"""A refresh that goes well, and the clocks, moves and mishaps that it must get through."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from edge_runtime.errors import DownloadError, VerificationError
from edge_runtime.update.remote import metadata
from edge_runtime.update.remote.fetch import Fetcher
from edge_runtime.update.remote.sets import Sets

from .boards import BUNDLE, DAY, Board, fetched, versions
from .repository import Repository, new_key
from .servers import Server, altered


def test_a_release_is_found_and_its_bundle_brought(board, server, repository):
    part = fetched(board, server)

    assert part.read_bytes() == BUNDLE
    found = board.refresh(server)
    assert [(r.name, r.version, r.counter) for r in found.releases] == [("lamp", "1.0.0", 1)]
    assert found.expires == repository.now + 7 * DAY
    assert found.proven_time == repository.now


def test_a22_a_clock_at_1970_is_named_before_anything_is_asked(board, server):
    board.now = 3600

    assert board.refused(server) == "clock"
    assert server.requests == []


def test_a22_a_clock_ten_years_ahead_installs_nothing(board, server, repository):
    board.now += 3650 * DAY

    assert board.refused(server) == "clock"  # the server's date gives it away
    assert board.refused(repository.write(board.folder.parent / "stick")) == "expired"

    board.now -= 3650 * DAY
    board.refresh(server)


def test_a22_the_clock_never_goes_below_what_metadata_proved(board, server, repository):
    board.refresh(server)
    board.now = repository.now - DAY

    assert board.refused(server) == "clock"
    board.truncate()
    assert board.refused(server) == "clock"


def test_a22_metadata_from_the_future_proves_the_clock_wrong(board, server, repository):
    repository.now += 2 * DAY
    repository.publish()

    assert board.refused(server) == "clock"


def test_a22_a_thief_of_the_timestamp_key_cannot_stop_a_device_for_good(board, server, repository):
    repository.now += 3000 * DAY
    repository.publish("timestamp")
    assert board.refused(server) == "clock"

    repository.now -= 3000 * DAY
    repository.rotate("timestamp")
    repository.publish()
    assert board.refresh(server).proven_time == repository.now


@pytest.mark.parametrize("days", [0, -1, 2**40, "7", True, None])
def test_a_timestamp_whose_birth_is_not_known_proves_no_time(board, server, repository, days):
    repository.timestamp.version += 1
    repository.put("timestamp")
    repository.timestamp.unrecognized_fields["x-edge-run-days"] = days
    repository.files["metadata/timestamp.json"] = repository.signature("timestamp")

    assert board.refresh(server).proven_time == 0


def test_a22_a_moment_that_the_caller_knows_is_a_floor(board, server):
    with pytest.raises(VerificationError, match="6600 s before"):
        board.refresh(server, floor=board.now + 7200)


def test_a_year_offline_ends_well(board, server, repository):
    board.refresh(server)
    repository.now += 364 * DAY
    board.now += 364 * DAY
    repository.release(b"newer", "2.0.0", counter=2)
    repository.publish("root", "targets", "snapshot", "timestamp")

    assert [release.version for release in board.refresh(server).releases] == ["1.0.0", "2.0.0"]


def test_three_rotations_of_root_are_followed(board, server, repository):
    for _ in range(3):
        repository.rotate_root()
    repository.publish()

    assert versions(board.refresh(server))["root"] == 4
    assert versions(board.refresh(server))["root"] == 4


def test_a_root_that_its_predecessor_did_not_sign_is_refused(board, server, repository):
    repository.signers["root"] = [new_key() for _ in range(3)]
    for key in repository.signers["root"]:
        repository.root.add_key(key.public_key, "root")
    repository.publish("root")

    assert board.refused(server) == "bad-signature"


def test_a_moved_repository_keeps_its_root_and_its_floor(board, repository):
    before = dict(repository.files)
    with Server(before) as old:
        repository.publish()
        with Server(repository.files) as moved:
            board.refresh(moved)
        assert board.refused(old) == "rollback"


def test_a_full_disk_does_not_hide_an_attack(board, server, repository, monkeypatch, caplog):
    board.refresh(server)
    repository.publish()
    name = f"metadata/{repository.snapshot.version}.snapshot.json"
    repository.files[name] = repository.files[name].replace(b"snapshot", b"snapshoT")

    def full(sets: Sets, made: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Sets, "commit", full)
    assert board.refused(server) == "mix-and-match"
    assert "what was seen is not kept: [Errno 28] No space left on device" in caplog.text


def test_another_repository_is_none_of_ours(board):
    other = Repository()
    other.publish("root")
    with Server(other.files) as serving:
        assert board.refused(serving) == "bad-signature"


def test_a_repository_without_consistent_snapshots_is_read(tmp_path):
    plain = Repository(consistent=False)
    plain.release(BUNDLE)
    plain.publish()
    with Server(plain.files) as serving:
        assert fetched(Board(tmp_path, plain), serving).read_bytes() == BUNDLE


def test_a_publication_between_two_requests_is_not_mixed(board, server, repository):
    """Consistent snapshots: who began with the old timestamp ends with the old targets."""

    def publish(handler, content):
        repository.release(b"newer", "2.0.0", counter=2)
        server.well()
        repository.publish()
        altered(lambda _: content)(handler, content)

    server.badly("timestamp.json", publish)

    assert [release.version for release in board.refresh(server).releases] == ["1.0.0"]
    assert len(board.refresh(server).releases) == 2


def test_a_folder_and_a_file_url_are_read_as_a_server_is(board, repository, tmp_path):
    stick = repository.write(tmp_path / "a stick")
    for mirror in (str(stick), stick.as_uri()):
        found = board.refresh(mirror)
        with Fetcher() as fetcher:
            part = tmp_path / "x.part"
            metadata.download(found, found.releases[0], part, fetcher=fetcher)
        assert part.read_bytes() == BUNDLE
        part.unlink()


def test_a_stick_that_is_not_there_is_no_attack(board, tmp_path):
    failure = board.failed(tmp_path / "no stick")

    assert isinstance(failure, DownloadError)
    assert failure.reason == "not-found"


@pytest.mark.parametrize("content", [b"", b"{}", b"<html>log in</html>", b"\xff" * 99, b"[" * 9999])
def test_what_is_no_metadata_is_malformed(board, server, repository, content):
    repository.files["metadata/timestamp.json"] = content

    assert board.refused(server) == "malformed"


def test_a_poll_without_news_is_two_requests_on_one_connection_and_writes_nothing(board, server):
    board.refresh(server)
    before = {path: path.stat().st_mtime_ns for path in board.folder.rglob("*")}
    server.requests.clear()
    server.connections = 0

    board.refresh(server)

    assert [path for path, _ in server.requests] == [
        "metadata/2.root.json",
        "metadata/timestamp.json",
    ]
    assert server.connections == 1
    assert {path: path.stat().st_mtime_ns for path in board.folder.rglob("*")} == before
