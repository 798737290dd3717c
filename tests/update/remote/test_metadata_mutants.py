"""Whatever the holders of keys sign, a refresh ends well or with an error that has a name."""

from __future__ import annotations

import copy
import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from securesystemslib.formats import encode_canonical

from edge_runtime.errors import UpdateError

from .boards import Board
from .repository import Repository

MUTANTS = 25  # of each role
WEIRD = [None, True, -1, 0, 2**70, "", [], {}, "x", "9999-12-31T23:59:59Z", [1], {"a": 1}, "../.."]
KEYS = ["../x", "\0", "targets.json", "x" * 300]
NAMES = {
    "root": "metadata/2.root.json",
    "timestamp": "metadata/timestamp.json",
    "snapshot": "metadata/2.snapshot.json",
    "targets": "metadata/2.targets.json",
}
PARENTS = {"targets": "snapshot", "snapshot": "timestamp"}


def places(value: object, path: tuple = ()) -> Iterator[tuple]:
    """The paths of all that is inside."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in inner:
        yield (*path, key)
        if isinstance(child, dict | list):
            yield from places(child, (*path, key))


def mutate(signed: dict, draw: random.Random) -> None:
    """Take one value out, rename it, or put something strange in its place."""
    path = draw.choice(list(places(signed)))
    inner = signed
    for key in path[:-1]:
        inner = inner[key]
    kind = draw.random()
    if kind < 0.25 and isinstance(inner, dict):
        del inner[path[-1]]
    elif kind < 0.35 and isinstance(inner, dict):
        inner[draw.choice(KEYS)] = inner.pop(path[-1])
    else:
        inner[path[-1]] = copy.deepcopy(draw.choice(WEIRD))


def sign(files: dict[str, bytes], repository: Repository, role: str, signed: dict) -> None:
    """Serve it, signed, and have its parents say that it is right."""
    payload = encode_canonical(signed).encode()
    signatures = [
        {"keyid": key.public_key.keyid, "sig": key.sign(payload).signature}
        for key in repository.signers[role]
    ]
    content = json.dumps({"signed": signed, "signatures": signatures}).encode()
    files[NAMES[role]] = content
    if role in PARENTS:
        parent = json.loads(files[NAMES[PARENTS[role]]])["signed"]
        digest = hashlib.sha256(content).hexdigest()
        parent["meta"][f"{role}.json"].update(length=len(content), hashes={"sha256": digest})
        sign(files, repository, PARENTS[role], parent)


@pytest.mark.parametrize("role", NAMES)
def test_signed_nonsense_has_a_name(tmp_path: Path, role: str):
    repository = Repository()
    repository.release(b"a model")
    repository.publish("root", "targets", "snapshot", "timestamp")
    honest = dict(repository.files)
    draw = random.Random(role)
    outcomes = set()
    for number in range(MUTANTS):
        signed = json.loads(honest[NAMES[role]])["signed"]
        mutate(signed, draw)
        files = dict(honest)
        sign(files, repository, role, signed)
        repository.files = files
        board = Board(tmp_path / str(number), repository)
        board.folder.parent.mkdir()
        stick = repository.write(board.folder.parent / "stick")
        try:
            board.refresh(stick)
            outcomes.add("")
        except UpdateError as failure:
            outcomes.add(failure.reason)

    assert outcomes >= {"", "malformed"}
