"""The TUF client workflow, by the protocol of the public conformance suite, over our client.

The suite itself starts the executable `conformance` beside this file; these are our own claims of
the same behaviours: what is trusted after each step, what was asked of the server, the exit code.
"""

from __future__ import annotations

import copy
import datetime as dt
import importlib.machinery
import importlib.util
import json
import random
import subprocess
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, MetaFile, TargetFile, Targets

from tests.needs import program

from .remote.boards import DAY
from .remote.repository import Repository, new_key
from .remote.servers import Server, altered, flipped

EXECUTABLE = Path(__file__).with_name("conformance")
CLIENT = EXECUTABLE.with_name("conformance_client.py")
KEYS = [new_key() for _ in range(10)]


def _main():
    loader = importlib.machinery.SourceFileLoader("conformance", str(CLIENT))
    loaded = importlib.util.module_from_spec(importlib.util.spec_from_loader("conformance", loader))
    loader.exec_module(loaded)
    return loaded.main


main = _main()


class Client:
    """The executable with its folders; in this process, for speed."""

    def __init__(self, folder: Path, server: Server, root: bytes) -> None:
        self.folder, self.targets = folder / "metadata", folder / "targets"
        self.folder.mkdir()
        self.targets.mkdir()
        self._url = server.url
        (folder / "root.json").write_bytes(root)
        assert main([*self._where(), "init", str(folder / "root.json")]) == 0

    def refresh(self) -> int:
        return main([*self._where(), "--metadata-url", f"{self._url}metadata", "refresh"])

    def download(self, name: str) -> int:
        urls = ["--metadata-url", f"{self._url}metadata", "--target-base-url"]
        target = [f"{self._url}targets", "--target-name", name, "--target-dir", str(self.targets)]
        return main([*self._where(), *urls, *target, "download"])

    def trusted(self) -> dict[str, int]:
        return {
            path.stem: json.loads(path.read_bytes())["signed"]["version"]
            for path in self.folder.glob("*.json")
        }

    def _where(self) -> list[str]:
        return ["--metadata-dir", str(self.folder)]


@pytest.fixture
def repository() -> Repository:
    return Repository()


@pytest.fixture
def server(repository):
    with Server(repository.files) as serving:
        yield serving


@pytest.fixture
def client(tmp_path, server, repository) -> Client:
    return Client(tmp_path, server, repository.first_root)


def asked(server: Server) -> list[str]:
    return [path.removeprefix("metadata/") for path, _ in server.requests]


def test_it_is_a_program_of_its_own(tmp_path, server, repository):
    (tmp_path / "root.json").write_bytes(repository.first_root)

    def run(*given: str, before: tuple[str, ...] = ()) -> int:
        command = [*before, EXECUTABLE, "--metadata-dir", tmp_path / "m", *given]
        return subprocess.run(command, check=False, capture_output=True).returncode

    (tmp_path / "m").mkdir()
    assert run("init", str(tmp_path / "root.json")) == 0
    assert server.requests == []
    assert run("--metadata-url", f"{server.url}metadata", "refresh") == 0
    assert run("--metadata-url", f"{server.url}nowhere", "refresh") == 1
    ahead = (program("faketime", "faketime"), "+8d")
    assert run("--metadata-url", f"{server.url}metadata", "refresh", before=ahead) == 1
    assert EXECUTABLE.stat().st_mode & 0o111


def test_the_first_refresh_asks_for_four_files(client, server):
    assert server.requests == []
    assert client.refresh() == 0
    assert asked(server) == ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]
    assert client.trusted() == {"root": 1, "timestamp": 1, "snapshot": 1, "targets": 1}


def test_a_download_refreshes_first(client, server):
    assert client.download("no such target") == 1
    assert len(asked(server)) == 4
    assert len(client.trusted()) == 4


@pytest.mark.parametrize("change", [lambda root: root["signed"].pop("version"), flipped])
def test_a_root_that_is_wrong_from_the_start_asks_for_nothing(tmp_path, server, repository, change):
    facts = json.loads(repository.first_root)
    if change is flipped:
        facts["signatures"] = facts["signatures"][:1]
    else:
        change(facts)
    client = Client(tmp_path, server, json.dumps(facts).encode())

    assert client.refresh() == 1
    assert server.requests == []


@pytest.mark.parametrize(
    ("role", "kept"),
    [
        ("root", {"root"}),
        ("timestamp", {"root"}),
        ("snapshot", {"root", "timestamp"}),
        ("targets", {"root", "timestamp", "snapshot"}),
    ],
)
def test_what_was_verified_before_the_fault_is_kept(client, repository, role, kept):
    repository.signers[role] = [new_key()]
    repository.publish(*(["root"] if role == "root" else ["targets", "snapshot", "timestamp"]))

    assert client.refresh() == 1
    assert set(client.trusted()) == kept
    assert client.trusted()["root"] == 1


def test_a_timestamp_of_the_same_version_is_not_taken(client, server, repository):
    assert client.refresh() == 0
    repository.timestamp.snapshot_meta = MetaFile(100)
    repository.put("timestamp")

    assert client.refresh() == 0
    assert asked(server)[-1] == "timestamp.json"
    held = json.loads((client.folder / "timestamp.json").read_bytes())
    assert held["signed"]["meta"]["snapshot.json"]["version"] == 1


