"""The store: steps in order, full disks, and two processes at once."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from edge_runtime import state
from edge_runtime.errors import DownloadError, UpdateError, VerificationError
from edge_runtime.update.store import bundle, slots
from edge_runtime.update.store.journal import FACTORY, Journal
from edge_runtime.update.store.steps import BY_HAND
from edge_runtime.update.store.store import Store

from .stores import Device, zero


@pytest.fixture
def device(tmp_path) -> Device:
    return Device(tmp_path)


def test_the_whole_way_of_two_updates(device):
    assert device.store.journal == Journal()
    assert device.store.path_of(FACTORY) == device.factory

    first = device.on_trial()
    assert device.store.journal.live == first
    assert device.link("active") == first.digest
    device.store.commit()
    assert (device.link("active"), device.link("previous")) == (first.digest, "")
    second = device.committed()
    third = device.committed()

    journal = device.restarted().journal
    assert (journal.active, journal.previous, journal.floor) == (third, second, (("model", 3),))
    assert device.slots() == {second.digest, third.digest}
    assert (device.link("active"), device.link("previous")) == (third.digest, second.digest)
    assert bundle.digest_of(device.store.path_of(third)) == third.digest
    events = [one.event for one in device.store.history().events]
    assert events == ["fetching", "staged", "verified", "validated", "trial", "committed"] * 3


def test_p08_the_third_start_during_a_trial_rolls_back_and_quarantines(device):
    good, bad = device.committed(), device.on_trial()

    lives = [device.restarted().count_start().live for _ in range(3)]

    assert lives == [bad, bad, good]
    assert device.store.journal.quarantine[0].digest == bad.digest
    assert device.store.journal.reason == "restarts"
    assert device.slots() == {good.digest}


def test_p09_a_boot_loop_beyond_the_limit_writes_nothing_and_stays_on_the_last_good_model(device):
    good, _ = device.committed(), device.on_trial()
    for _ in range(3):
        device.restarted().count_start()
    before = {path: path.stat().st_mtime_ns for path in device.home.rglob("*")}
    size = (device.home / "history.jsonl").stat().st_size

    for _ in range(40):
        assert device.restarted().count_start().live == good

    assert {path: path.stat().st_mtime_ns for path in device.home.rglob("*")} == before
    assert (device.home / "history.jsonl").stat().st_size == size


def test_p05_a_rollback_by_hand_and_its_rollback_end_on_whole_models(device):
    old, new = device.committed(), device.committed()

    device.store.roll_back(BY_HAND)
    assert (device.store.journal.live, device.link("active")) == (old, old.digest)
    device.store.roll_back(BY_HAND)

    assert device.restarted().journal.live == new
    assert device.slots() == {old.digest, new.digest}


def test_a_damaged_target_of_a_rollback_is_passed_over(device):
    old, _, _ = device.committed(), device.committed(), device.on_trial()
    zero(device.home / "slots" / device.store.journal.active.digest)

    device.store.roll_back("worse")

    assert device.store.journal.live == old
    assert len(list((device.home / "aside").iterdir())) == 1


# What the disk does.


def test_r01_a_full_disk_is_seen_before_the_first_byte(device, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 40 << 20))

    device.store.part("a" * 64).write_bytes(b"\0" * (4 << 20))  # half of it is here

    device.store.room_for("a" * 64, 6 << 20)
    for digest, length in (("a" * 64, 10 << 20), ("b" * 64, 6 << 20)):
        with pytest.raises(DownloadError) as refused:
            device.store.room_for(digest, length)
        assert refused.value.reason == "no-space"


def test_a_bundle_with_the_signed_hash_of_another_release_is_no_obstacle_for_the_next(device):
    release = device.fetched()
    part = device.store.part(release.digest)
    part.write_bytes(part.read_bytes()[:-1])

    with pytest.raises(VerificationError) as refused:
        device.store.stage(part, release)
    assert refused.value.reason == "hash"
    assert not part.exists()

    device.committed()


def test_a_disk_that_takes_nothing_still_gives_the_best_model(device, monkeypatch):
    good, bad = device.committed(), device.on_trial()
    zero(device.home / "slots" / bad.digest)

    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(state, "replace", full)
    assert device.restarted().journal.live == good


def test_a_start_that_cannot_be_counted_runs_the_model_before_the_trial(device, monkeypatch):
    good, _ = device.committed(), device.on_trial()

    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(state, "replace", full)
    assert device.store.count_start().live == good


def test_a_rollback_on_a_full_disk_makes_room_for_itself(device, monkeypatch):
    good, bad = device.committed(), device.on_trial()
    replace = state.replace

    def tight(path: Path, content: bytes) -> None:
        if bad.digest in device.slots():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        replace(path, content)

    monkeypatch.setattr(state, "replace", tight)
    assert device.store.roll_back("worse").live == good
    assert device.restarted().journal.state == "rolled_back"


def test_damaged_slots_that_are_set_aside_have_an_end(device):
    device.committed()
    for _ in range(5):
        bad = device.validated()
        zero(device.store.path_of(bad))
        with pytest.raises(VerificationError):
            device.store.begin_trial()

    assert len(list((device.home / "aside").iterdir())) == slots.KEEP_ASIDE


# Two at once.


def test_a_second_updater_is_told_that_one_is_at_work(device):
    other = Store(device.home, device.factory)
    with device.store.lock(), pytest.raises(UpdateError) as refused, other.lock():
        pass

    assert refused.value.reason == "busy"


def test_a_start_beside_an_updater_takes_nothing_from_it(device):
    release = device.fetched()
    stray = device.home / "staging" / "half"
    stray.mkdir()
    with device.store.lock():
        beside = Store(device.home, device.factory)
        beside.open()
        assert stray.exists()
        device.store.stage(device.store.part(release.digest), release)

    assert beside.refresh().state == "verified"
    assert device.restarted().journal.state == "verified"
    assert not stray.exists()


def test_changes_of_two_stores_and_threads_do_not_get_lost(device):
    device.on_trial()

    def work(moments: range) -> None:
        mine = Store(device.home, device.factory)
        for moment in moments:
            mine.raise_time_floor(moment)

    threads = [threading.Thread(target=work, args=(range(n, 40, 2),)) for n in (0, 1)]
    for thread in threads:
        thread.start()
    device.store.count_start()
    for thread in threads:
        thread.join()

    journal = device.store.refresh()
    assert (journal.time_floor, journal.starts, journal.state) == (39, 1, "trial")


def test_a_part_stays_over_a_restart_while_it_is_fetched_and_goes_when_another_is_chosen(device):
    release = device.fetched()
    device.restarted()
    assert device.store.part(release.digest).exists()

    other = device.fetched()
    device.restarted()
    assert not device.store.part(release.digest).exists()
    assert device.store.part(other.digest).exists()


def test_the_journal_is_private_and_readable_json(device):
    device.committed()
    path = device.home / "journal.json"

    assert json.loads(path.read_text())["state"] == "committed"
    assert path.stat().st_mode & 0o777 == 0o600
    assert device.home.stat().st_mode & 0o777 == 0o700


def test_a_cut_history_is_told_at_the_next_start(device, caplog):
    device.committed()
    path = device.home / "history.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-3]))

    device.restarted()

    assert "tampered" in caplog.text
