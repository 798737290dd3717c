"""The store on a disk that is full, damaged or in other hands."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from edge_runtime import state
from edge_runtime.errors import ConfigError, UpdateError
from edge_runtime.update.store import bundle, history, steps, tree
from edge_runtime.update.store.steps import BY_HAND
from edge_runtime.update.store.store import Store

from .stores import Device


@pytest.fixture
def device(tmp_path) -> Device:
    return Device(tmp_path)


def failing(monkeypatch, where, name: str, error: int, only: str = "") -> None:
    """Let a function fail for paths that hold a word."""
    act = getattr(where, name)

    def failed(path: Path, *words, **more):
        if only in str(path):
            raise OSError(error, os.strerror(error), str(path))
        return act(path, *words, **more)

    monkeypatch.setattr(where, name, failed)


def snapshot(device: Device) -> dict[Path, int]:
    return {path: path.lstat().st_mtime_ns for path in device.home.rglob("*")}


# Full.


@pytest.mark.parametrize("left", ["staging/half", "slots/" + "0" * 64])
def test_r01_a_start_on_a_full_disk_first_removes_what_nothing_needs(device, monkeypatch, left):
    good, next_one = device.committed(), device.fetched()
    store = device.store
    with store._shelf.turn():
        store._shelf.move(steps.staged(store.journal, next_one), "staged")
    junk = device.home / left
    junk.mkdir()
    replace = state.replace

    def tight(path: Path, content: bytes) -> None:
        if junk.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        replace(path, content)

    monkeypatch.setattr(state, "replace", tight)
    journal = device.restarted().journal

    assert not junk.exists()
    assert (journal.live, journal.state, journal.candidate) == (good, "fetching", next_one)
    assert device.store.part(next_one.digest).exists()  # nothing is fetched twice
    assert Store(device.home, device.factory).refresh() == journal


def test_a_disk_that_takes_no_links_is_not_filled_with_old_slots(device, monkeypatch):
    failing(monkeypatch, Path, "symlink_to", errno.EPERM)

    _, second, third = device.committed(), device.committed(), device.committed()

    assert device.slots() == {second.digest, third.digest}
    assert device.restarted().journal.live == third


def test_what_a_link_still_leads_to_is_not_removed(device, monkeypatch):
    first, _ = device.committed(), device.committed()
    with monkeypatch.context() as patch:
        failing(patch, Path, "symlink_to", errno.EIO)
        third = device.committed()

    assert device.link("previous") == first.digest
    assert first.digest in device.slots()
    assert device.restarted().journal.active == third
    assert first.digest not in device.slots()


def test_a_store_that_cannot_be_locked_is_told_as_the_disk(device):
    (device.home / "updating.lock").unlink()
    (device.home / "updating.lock").mkdir()

    with pytest.raises(UpdateError, match=r"updating.lock: is a directory") as refused:
        device.store.lock().__enter__()

    assert refused.value.reason == "disk"


# Damaged.


@pytest.mark.parametrize("error", [errno.EUCLEAN, errno.EBADMSG, errno.EIO])
def test_p15_a_slot_that_the_file_system_calls_damaged_is_set_aside(device, monkeypatch, error):
    old, new = device.committed(), device.committed()
    failing(monkeypatch, bundle, "digest_of", error, new.digest)

    assert device.restarted().journal.active == old
    assert device.slots() == {old.digest}


@pytest.mark.parametrize("error", [errno.EMFILE, errno.EACCES])
def test_a_slot_that_cannot_be_read_now_is_passed_over_and_nothing_is_changed(
    device, monkeypatch, error
):
    old, new = device.committed(), device.committed()
    before = snapshot(device)
    with monkeypatch.context() as patch:
        failing(patch, bundle, "digest_of", error, new.digest)
        assert device.restarted().journal.live == old
        failing(patch, Path, "iterdir", error)
        assert device.restarted().journal.live == old

    assert snapshot(device) == before
    assert device.restarted().journal.live == new


@pytest.mark.parametrize("name", ["journal.json", "history.jsonl", "j"])
def test_books_that_cannot_be_read_now_are_not_written_anew(device, monkeypatch, name):
    device.committed()
    new = device.committed()
    if name == "history.jsonl":
        (device.home / "journal.json").write_bytes(b"")
    before = snapshot(device)
    with monkeypatch.context() as patch:
        failing(patch, Path, "read_bytes", errno.ENOMEM, name)
        assert device.restarted().journal.live.digest == new.digest  # by the link
        with pytest.raises(UpdateError, match="cannot allocate"):
            device.store.roll_back("worse")

    assert snapshot(device) == before
    journal = device.restarted().journal
    assert (journal.live, journal.floor) == (new, (("model", 2),))


def test_a_history_that_cannot_be_read_or_written_keeps_nothing_from_happening(device):
    first = device.committed()
    path = device.home / "history.jsonl"
    path.rename(device.folder / "away")
    path.mkdir()

    second = device.committed()
    assert device.restarted().journal.live == second
    device.store.roll_back(BY_HAND)
    assert device.restarted().journal.live == first
    with pytest.raises(UpdateError, match="is a directory"):
        device.store.history()
    (device.home / "journal.json").write_bytes(b"")
    assert device.restarted().journal.active.digest == first.digest  # by the link

    path.rmdir()
    (device.folder / "away").rename(path)
    device.committed()
    assert not device.store.history().broken


def test_lines_that_are_long_are_not_taken_for_tampering(device, caplog):
    for number in range(24):
        release = device.fetched()
        device.store.stage(device.store.part(release.digest), release)
        device.store.reject(f"latency: {number} " + "x" * 450)
    device.fetched()
    *_, before, last = (device.home / "history.jsonl").read_bytes().splitlines()
    assert len(last) < history._TAIL < len(before) + len(last)

    device.restarted()

    assert "tampered" not in caplog.text


def test_p15_a_lost_journal_is_found_in_the_older_part_of_the_history(device, monkeypatch):
    release = device.committed()
    with monkeypatch.context() as patch:
        patch.setattr(history, "FULL", 0)
        patch.setattr(state, "replace", lambda *_: 1 / 0)  # the end came right after the renaming
        with pytest.raises(ZeroDivisionError):
            device.store._shelf.books._tell("trial", device.store.journal)
    for name in ("journal.json", "active"):
        (device.home / name).unlink()
    assert not (device.home / "history.jsonl").exists()

    assert device.restarted().journal.active == release
    assert not device.store.history().broken


# Two at once, and ends in between.


def test_a_rollback_meanwhile_is_not_written_over_by_the_update_that_it_ended(device, monkeypatch):
    old, _ = device.committed(), device.committed()
    release = device.fetched()
    unpack = bundle.unpack

    def beside(*words) -> None:
        unpack(*words)
        Store(device.home, device.factory).roll_back(BY_HAND)

    monkeypatch.setattr(bundle, "unpack", beside)
    with pytest.raises(UpdateError) as refused:
        device.store.stage(device.store.part(release.digest), release)

    assert refused.value.reason == "order"
    journal = device.store.refresh()
    assert (journal.state, journal.reason, journal.active) == ("rolled_back", BY_HAND, old)


def test_nothing_is_removed_before_what_a_killed_process_renamed_is_on_the_disk(
    device, monkeypatch
):
    device.committed()
    release = device.validated()
    (device.home / "slots" / ("0" * 64)).mkdir()
    order = []
    settle, remove = state.settle, tree.remove
    monkeypatch.setattr(state, "settle", lambda path: (order.append(path.name), settle(path)))
    monkeypatch.setattr(tree, "remove", lambda path: (order.append("removed"), remove(path)))

    device.restarted()
    assert order == ["update", "removed"]
    order.clear()
    fresh = device.store._shelf.slots.fresh()
    fresh.mkdir()
    device.store._shelf.slots.place(fresh, release.digest)  # it lies there already
    assert order == ["removed", "slots"]


# Other hands.


def test_a_store_that_others_may_write_to_is_closed_to_them(device, caplog):
    device.committed()
    for path in (device.home, device.home / "slots"):
        path.chmod(0o777)

    device.restarted()

    assert {path.stat().st_mode & 0o777 for path in (device.home, device.home / "slots")} == {0o700}
    assert "others could write here" in caplog.text


def test_a_store_of_another_user_is_refused_with_its_name(device, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: device.home.stat().st_uid + 1)

    with pytest.raises(ConfigError, match="belongs to user"):
        device.restarted()


@pytest.mark.parametrize("plant", [os.link, os.symlink])
def test_a21_a_planted_new_file_is_neither_followed_nor_written_through(device, plant):
    precious = device.folder / "precious"
    precious.write_text("precious")
    plant(precious, device.home / "journal.json.new")

    release = device.committed()

    assert precious.read_text() == "precious"
    assert device.restarted().journal.live == release
    assert not (device.home / "journal.json").is_symlink()
