"""What a repository, a mirror or a thief of keys can try, and the name that each attempt gets."""

from __future__ import annotations

import json

import pytest
from securesystemslib.signer import Signature
from tuf.api.metadata import DelegatedRole, Delegations, Metadata
from tuf.ngclient import Updater

from edge_runtime.errors import VerificationError
from edge_runtime.update.choose import Device, choose
from edge_runtime.update.store.journal import Installed, Journal

from .boards import DAY, fetched, versions
from .repository import new_key
from .servers import altered, flipped

LAMP = Device(
    name="board-1",
    model="lamp",
    task="classify",
    profile="raspberry-pi-5",
    arch="aarch64",
    formats=("tflite",),
    memory_mb=1024,
    version="0.1.0",
)


def test_a01_an_altered_bundle_of_the_same_length_is_refused(board, server):
    server.badly("targets/", altered(flipped))

    with pytest.raises(VerificationError) as caught:
        fetched(board, server)

    assert caught.value.reason == "hash"
    assert (board.folder.parent / "release.part").read_bytes() == b""


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_a02_unsigned_metadata_is_refused(board, server, repository, role):
    board.refresh(server)
    repository.signers[role] = []
    repository.publish(*(["root"] if role == "root" else ["targets", "snapshot", "timestamp"]))

    assert board.refused(server) == "bad-signature"


def test_a02_one_key_that_signs_twice_does_not_make_two(board, server, repository):
    repository.root.version += 1
    metadata_ = Metadata(repository.root)
    first, second = repository.signers["root"][:2]
    once = metadata_.sign(first)
    metadata_.signatures[second.public_key.keyid] = Signature(
        second.public_key.keyid, once.signature
    )
    repository.files["metadata/2.root.json"] = metadata_.to_bytes()

    assert board.refused(server) == "bad-signature"


def test_a02_a_key_that_is_named_twice_is_malformed(board, server, repository):
    repository.root.version += 1
    repository.put("root")
    content = json.loads(repository.files["metadata/2.root.json"])
    content["signatures"] = [content["signatures"][0]] * 2
    repository.files["metadata/2.root.json"] = json.dumps(content).encode()

    assert board.refused(server) == "malformed"


def test_a03_a_release_signed_by_an_unknown_key_is_refused(board, server, repository):
    board.refresh(server)
    repository.signers["targets"] = [new_key()]
    repository.release(b"evil", "6.6.6", counter=666)
    repository.publish()

    assert board.refused(server) == "bad-signature"


def test_a07_a_replayed_repository_is_refused_from_its_expiry_on(board, server, repository):
    board.refresh(server)

    board.now = repository.now + 7 * DAY - 60
    board.refresh(server)
    board.now = repository.now + 7 * DAY + 60
    server.ahead_s = 7 * DAY + 60

    assert board.refused(server) == "expired"
    assert board.refused(repository.write(board.folder.parent / "stick")) == "expired"

    repository.now = board.now
    repository.publish("snapshot", "timestamp")
    board.refresh(server)


@pytest.mark.parametrize("old", ["timestamp", "snapshot", "targets"])
def test_a08_older_metadata_is_refused(board, server, repository, old):
    repository.publish()
    board.refresh(server)
    getattr(repository, old).version -= 1

    if old == "timestamp":
        repository.put("timestamp")
    elif old == "snapshot":
        repository.put("snapshot")
        repository.publish("timestamp")
    else:
        repository.put("targets")
        repository.publish("snapshot", "timestamp")

    assert board.refused(server) == "rollback"


def test_a09_a_rollback_after_truncation_is_refused(board, server, repository):
    before = dict(repository.files)
    repository.release(b"newer", "2.0.0", counter=2)
    repository.publish()
    board.refresh(server)
    board.truncate()
    server.files = before

    assert board.refused(server) == "rollback"

    server.files = repository.files
    assert versions(board.refresh(server))["targets"] == 3


