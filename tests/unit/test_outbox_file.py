"""The outbox's file: what it survives, what it holds, and that nobody else touches it."""

from __future__ import annotations

import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import psutil
import pytest

from edge_runtime.errors import ConfigError
from edge_runtime.outbox import gap, queue, room, writer
from edge_runtime.outbox.age import PLAUSIBLE_NS, Ages
from edge_runtime.outbox.row import Batch, Row
from edge_runtime.outbox.store import DamagedError, Store
from tests.brokers import wait_until
from tests.needs import ROOT
from tests.outboxes import Box, numbers

PUT_AND_DIE = """\
import os, signal, sys
from pathlib import Path
from tests.outboxes import Box
box = Box(Path(sys.argv[1]), durability=sys.argv[2])
box.fill(200)
box.wait_until_saved()
box.fill(3, start=200)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "outbox.db"


def row(number: int, payload: bytes = b"x", **more) -> Row:
    values = {
        "id": number,
        "key": f"run-{number}",
        "source": "s",
        "seq": number,
        "topic": "t",
        "payload": payload,
        "version": "1",
        "timestamp_ns": time.time_ns(),
        "keep": False,
        "accepted_ns": 0,
    }
    return Row(**{**values, **more})


@pytest.mark.parametrize("durability", ["process", "power"])
def test_what_was_accepted_survives_sigkill_and_comes_in_order(path, durability):
    done = subprocess.run(
        [sys.executable, "-c", PUT_AND_DIE, str(path), durability], cwd=ROOT, check=False
    )
    assert done.returncode == -signal.SIGKILL

    box = Box(path)
    found = numbers(box.empty_out())
    box.close()

    assert found[:200] == list(range(200))
    assert found == list(range(len(found)))  # the last three may or may not be there


def test_an_outbox_in_memory_leaves_nothing_behind(path):
    box = Box(durability="memory")
    box.fill(5)
    box.close()

    assert box.kept == 0
    assert not path.parent.exists()


def test_close_saves_everything_and_the_next_start_finds_it(path):
    box = Box(path)
    box.fill(70)
    box.put("run-alert-1", "t/alert", b"1")
    box.close()
    assert (box.size, box.kept) == (70, 70)

    again = Box(path)
    rows = again.empty_out()
    again.close()

    assert numbers(rows) == list(range(70))
    assert [item.topic for item in rows][-1] == "t/alert"
    assert not [item for item in rows if item.accepted_ns]  # all of them are historical
    assert Box(path).size == 0


def test_a_row_waits_about_a_tenth_of_a_second_and_an_urgent_one_hardly_at_all(path):
    box = Box(path)
    waits = {False: [], True: []}
    for number in range(20):
        urgent = number % 2 == 1
        began = time.monotonic()
        box.fill(1, start=number, urgent=urgent)
        while box.kept <= number:
            time.sleep(0.0005)
        waits[urgent].append(time.monotonic() - began)
    box.close()

    assert sorted(waits[False])[5] < 0.15
    assert sorted(waits[True])[5] < min(0.04, sorted(waits[False])[5])


def test_rows_that_are_acknowledged_at_once_never_touch_the_disk(path):
    box = Box(path)
    box.wait_until_saved()
    before = psutil.Process().io_counters().write_bytes
    written = path.with_name("outbox.db-wal").stat().st_size
    for number in range(300):
        box.fill(1, start=number)
        for item in box.take(10):
            box.ack(item.id)
    box.wait_until_saved()

    assert box.size == 0
    assert path.with_name("outbox.db-wal").stat().st_size == written
    assert psutil.Process().io_counters().write_bytes - before < 1_000_000
    box.close()


def test_the_promised_settings_hold_and_one_that_does_not_is_an_error(path, monkeypatch):
    store = Store(path)
    store.open()
    values = {name: store._value(name) for name in ("journal_mode", "locking_mode", "synchronous")}
    assert values == {"journal_mode": "wal", "locking_mode": "exclusive", "synchronous": 2}
    assert oct(path.stat().st_mode)[-3:] == "600"
    assert oct(path.parent.stat().st_mode)[-3:] == "700"
    store.close()

    statements = []
    real = sqlite3.connect

    class Lazy(sqlite3.Connection):
        def execute(self, sql, *values):
            statements.append(sql)
            return super().execute(sql.replace("synchronous = FULL", "synchronous = OFF"), *values)

    monkeypatch.setattr(
        "edge_runtime.outbox.store.sqlite3.connect", lambda *a, **k: real(*a, factory=Lazy, **k)
    )
    with pytest.raises(ConfigError, match="does not keep synchronous = 2"):
        Store(path).open()
    assert statements


def test_there_is_one_connection_in_the_source_and_none_may_be_added():
    opened = {
        source.name: len(re.findall(r"sqlite3\.connect\(", source.read_text()))
        for source in (ROOT / "edge_runtime").rglob("*.py")
    }
    # The store's, and those that read a file which was set aside and is nobody's any more.
    assert {name: count for name, count in opened.items() if count} == {
        "store.py": 1,
        "damage.py": 2,
    }


def test_another_connection_finds_the_file_locked_and_a_second_process_ends_with_a_remedy(path):
    box = Box(path)
    box.fill(1)
    with pytest.raises(ConfigError, match="another process uses this outbox"):
        Box(path)
    with sqlite3.connect(path, timeout=0) as other, pytest.raises(sqlite3.OperationalError):
        other.execute("SELECT count(*) FROM row").fetchone()
    box.wait_until_saved()
    box.close()


def test_only_the_writer_s_thread_may_use_the_connection(path):
    store = Store(path)
    thread = threading.Thread(target=store.open)
    thread.start()
    thread.join()
    with pytest.raises(sqlite3.ProgrammingError, match="thread"):
        store.load(0, 10, 10)


def test_a_commit_is_all_or_nothing(path):
    store = Store(path)
    store.open()
    store.commit(Batch(add=[row(1), row(2)]))
    broken = row(4, timestamp_ns=None)
    with pytest.raises(sqlite3.Error):
        store.commit(Batch(add=[row(3)], remove=[row(1)], dead=[(broken, "why")]))

    assert [item.id for item in store.load(0, 100, 100)] == [1, 2]
    assert (store.rows, store.bytes) == (2, 2 * row(1).weight)
    store.close()


def test_a_full_file_lets_the_oldest_go_and_the_records_of_it_survive_too(path, monkeypatch):
    box = Box(path, rows=100)
    box.fill(1000)
    wait_until(lambda: box.size == 100)
    box.wait_until_saved()
    box.close()

    monkeypatch.setattr(gap, "RIPEN_NS", 0)
    again = Box(path, rows=100)
    rows = again.empty_out()
    again.close()

    assert numbers(rows) == list(range(900, 1000))
    assert [
        (entry.reason, entry.first_seq, entry.last_seq, entry.count) for entry in again.told
    ] == [("full", 0, 899, 900)]
    assert box.alarms[0] == ("outbox-full", False)
    third = Box(path)
    assert third.take(10) == []  # the record was acknowledged, and is not told again
    third.close()


def test_a_full_file_keeps_a_stream_that_is_to_be_kept(path):
    box = Box(path, rows=50)
    taken = box.fill(80, keep=True)
    box.wait_until_saved()
    camera = box.fill(1, start=80, source="camera")
    box.wait_until_saved()
    time.sleep(0.3)

    assert taken == [True] * 50 + [False] * 30
    assert (box.size, box.dropped) in ((50, 31), (50, 30 + (not camera[0])))
    assert numbers(box.empty_out()) == list(range(50))
    box.close()


def test_the_weight_of_a_file_is_bounded(path):
    box = Box(path, disk_mb=0.05)
    box.fill(300, size=1000)
    wait_until(lambda: box._queue.bytes <= 50_000)
    box.wait_until_saved()

    assert 30 <= box.size <= 40
    assert numbers(box.empty_out())[-1] == 299
    box.close()


def test_room_on_the_disk_is_left_to_others(path, monkeypatch):
    monkeypatch.setattr(room, "LOOK_S", 0.05)
    free_mb = (
        os.statvfs(path.parent.parent).f_bavail * os.statvfs(path.parent.parent).f_frsize / 1e6
    )
    box = Box(path, reserve_mb=free_mb + 1e6)
    box.fill(20)
    wait_until(lambda: box.size == 0)
    box.close()

    assert {entry.reason for entry in box._gaps._open.values()} == {"disk"}
    assert box.dropped == 20


def test_rows_that_waited_too_long_are_let_go(path, monkeypatch):
    monkeypatch.setattr(room, "LOOK_S", 0.02)
    monkeypatch.setattr(writer, "IDLE_S", 0.02)
    box = Box(path, age_s=1.0)
    box.fill(300)
    box.wait_until_saved()
    time.sleep(0.5)
    box.fill(5, start=300)
    wait_until(lambda: box.dropped == 300)

    assert numbers(box.empty_out()) == list(range(300, 305))
    assert {entry.reason for entry in box._gaps._open.values()} == {"age"}
    assert box.alarms == []  # as was asked for
    box.close()


def test_a_clock_that_jumps_makes_no_row_old(monkeypatch):
    ages = Ages(60.0)
    ages.begin(10)
    ages.note(12)
    boot, now = row(5, timestamp_ns=3_000_000_000), time.time_ns()

    assert not ages.is_over(boot)  # written in 1970, before the clock was set
    assert not ages.is_over(row(11, timestamp_ns=0))
    assert ages.is_over(row(5, timestamp_ns=now - 61 * 10**9))
    assert not ages.is_over(row(5, timestamp_ns=now - 59 * 10**9))
    monkeypatch.setattr(time, "time_ns", lambda: PLAUSIBLE_NS - 10**18)
    assert not ages.is_over(row(5, timestamp_ns=now - 61 * 10**9))
    monkeypatch.setattr(time, "monotonic", lambda real=time.monotonic: real() + 61)
    ages.note(20)
    assert ages.is_over(row(12))
    assert not ages.is_over(row(13))


def test_dead_letters_are_kept_with_their_reason_and_can_be_sent_again(path):
    box = Box(path)
    box.fill(3)
    box.bury(box.take(1)[0].id, "not authorized")
    box.wait_until_saved()
    box.close()

    store = Store(path)
    stock = store.open()
    assert [(item.seq, why) for item, why in store.dead_letters()] == [(0, "not authorized")]
    assert store.revive(stock.end_id) == 1
    store.close()
    again = Box(path)
    assert sorted(numbers(again.empty_out())) == [0, 1, 2]
    again.close()


def test_r09_a_start_reads_the_ends_of_the_file_and_not_the_whole(path):
    store = Store(path)
    store.open()
    for start in range(1, 60_000, 1000):
        store.commit(Batch(add=[row(start + at, b"x" * 300) for at in range(1000)]))
    store.close()

    process, began = psutil.Process(), time.monotonic()
    before = process.io_counters().read_chars, process.memory_info().rss
    box = Box(path)
    first = box.take(20)
    while not first:
        box.woken.wait(1)
        first = box.take(20)
    took_s = time.monotonic() - began

    assert box.size == 60_000
    assert [item.seq for item in first] == list(range(1, 21))
    assert took_s < 0.5
    assert process.io_counters().read_chars - before[0] < 1_000_000
    assert process.memory_info().rss - before[1] < 10_000_000
    box.close()


def test_a_file_gives_back_what_it_no_longer_needs(path, monkeypatch):
    monkeypatch.setattr(room, "LOOK_S", 0.02)
    box = Box(path)
    box.fill(20_000, size=300)
    box.wait_until_saved()
    wait_until(lambda: path.stat().st_size > 3_000_000)
    largest = path.stat().st_size
    box.empty_out()

    wait_until(lambda: path.stat().st_size < largest / 2, 60)
    box.close()


def test_a_newer_format_is_set_aside_and_not_overwritten(path):
    store = Store(path)
    store.open()
    store._connection.execute("PRAGMA user_version = 99")
    store.close()

    with pytest.raises(DamagedError, match="format is 99"):
        Store(path).open()
    box = Box(path)
    wait_until(lambda: len(box.alarms) == 2)
    box.close()

    assert box.alarms == [("outbox-damaged", False), ("outbox-damaged", True)]
    assert len(list(path.parent.glob("outbox.db.corrupt-*Z"))) == 1


@pytest.mark.parametrize("seed", range(6))
def test_connections_that_are_lost_all_the_time_change_no_order(path, monkeypatch, seed):
    chance = random.Random(seed)
    monkeypatch.setattr(queue, "LIVE_NS", 20_000_000)
    monkeypatch.setattr(queue, "NEW_MAX", 16)
    monkeypatch.setattr(writer, "LOAD_ROWS", 32)
    box, arrived, put = Box(path), [], 0
    until = time.monotonic() + 20
    while (put < 1500 or box.size) and time.monotonic() < until:
        count = chance.randint(0, 40) if put < 1500 else 0
        box.fill(count, start=put)
        put += count
        if chance.random() < 0.1:
            box.connected()
        rows = box.take(chance.randint(1, 30))
        reached = chance.randint(0, len(rows)) if chance.random() < 0.4 else len(rows)
        for item in rows[:reached]:
            arrived.append(item)
            if chance.random() < 0.9:
                box.ack(item.id)
        box.give_back([item.id for item in rows])
        time.sleep(chance.choice((0, 0, 0.002, 0.03)))
    box.close()

    first = {}
    for item in arrived:
        first.setdefault(item.id, item)
    historical = [time_.accepted_ns == 0 for time_ in first.values()]
    assert sorted(numbers(list(first.values()))) == list(range(put))
    for late in (False, True):
        ids = [
            item.id
            for item, is_late in zip(first.values(), historical, strict=True)
            if is_late == late
        ]
        assert ids == sorted(ids)


def test_rows_in_flight_and_rows_not_yet_removed_are_counted_together(path, monkeypatch):
    gate, real = threading.Event(), Store.commit

    def slow(store, batch) -> None:
        if batch.remove:
            gate.wait(10)
        real(store, batch)

    monkeypatch.setattr(Store, "commit", slow)
    box = Box(path)
    box.fill(100)
    box.wait_until_saved()
    rows = box.take(20)
    for item in rows[:15]:
        box.ack(item.id)

    time.sleep(0.2)  # the writer is at it
    assert box.settling == 15
    gate.set()
    wait_until(lambda: box.settling == 0)
    box.close()


def test_rows_acknowledged_while_a_commit_saves_them_count_as_not_yet_removed(path, monkeypatch):
    began, gate, real = threading.Event(), threading.Event(), Store.commit

    def slow(store, batch) -> None:
        if batch.add:
            began.set()
            gate.wait(10)
        real(store, batch)

    monkeypatch.setattr(Store, "commit", slow)
    box = Box(path)
    box.fill(100)
    assert began.wait(10)
    for item in box.take(20):
        box.ack(item.id)

    assert box.settling == 20
    gate.set()
    wait_until(lambda: box.settling == 0)
    assert box.size == 80
    box.close()


def test_an_error_of_the_system_in_a_commit_loses_no_row(path, monkeypatch):
    monkeypatch.setattr("edge_runtime.outbox.keeper.REOPEN_S", 0.05)
    monkeypatch.setattr(writer, "IDLE_S", 0.02)
    failures, real = [OSError(5, "Input/output error")] * 3, Store.commit

    def fail(store, batch) -> None:
        if failures:
            raise failures.pop()
        real(store, batch)

    box = Box(path)
    monkeypatch.setattr(Store, "commit", fail)
    box.fill(50)
    wait_until(lambda: ("outbox-in-memory", True) in box.alarms)
    box.wait_until_saved()
    box.close()

    assert box.alarms[0] == ("outbox-in-memory", False)
    again = Box(path)
    assert numbers(again.empty_out()) == list(range(50))
    again.close()