def test_a_targets_file_that_is_not_listed_is_not_asked_for(client, server, repository):
    assert client.refresh() == 0
    repository.publish("targets")

    assert client.refresh() == 0
    assert asked(server)[-1] == "timestamp.json"


@pytest.mark.parametrize("where", ["snapshot", "timestamp"])
def test_a_hash_that_does_not_fit_is_refused(client, repository, where):
    assert client.refresh() == 0
    repository.publish("targets")
    if where == "snapshot":
        repository.snapshot.meta["targets.json"].hashes = {"sha256": "0" * 64}
    repository.publish("snapshot")
    if where == "timestamp":
        repository.timestamp.snapshot_meta.hashes = {"sha256": "0" * 64}
    repository.publish("timestamp")

    assert client.refresh() == 1
    assert client.trusted()["snapshot"] == (2 if where == "snapshot" else 1)
    assert client.trusted()["targets"] == 1


def test_unknown_fields_are_part_of_what_is_signed(client, repository):
    repository.root.unrecognized_fields["more"] = {"a": [1, "\u00e9"]}
    repository.root.roles["root"].unrecognized_fields["more"] = 1
    repository.publish("root")

    assert client.refresh() == 0
    assert client.trusted()["root"] == 2


@pytest.mark.parametrize("kind", ["rsa", "ecdsa", "ed25519"])
def test_keys_of_all_kinds_are_verified(client, repository, kind):
    key = getattr(CryptoSigner, f"generate_{kind}")()
    repository.root.roles["timestamp"].keyids.clear()
    repository.root.add_key(key.public_key, "timestamp")
    repository.signers["timestamp"] = [key]
    repository.publish("root", "timestamp")

    assert client.refresh() == 0
    repository.signers["timestamp"] = [getattr(CryptoSigner, f"generate_{kind}")()]
    repository.publish("timestamp")
    assert client.refresh() == 1


@pytest.mark.parametrize("seed", range(12))
def test_a_root_needs_its_own_keys_and_those_before_it(tmp_path, repository, server, seed):
    """Random chains of keys, thresholds and signatures, against the rule itself."""
    draw = random.Random(seed)
    root = repository.root
    del repository.files["metadata/1.root.json"]
    root.version, before, expected = 0, None, 0
    for _ in range(4):
        keys = draw.sample(range(10), draw.randint(1, 5))
        threshold = draw.randint(1, len(keys))
        signing = set(draw.sample(keys, draw.randint(threshold, len(keys))))
        if before:
            signing |= set(draw.sample(before[0], draw.randint(before[1], len(before[0]))))
            if draw.random() < 0.3:
                signing -= {draw.choice(sorted(signing))}
        root.roles["root"].keyids = [KEYS[i].public_key.keyid for i in keys]
        root.keys.update({KEYS[i].public_key.keyid: KEYS[i].public_key for i in keys})
        root.roles["root"].threshold = threshold
        repository.signers["root"] = [KEYS[i] for i in signing]
        repository.publish("root")
        good = len(signing & set(keys)) >= threshold and (
            before is None or len(signing & set(before[0])) >= before[1]
        )
        if good and expected == root.version - 1:
            expected = root.version
        before = (keys, threshold)
    client = Client(tmp_path, server, repository.files["metadata/1.root.json"])

    assert client.refresh() == (0 if expected == 4 else 1)
    assert client.trusted()["root"] == expected


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
@pytest.mark.parametrize(
    ("keys", "threshold", "signing"),
    [
        ([0], 1, [0]),
        ([0, 1, 2], 2, [2, 0]),
        ([0, 1, 2], 2, [2, 5]),
        ([0, 1], 2, [0]),
        ([0], 1, [1]),
    ],
)
def test_a_role_needs_its_threshold(client, repository, role, keys, threshold, signing):  # noqa: PLR0917
    entry = repository.root.roles[role]
    entry.keyids = [KEYS[i].public_key.keyid for i in keys]
    repository.root.keys.update({KEYS[i].public_key.keyid: KEYS[i].public_key for i in keys})
    entry.threshold = threshold
    repository.signers[role] = [KEYS[i] for i in signing]
    repository.publish("root", "targets", "snapshot", "timestamp")

    enough = len(set(keys) & set(signing)) >= threshold
    assert client.refresh() == (0 if enough else 1)
    assert (role in client.trusted()) == enough


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_what_is_expired_is_not_used(client, repository, role):
    assert client.refresh() == 0
    repository.now -= 400 * DAY
    if role == "root":
        repository.publish("root")
    else:
        after = {"targets": ["snapshot", "timestamp"], "snapshot": ["timestamp"]}.get(role, [])
        repository.publish(role)
        repository.now += 400 * DAY
        repository.publish(*after) if after else None

    assert client.refresh() == 1
    assert client.trusted()["root"] == (2 if role == "root" else 1)
    assert client.trusted()[role] == (2 if role == "root" else 1)