def test_a09_python_tuf_alone_takes_the_rollback(tmp_path, server, repository):
    """The reason for our floor: without it the same cut and the same attack succeed."""
    before = dict(repository.files)
    repository.publish()

    def refresh() -> int:
        bare = Updater(str(tmp_path), f"{server.url}metadata/", bootstrap=repository.first_root)
        bare.refresh()
        return json.loads((tmp_path / "timestamp.json").read_bytes())["signed"]["version"]

    assert refresh() == 3
    for path in tmp_path.rglob("*.json"):
        path.write_bytes(b"")
    server.files = before

    assert refresh() == 2


@pytest.mark.parametrize("lost", ["top", "set"])
def test_a09_one_of_the_two_floors_is_enough(board, server, repository, lost):
    before = dict(repository.files)
    repository.publish()
    board.refresh(server)
    board.truncate()
    for path in board.folder.rglob("floor.json"):
        if (path.parent == board.folder) == (lost == "top"):
            path.write_bytes(b"")
    server.files = before

    assert board.refused(server) == "rollback"


def test_a09_an_old_root_is_refused_after_truncation(board, server, repository):
    """Or else the keys that the newer root took away would count again."""
    before = dict(repository.files)
    repository.rotate("targets")
    repository.publish()
    board.refresh(server)
    board.truncate()
    server.files = before

    assert board.refused(server) == "rollback"


def test_a10_newer_metadata_that_lists_an_older_release_installs_nothing(board, server, repository):
    journal = Journal(active=Installed("0" * 64, "lamp", "2.0.0", 2), floor=(("lamp", 2),))
    del repository.targets.targets["lamp/1.0.0.tar"]
    older = repository.release(b"older", "1.5.0", counter=1)
    repository.publish()

    chosen = choose(board.refresh(server).releases, LAMP, journal, board.now)

    assert chosen.release is None
    assert chosen.refused == ((older, "older"),)

    back = repository.release(b"older", "1.5.0", counter=1, percent=100.0, allow_downgrade=True)
    repository.publish()
    assert choose(board.refresh(server).releases, LAMP, journal, board.now).release == back


@pytest.mark.parametrize(
    "facts",
    [
        {"archs": ("riscv64",)},
        {"profiles": ("jetson-orin-nano",)},
        {"task": "detect"},
        {"formats": ("onnx",)},
        {"min_memory_mb": 4096},
        {"min_version": "99.0"},
        {"name": "other"},
    ],
    ids=lambda facts: next(iter(facts)),
)
def test_a13_a_release_for_another_device_is_refused_before_it_is_fetched(
    board, server, repository, facts
):
    repository.targets.targets.clear()
    other = repository.release(b"other", "2.0.0", **{"counter": 2, "percent": 100.0} | facts)
    repository.publish()

    chosen = choose(board.refresh(server).releases, LAMP, Journal(), board.now)

    assert chosen.release is None
    assert chosen.refused == ((other, "incompatible"),)
    assert server.asked("targets/") == []


def test_a11_a_repository_recovers_from_fast_forward_by_new_keys(board, server, repository):
    repository.timestamp.version = repository.snapshot.version = 2**31 - 2
    repository.publish("snapshot", "timestamp")
    assert versions(board.refresh(server))["timestamp"] == 2**31 - 1

    repository.timestamp.version = repository.snapshot.version = 5
    repository.publish()
    assert board.refused(server) == "rollback"

    repository.rotate("timestamp", "snapshot")
    repository.publish()
    assert versions(board.refresh(server))["timestamp"] == 7


def test_a11_the_recovery_holds_also_after_truncation(board, server, repository):
    repository.timestamp.version = repository.snapshot.version = 2**31 - 2
    repository.publish("snapshot", "timestamp")
    board.refresh(server)
    repository.timestamp.version = repository.snapshot.version = 5
    repository.rotate("timestamp", "snapshot")
    repository.publish()
    recovered = dict(repository.files)
    repository.publish()
    assert versions(board.refresh(server))["timestamp"] == 7
    board.truncate()
    server.files = recovered

    assert board.refused(server) == "rollback"


