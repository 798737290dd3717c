"""Bundles: one spelling, and nothing else gets in."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tarfile

import pytest

from edge_runtime.errors import VerificationError
from edge_runtime.update.store import bundle

from ...needs import ROOT
from ..gate.corpus import CORPUS, GOOD
from .bundles import model


def test_a_bundle_comes_out_as_it_went_in_and_its_folder_hashes_to_its_digest(tmp_path):
    source = model(tmp_path / "source", "1.0")
    (source / "README.md").write_text("words\n")
    (source / "train.py").write_text("stays at home")

    digest = bundle.pack(source, tmp_path / "one.tar")
    bundle.unpack(tmp_path / "one.tar", tmp_path / "slot", digest)

    assert digest == hashlib.sha256((tmp_path / "one.tar").read_bytes()).hexdigest()
    assert bundle.digest_of(tmp_path / "slot") == digest
    found = {str(path.relative_to(tmp_path / "slot")) for path in (tmp_path / "slot").rglob("*.*")}
    assert found == {"README.md", "model.toml", "weights.tflite", "text/labels.txt"}
    assert all((tmp_path / "slot" / name).read_bytes() == (source / name).read_bytes()
               for name in found)  # fmt: skip


@pytest.mark.parametrize("name", ["half-plus-two", "ecg-beats", "cifar10-resnet8"])
def test_a_shipped_model_packs_the_same_twice_and_tar_reads_it(tmp_path, name):
    first, second = tmp_path / "first.tar", tmp_path / "second.tar"

    digests = {bundle.pack(ROOT / "models" / name, path) for path in (first, second)}

    assert len(digests) == 1
    assert first.read_bytes() == second.read_bytes()
    listed = subprocess.run(["tar", "tf", first], check=True, capture_output=True, text=True)
    assert "model.toml" in listed.stdout.split()
    with tarfile.open(first) as tar:
        assert {(one.mode, one.uid, one.mtime) for one in tar} == {(0o644, 0, 0)}


# F15, F16: whatever else can be in an archive.


@pytest.mark.parametrize("name", CORPUS)
def test_f15_f16_nothing_but_plain_files_of_a_model_gets_in(tmp_path, name):
    content = CORPUS[name]
    (tmp_path / "part").write_bytes(content)
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(VerificationError) as refused:
        bundle.unpack(tmp_path / "part", tmp_path / "slot", hashlib.sha256(content).hexdigest())

    assert refused.value.reason == "malformed"
    assert sorted(tmp_path.rglob("*")) == before


def test_the_corpus_is_built_around_one_that_is_good(tmp_path):
    (tmp_path / "part").write_bytes(GOOD)

    bundle.unpack(tmp_path / "part", tmp_path / "slot", hashlib.sha256(GOOD).hexdigest())

    assert (tmp_path / "slot" / "weights.tflite").read_bytes() == b"weights"


def test_every_bit_of_a_bundle_counts(tmp_path):
    digest = hashlib.sha256(GOOD).hexdigest()
    for at in range(0, len(GOOD), 97):
        content = bytearray(GOOD)
        content[at] ^= 1 << at % 8
        (tmp_path / "part").write_bytes(content)
        with pytest.raises(VerificationError) as damaged:
            bundle.unpack(tmp_path / "part", tmp_path / "slot", digest)
        assert damaged.value.reason == "hash"
        own = hashlib.sha256(content).hexdigest()
        try:  # whoever signs that gets a refusal, or a model of just these bytes
            bundle.unpack(tmp_path / "part", tmp_path / f"slot{at}", own)
        except VerificationError as refused:
            assert refused.reason == "malformed"
        else:
            assert bundle.digest_of(tmp_path / f"slot{at}") == own


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a21_a_bundle_that_is_no_file_is_not_followed(tmp_path, kind):
    part = tmp_path / "part"
    (tmp_path / "good").write_bytes(GOOD)
    {
        "link": lambda: part.symlink_to("good"),
        "pipe": lambda: os.mkfifo(part),
        "folder": part.mkdir,
    }[kind]()

    with pytest.raises(VerificationError) as refused:
        bundle.unpack(part, tmp_path / "slot", hashlib.sha256(GOOD).hexdigest())

    assert refused.value.reason == "malformed"
    assert not (tmp_path / "slot").exists()


@pytest.mark.parametrize("what", ["link", "pipe", "folder", "more", "less", "zero", "name"])
def test_a_folder_that_was_changed_has_another_digest_or_none(tmp_path, what):
    (tmp_path / "part").write_bytes(GOOD)
    digest = hashlib.sha256(GOOD).hexdigest()
    slot = tmp_path / "slot"
    bundle.unpack(tmp_path / "part", slot, digest)
    weights = slot / "weights.tflite"
    weights.chmod(0o600)
    {
        "link": lambda: (weights.rename(tmp_path / "w"), weights.symlink_to(tmp_path / "w")),
        "pipe": lambda: os.mkfifo(slot / "x"),
        "folder": (slot / "x").mkdir,
        "more": lambda: (slot / "x").write_bytes(b""),
        "less": weights.unlink,
        "zero": lambda: weights.write_bytes(b""),
        "name": lambda: weights.rename(slot / "other"),
    }[what]()

    try:
        found = bundle.digest_of(slot)
    except VerificationError as exc:
        found = exc.reason

    assert found != digest


def test_pack_refuses_what_it_could_not_unpack(tmp_path):
    source = model(tmp_path / "source", "1.0")
    (source / "weights.tflite").unlink()
    (source / "weights.tflite").symlink_to("/etc/hostname")

    with pytest.raises(VerificationError) as refused:
        bundle.pack(source, tmp_path / "out.tar")

    assert refused.value.reason == "malformed"
    assert not (tmp_path / "out.tar").exists()
