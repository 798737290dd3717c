"""A gate that could not judge: the slot waits, and is judged again without being fetched."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime.errors import UpdateError
from edge_runtime.update.client import Client
from edge_runtime.update.gate.checks import Check, GateReport
from edge_runtime.update.store import bundle

from .store.bundles import packed
from .store.stores import Device
from .test_client import BOARD, Repository, signed


class Counting(Repository):
    def __init__(self, made: Path, *releases) -> None:
        super().__init__(*releases)
        self._made, self.downloads = made, 0

    def download(self, release, part, progress) -> None:
        self.downloads += 1
        shutil.copyfile(self._made, part)


@pytest.mark.parametrize("damaged", [False, True])
def test_a_slot_that_nobody_judged_is_judged_again_and_not_fetched_again(tmp_path, damaged):
    device = Device(tmp_path)
    made, installed = packed(tmp_path, "2.0", 7)
    repository = Counting(made, signed(installed, formats=("tflite",)))
    answers = [
        UpdateError("the gate's child does not start", reason="gate"),
        GateReport(True, (Check("all", True, "", ""),), {}),
    ]

    def gate(candidate: Path, live: Path) -> GateReport:
        answer = answers.pop(0)
        if isinstance(answer, UpdateError):
            raise answer
        assert bundle.digest_of(candidate) == installed.digest
        return answer

    client = Client(device.store, repository, replace(BOARD, model="model"), gate, None)
    with pytest.raises(UpdateError, match="does not start"):
        client.apply(lambda held, total: None)
    assert device.store.journal.state == "verified"
    assert not device.store.journal.quarantine
    if damaged:
        weights = device.store.path_of(installed) / "weights.tflite"
        weights.chmod(0o600)
        weights.write_bytes(b"")
    assert client.apply(lambda held, total: None).journal.state == "validated"
    assert repository.downloads == (2 if damaged else 1)