@pytest.mark.parametrize("role", ["snapshot", "timestamp", "targets"])
def test_new_keys_allow_counting_anew(client, repository, role):
    getattr(repository, role).version = 999
    repository.publish()
    assert client.refresh() == 0
    assert client.trusted()[role] == 1000
    rotated = {"targets": ["snapshot"], "snapshot": ["snapshot", "timestamp"]}.get(role, [role])
    getattr(repository, role).version = 1
    repository.rotate(*rotated)
    repository.publish()

    assert client.refresh() == 0
    assert client.trusted()[role] == 2


def delegate(repository: Repository, graph: dict[str, list[tuple[str, bool]]]) -> None:
    """Publish roles that delegate all paths to each other, in order; True ends the search."""
    names = {name for edges in graph.values() for name, _ in edges} | graph.keys()
    made = {name: Targets() for name in names} | {"targets": repository.targets}
    key = KEYS[0].public_key
    for name, edges in graph.items():
        roles = {
            child: DelegatedRole(child, [key.keyid], 1, terminating, paths=["*"])
            for child, terminating in edges
        }
        made[name].delegations = Delegations({key.keyid: key}, roles)
    for name, signed in made.items():
        if name != "targets":
            signed.expires = dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=5)
            metadata = Metadata(copy.deepcopy(signed))
            metadata.sign(KEYS[0])
            repository.files[f"metadata/1.{name}.json"] = metadata.to_bytes()
            repository.snapshot.meta[f"{name}.json"] = MetaFile(1)
    repository.publish()


def walked(graph: dict[str, list[tuple[str, bool]]]) -> list[str]:
    """The order of the specification: depth first, in order of appearance, until one ends it."""
    order: list[str] = []
    waiting = ["targets"]
    while waiting:
        name = waiting.pop()
        if name in order:
            continue
        order.append(name)
        children = []
        for child, terminating in graph.get(name, []):
            children.append(child)
            if terminating:
                waiting.clear()
                break
        waiting += reversed(children)
    return order[1:]


@pytest.mark.parametrize("seed", range(5))
def test_delegations_are_walked_in_order(client, server, repository, seed):
    draw = random.Random(seed)
    names = ["targets", "A", "B", "C", "D", "E"]
    graph = {
        name: [
            (child, draw.random() < 0.15)
            for child in draw.sample(names[1:], draw.randint(1, 3))
            if child != name
        ]
        for name in names[: draw.randint(2, 6)]
    }
    delegate(repository, graph)
    assert client.refresh() == 0
    server.requests.clear()

    assert client.download("no such target") == 1
    assert asked(server)[2:] == [f"1.{name}.json" for name in walked(graph)]
    assert set(client.trusted()) == {"root", "timestamp", "snapshot", "targets", *walked(graph)}


@pytest.mark.parametrize("name", ["?", "#", "/role", "../role", "..", "."])
def test_strange_names_of_roles_are_quoted(client, server, repository, name):
    delegate(repository, {"targets": [(name, False)]})

    assert client.download("no such target") == 1
    assert len(client.trusted()) == 5
    assert {path.name for path in client.folder.parent.iterdir()} == {
        "metadata",
        "root.json",
        "targets",
    }


def add(repository: Repository, name: str, content: bytes, *kinds: str) -> TargetFile:
    target = TargetFile.from_data(name, content, [*kinds] or ["sha256"])
    repository.targets.targets[name] = target
    folder, slash, base = name.rpartition("/")
    for digest in target.hashes.values():
        repository.files[f"targets/{folder}{slash}{digest}.{base}"] = content
    return target


@pytest.mark.parametrize("name", ["a.txt", "path/to/a.txt", "a b.txt", "\u00e9.txt"])
def test_a_target_is_brought_once(client, server, repository, name):
    add(repository, name, b"content")
    repository.publish()

    assert client.download(name) == 0
    assert client.download(name) == 0
    assert [path.read_bytes() for path in client.targets.iterdir()] == [b"content"]
    assert len(server.asked("targets/")) == 1


def test_a_target_that_changed_takes_the_place_of_the_old_one(client, repository):
    for content in (b"content", b"other content", b"short"):
        add(repository, "a.txt", content)
        repository.publish()
        assert client.download("a.txt") == 0
        assert [path.read_bytes() for path in client.targets.iterdir()] == [content]


@pytest.mark.parametrize("kinds", [["sha512"], ["sha512", "sha256"]])
@pytest.mark.parametrize("right", [True, False])
def test_every_hash_that_was_signed_must_be_right(client, repository, kinds, right):
    target = add(repository, "a.txt", b"content", *kinds)
    if not right:  # its name, which is the first hash, stays
        target.hashes[kinds[-1]] = "0" * len(target.hashes[kinds[-1]])
        repository.files[f"targets/{target.hashes[kinds[0]]}.a.txt"] = b"content"
    repository.publish()

    assert client.download("a.txt") == (0 if right else 1)


def test_a_target_that_was_substituted_is_refused(client, server, repository):
    add(repository, "a.txt", b"content")
    repository.publish()
    server.badly("targets/", altered(flipped))

    assert client.download("a.txt") == 1
    assert list(client.targets.iterdir()) == []