def test_a12_files_of_two_states_do_not_mix(board, server, repository):
    old = repository.files["metadata/2.targets.json"]
    repository.release(b"newer", "2.0.0", counter=2)
    repository.publish()
    repository.files["metadata/3.targets.json"] = old

    assert board.refused(server) == "mix-and-match"


def test_a12_a_snapshot_that_the_timestamp_does_not_name_is_refused(board, server, repository):
    repository.publish()
    repository.files["metadata/3.snapshot.json"] = repository.files["metadata/2.snapshot.json"]

    assert board.refused(server) == "mix-and-match"


def test_a12_a_snapshot_without_targets_is_refused(board, server, repository):
    board.refresh(server)
    repository.snapshot.meta.clear()
    repository.publish("snapshot", "timestamp")

    assert board.refused(server) == "mix-and-match"

    board.truncate()
    assert board.refused(server) == "malformed"


def test_a14_facts_that_no_release_has_make_it_unreadable(board, server, repository):
    repository.release(b"good", "2.0.0", counter=2)
    target = repository.targets.targets["lamp/1.0.0.tar"]
    target.unrecognized_fields["custom"]["edge-run"]["also_fetch"] = "https://evil.example/x"
    repository.publish()

    found = board.refresh(server)

    assert [release.version for release in found.releases] == ["2.0.0"]
    assert [path for path, _ in found.unreadable] == ["lamp/1.0.0.tar"]
    assert "also_fetch" in found.unreadable[0][1]


def test_a14_delegations_are_refused(board, server, repository):
    key = new_key()
    role = DelegatedRole("../../other", [key.public_key.keyid], 1, False, paths=["*"])
    repository.targets.delegations = Delegations(
        {key.public_key.keyid: key.public_key}, {role.name: role}
    )
    repository.publish()

    assert board.refused(server) == "delegation"
    assert {path.name for path in board.folder.parent.iterdir()} == {"tuf"}


def test_a16_keys_of_timestamp_and_snapshot_install_nothing(board, server, repository):
    board.refresh(server)
    repository.signers["targets"] = [new_key()]  # the thief has the two others
    repository.release(b"evil", "6.6.6", counter=666)
    repository.publish()

    assert board.refused(server) == "bad-signature"
    assert server.asked("targets/") == []


def test_a17_a_key_that_a_new_root_revoked_signs_no_more(board, server, repository):
    board.refresh(server)
    stolen = repository.signers["targets"]
    repository.rotate("targets")
    repository.publish()
    board.refresh(server)
    repository.signers["targets"] = stolen
    repository.release(b"evil", "6.6.6", counter=666)
    repository.publish()

    assert board.refused(server) == "bad-signature"


def test_a17_a_revocation_holds_though_the_rest_of_the_mirror_was_bad(board, server, repository):
    before = dict(repository.files)
    repository.rotate("targets")
    server.badly("timestamp.json", altered(flipped))
    assert board.refused(server) == "malformed"

    server.well()
    server.files = before

    assert board.refused(server) == "bad-signature"


def test_a18_three_hundred_new_roots_are_too_many_for_one_run(board, server, repository):
    for _ in range(299):
        repository.publish("root")
    repository.publish()

    assert board.refused(server) == "too-many-roots"
    assert versions(board.refresh(server))["root"] == 300
    assert len(server.asked("root.json")) == 256 + (300 - 257 + 1)


BAD_NAMES = [
    "../../etc/passwd",
    "/etc/passwd",
    "a/../../b.tar",
    "a/./b.tar",
    "a//b.tar",
    ".hidden",
    "a/.hidden",
    "nul\0.tar",
    "%2e%2e/b.tar",
    "back\\slash",
    "line\nfeed.tar",
    "right\u202eleft.tar",
    "\uff0e\uff0e/b.tar",
    "?",
    "x" * 4096,
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=[ascii(name)[:20] for name in BAD_NAMES])
def test_a19_names_that_lead_elsewhere_are_refused(board, server, repository, name):
    repository.targets.targets[name] = repository.targets.targets["lamp/1.0.0.tar"]
    repository.publish()

    assert board.refused(server) == "bad-name"
    assert {path.name for path in board.folder.parent.iterdir()} == {"tuf"}
