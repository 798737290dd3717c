"""The store: empty files, lost books, races and planted links."""

from __future__ import annotations

import shutil

import pytest

from edge_runtime.errors import ConfigError, VerificationError
from edge_runtime.update.store import bundle, tree
from edge_runtime.update.store.journal import FACTORY

from .stores import Device, zero


@pytest.fixture
def device(tmp_path) -> Device:
    return Device(tmp_path)


@pytest.mark.parametrize("name", ["active", "previous", "candidate"])
def test_p15_a_slot_of_empty_files_is_set_aside_and_the_next_best_model_runs(device, name):
    old, new = device.committed(), device.committed()
    candidate = device.on_trial() if name == "candidate" else None
    hurt = {"active": new, "previous": old, "candidate": candidate}[name]
    zero(device.home / "slots" / hurt.digest)

    journal = device.restarted().journal

    assert journal.live == {"active": old, "previous": new, "candidate": new}[name]
    assert not any(one.digest == hurt.digest for one in journal.quarantine)  # may be fetched again
    aside = [path.name.split(".")[0] for path in (device.home / "aside").iterdir()]
    assert aside == ([] if name == "previous" else [hurt.digest])
    assert device.store.history().events[-1].event == ("committed" if not aside else "recovered")


def test_p15_all_slots_empty_falls_to_the_factory_model_and_without_that_to_exit_2(device):
    device.committed(), device.committed()
    zero(device.home / "slots")

    assert device.restarted().journal.live == FACTORY
    shutil.rmtree(device.factory)
    with pytest.raises(ConfigError, match="factory model is missing"):
        device.restarted()


@pytest.mark.parametrize("damage", [b"", b"\0" * 500, b"{", None])
def test_p15_a_lost_journal_is_taken_from_the_history(device, damage):
    device.committed()
    device.on_trial()
    device.store.count_start()
    device.store.roll_back("worse")
    before = device.store.journal
    path = device.home / "journal.json"
    path.unlink() if damage is None else path.write_bytes(damage)

    journal = device.restarted().journal

    assert (journal.active, journal.floor) == (before.active, before.floor)
    assert (journal.quarantine, journal.state) == (before.quarantine, before.state)
    assert device.restarted().journal == journal


def test_p15_everything_zero_but_a_slot_runs_what_the_link_leads_to(device):
    release = device.committed()
    for name in ("journal.json", "history.jsonl"):
        (device.home / name).write_bytes(b"")

    journal = device.restarted().journal

    assert journal.live.digest == release.digest
    zero(device.home)
    assert device.restarted().journal.live == FACTORY


# A20, A21: nothing is trusted because it was right before.


def test_a20_a_bundle_changed_while_it_is_laid_out_is_refused(device, monkeypatch):
    release = device.fetched()
    part = device.store.part(release.digest)
    check = bundle._check

    def checked(*words) -> None:
        check(*words)
        content = part.read_bytes()
        part.write_bytes(content.replace(b"1.1-1.1", b"6.6-6.6"))

    monkeypatch.setattr(bundle, "_check", checked)
    with pytest.raises(VerificationError) as refused:
        device.store.stage(part, release)

    assert refused.value.reason == "hash"
    assert device.slots() == set()
    assert list((device.home / "staging").iterdir()) == []
    assert device.store.journal.state == "rejected"


def test_a_slot_that_reads_back_as_something_else_is_not_verified(device, monkeypatch):
    write = bundle._write
    monkeypatch.setattr(
        bundle, "_write", lambda name, data, to: write(name, (b"x" * len(one) for one in data), to)
    )
    release = device.fetched()

    with pytest.raises(VerificationError) as refused:
        device.store.stage(device.store.part(release.digest), release)

    assert refused.value.reason == "hash"
    assert device.slots() == set()
    assert device.store.journal.state == "rejected"


def test_a20_a_slot_changed_after_the_gate_never_runs(device):
    good, bad = device.committed(), device.validated()
    weights = device.store.path_of(bad) / "weights.tflite"
    weights.chmod(0o600)
    weights.write_bytes(b"evil")

    with pytest.raises(VerificationError) as refused:
        device.store.begin_trial()

    assert refused.value.reason == "hash"
    assert device.store.journal.live == good
    assert device.link("active") == good.digest
    assert bad.digest not in device.slots()


@pytest.mark.parametrize("where", ["part", "slot", "slots", "staging"])
def test_a21_a_planted_link_is_not_followed(device, where):
    precious = device.folder / "precious"
    precious.mkdir()
    release = device.fetched()
    part = device.store.part(release.digest)
    if where == "part":
        part.rename(precious / "part")
        part.symlink_to(precious / "part")
        with pytest.raises(VerificationError):
            device.store.stage(part, release)
        assert (precious / "part").exists()
    elif where == "slot":
        (device.home / "slots" / release.digest).symlink_to(precious)
        device.store.stage(part, release)
        assert tree.is_folder(device.home / "slots" / release.digest)
        assert list(precious.iterdir()) == []
    else:
        shutil.rmtree(device.home / where)
        (device.home / where).symlink_to(precious)
        with pytest.raises(ConfigError, match="is a link"):
            device.restarted()


def test_a21_an_active_slot_that_became_a_link_is_not_run(device):
    old, new = device.committed(), device.committed()
    slot = device.home / "slots" / new.digest
    slot.rename(device.folder / "elsewhere")
    slot.symlink_to(device.folder / "elsewhere")

    assert device.restarted().journal.live == old
    assert (device.folder / "elsewhere" / "model.toml").exists()
