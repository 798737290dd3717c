"""What every outbox promises, with a file or without: order, a bound, and a count of every loss."""

from __future__ import annotations

import functools
import threading
import time

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge_runtime.errors import BadOptionError
from edge_runtime.mqtt.envelope import Envelope
from edge_runtime.outbox import gap, queue
from edge_runtime.outbox.options import Limits
from edge_runtime.outbox.row import ROW_BYTES
from tests.brokers import wait_until
from tests.outboxes import Box, numbers


@pytest.fixture(params=["memory", "process", "power"])
def box(request, tmp_path):
    path = None if request.param == "memory" else tmp_path / "outbox.db"
    made = Box(path, durability=request.param)
    yield made
    made.close()


def test_rows_leave_in_the_order_in_which_they_came(box):
    box.fill(5)

    assert numbers(box.take(2)) == [0, 1]
    assert numbers(box.take(10)) == [2, 3, 4]
    assert box.take(10) == []


def test_many_more_than_memory_holds_leave_in_order(box):
    box.fill(3000)

    assert numbers(box.empty_out()) == list(range(3000))
    assert (box.size, box.dropped) == (0, 0)


def test_a_row_counts_until_it_is_acknowledged(box):
    box.fill(2)
    first, second = box.take(2)

    assert (box.size, box.waiting) == (2, False)
    assert box.ack(second.id)
    assert (box.size, box._queue.bytes) == (1, 3 + ROW_BYTES)
    assert box.ack(first.id)
    assert (box.size, box._queue.bytes) == (0, 0)


def test_acknowledging_twice_or_a_stranger_changes_nothing(box):
    box.fill(2)
    row = box.take(1)[0]

    assert [box.ack(row.id), box.ack(row.id), box.ack(999)] == [True, False, False]
    assert box.size == 1


def test_rows_that_are_given_back_go_first_and_in_order(box):
    box.fill(6)
    rows = box.take(4)
    box.ack(rows[1].id)

    box.give_back(row.id for row in (rows[3], rows[0]))
    box.give_back([rows[2].id])

    assert numbers(box.take(10)) == [0, 2, 3, 4, 5]


def test_it_keeps_what_belongs_to_a_row(box):
    box.put("run-1", "a/b", b"1", source="s", seq=7, version="1.2.0", keep=True)
    box.put("run-alert-1", "a/alert", b"2")

    first, second = box.take(2)

    assert first[1:7] == ("run-1", "s", 7, "a/b", b"1", "1.2.0")
    assert second[1:7] == ("run-alert-1", "", 0, "a/alert", b"2", "")
    assert abs(first.timestamp_ns - time.time_ns()) < 10 * 10**9
    assert first.id < second.id
    assert (box.size, box.empty) == (1, False)  # an alert is no result


def test_after_a_pause_new_rows_go_before_the_backlog_and_do_not_starve_it(box, monkeypatch):
    monkeypatch.setattr(queue, "LIVE_NS", 500_000_000)
    box.fill(400)
    time.sleep(0.6)
    box.connected()
    wait_until(lambda: len(box._queue._old) >= 100)
    box.fill(40, start=1000)
    rows = box.empty_out()

    live = [row for row in rows if row.accepted_ns and int(row.payload) >= 1000]
    late = [row for row in rows if int(row.payload) < 1000]
    assert sorted(numbers(rows)) == [*range(400), *range(1000, 1040)]
    assert numbers(live) == sorted(numbers(live))
    assert numbers(late) == list(range(400))
    assert set(numbers(rows)[:54]) == {*range(1000, 1040), *range(14)}  # three of four are new
    overtaken = [row for row in late if rows.index(row) > 1 and row.accepted_ns]
    assert overtaken == []  # so each of them will be marked as historical


def test_whether_a_row_is_historical_is_settled_with_its_place_in_the_order(box, monkeypatch):
    monkeypatch.setattr(queue, "LIVE_NS", 50_000_000)
    envelope = Envelope(0, "json")
    put = functools.partial(box.put, "run-1", "t", b'{"historical":false}', source="s", seq=0)
    put()
    (live,) = box.take(1)
    put()
    time.sleep(0.06)
    (late,) = box.take(1)

    assert envelope.seal(live)[0] == b'{"historical":false}'  # however long the sender took
    assert envelope.seal(late)[0] == b'{"historical":true}'


def test_new_rows_that_were_stuck_too_long_do_not_go_before_the_backlog(box, monkeypatch):
    monkeypatch.setattr(queue, "LIVE_NS", 100_000_000)
    box.fill(400)
    time.sleep(0.12)
    box.connected()
    box.fill(40, start=1000)
    if box._writer:
        box.wait_until_saved()
    time.sleep(0.12)  # the broker is frozen, and the connection not yet lost

    assert numbers(box.empty_out()) == [*range(400), *range(1000, 1040)]


def test_two_threads_lose_nothing_and_keep_the_order(box, monkeypatch):
    monkeypatch.setattr(queue, "LIVE_NS", 10**12)  # however slow the machine, none is overtaken
    total, taken = 5000, []

    def consume() -> None:
        rounds, until = 0, time.monotonic() + 30
        while len(taken) < total and time.monotonic() < until:
            rows, rounds = box.take(7), rounds + 1
            if rounds % 3 == 0:
                box.give_back(row.id for row in rows)
                continue
            for row in rows:
                box.ack(row.id)
            taken.extend(rows)

    consumer = threading.Thread(target=consume)
    consumer.start()
    box.fill(total)
    consumer.join()

    assert numbers(taken) == list(range(total))
    assert (box.size, box._queue.bytes, box.dropped) == (0, 0, 0)


def test_in_memory_a_full_one_drops_the_oldest_counts_it_and_raises_one_alarm():
    box = Box(rows=3)
    box.fill(5)

    assert numbers(box.take(10)) == [2, 3, 4]
    assert box.dropped == 2
    assert box.alarms == [("outbox-full", False)]


def test_bytes_bound_it_as_well_as_rows():
    box = Box(memory_mb=10 * (100 + ROW_BYTES) / 1e6)
    box.fill(50, size=100)

    assert (box.size, box._queue.bytes) == (10, 10 * (100 + ROW_BYTES))
    assert box.dropped == 40


def test_rows_in_flight_are_not_dropped_under_the_hands_of_the_sender():
    box = Box(rows=3)
    box.fill(3)
    taken = box.take(2)

    box.fill(4, start=3)

    box.give_back(row.id for row in taken)
    assert numbers(box.take(10)) == [0, 1, 6]


def test_a_row_larger_than_the_outbox_is_lost_and_the_rest_lives_on():
    box = Box(memory_mb=0.001)

    assert box.fill(1, size=2000) == [False]
    assert (box.size, box.dropped) == (0, 1)
    assert not box.full  # or a recorded stream would wait for ever
    box.fill(1)
    assert numbers(box.take(1)) == [0]


@pytest.mark.parametrize("limits", [{"rows": 4}, {"memory_mb": 4 * (50 + ROW_BYTES) / 1e6}])
def test_it_is_full_just_before_one_more_row_pushes_another_out(limits: dict):
    box = Box(**limits)
    while not box.full:
        box.fill(1, size=50)

    assert (box.size, box.dropped) == (4, 0)
    box.fill(1, size=50)
    assert box.dropped == 1


def test_a_stream_that_is_kept_is_refused_when_there_is_no_room():
    box = Box(rows=4)
    assert box.fill(6, keep=True) == [True] * 4 + [False] * 2
    assert box.fill(2, start=6, source="camera") == [False] * 2

    assert numbers(box.take(10)) == [0, 1, 2, 3]
    assert box.dropped == 4


def test_kept_rows_outlast_those_that_are_not():
    box = Box(rows=4)
    box.fill(2, keep=True)
    box.fill(6, start=2, source="camera")

    assert numbers(box.take(10)) == [0, 1, 6, 7]


def test_every_loss_is_told_by_source_run_and_reason(monkeypatch):
    monkeypatch.setattr(gap, "RIPEN_NS", 0)
    box = Box(rows=4)
    box.fill(6, source="a")
    box.fill(3, source="b", keep=True)
    box.put("other-1", "t", b"9", source="b", seq=9)

    records = [row for row in box.take(100) if row.id < 0]

    losses = {(entry.source, entry.run, entry.reason): entry for entry in box.told}
    assert {key: entry[4:7] for key, entry in losses.items()} == {
        ("a", "run", "full"): (0, 2, 3),
        ("b", "run", "rejected"): (0, 2, 3),
    }
    assert len(records) == 2
    assert box.dropped == 6
    assert {row.topic for row in records} == {"t/gap"}
    assert all(box.ack(row.id) for row in records)
    assert box.take(100) == []


def test_a_gap_ripens_before_it_is_told_and_is_told_again_if_it_did_not_arrive(monkeypatch):
    monkeypatch.setattr(gap, "RIPEN_NS", 200_000_000)
    box = Box(rows=1)
    box.fill(3)
    assert [row.id > 0 for row in box.take(10)] == [True]

    time.sleep(0.25)
    assert box.waiting
    record = box.take(10)[0]
    box.give_back([record.id])

    assert box.take(10) == [record]
    assert box.told[0].count == 2


def test_an_alarm_about_losses_ends_when_there_were_none_for_a_while(monkeypatch):
    monkeypatch.setattr("edge_runtime.outbox.outbox.CALM_S", 0.05)
    box = Box(rows=2)
    box.fill(3)
    rows = box.take(2)
    time.sleep(0.1)
    box.ack(rows[0].id)

    assert box.alarms == [("outbox-full", False), ("outbox-full", True)]
    box.fill(4)
    assert box.alarms[2:] == [("outbox-full", False)]


def test_what_the_broker_refuses_for_good_is_counted_and_told(box, monkeypatch):
    monkeypatch.setattr(gap, "RIPEN_NS", 0)
    box.fill(2)
    row = box.take(1)[0]

    box.bury(row.id, "not authorized")
    box.bury(row.id, "not authorized")

    assert (box.refused, box.size) == (1, 1)
    assert numbers(box.take(5)) == [1]
    assert [(entry.reason, entry.count) for entry in box.told] == [("refused", 1)]


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"rows": -1}, "rows"),
        ({"disk_mb": 0.0}, "disk_mb"),
        ({"memory_mb": 0.0001}, "memory_mb"),
        ({"age_s": -1.0}, "age_s"),
        ({"confirm_s": 0.5}, "confirm_s"),
    ],
)
def test_an_impossible_limit_is_refused(options: dict, key: str):
    with pytest.raises(BadOptionError) as caught:
        Limits(**options)
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("options", "source", "beats", "kept"),
    [
        ({}, "camera", False, False),
        ({}, "ecg", True, True),
        ({"when_full": "drop-oldest"}, "ecg", True, False),
        ({"when_full": "reject"}, "camera", False, True),
        ({"when_full": "drop-oldest", "reject": ("door",)}, "door", False, True),
    ],
)
def test_when_full_is_a_matter_of_the_stream(options: dict, source: str, beats: bool, kept: bool):
    assert Limits(**options).keeps(source, beats=beats) == kept


class AgainstAModel(RuleBasedStateMachine):
    """Any sequence of calls: nothing is lost that is not counted, nothing is invented."""

    def __init__(self) -> None:
        super().__init__()
        self.box = Box(rows=5, memory_mb=5 * (20 + ROW_BYTES) / 1e6)
        self.put_, self.acked = 0, 0
        self.flying: list = []

    @rule(size=st.integers(1, 40), keep=st.booleans())
    def put(self, size: int, keep: bool) -> None:
        self.box.fill(1, start=self.put_, size=size, keep=keep)
        self.put_ += 1

    @rule(count=st.integers(0, 4))
    def take(self, count: int) -> None:
        rows = [row for row in self.box.take(count) if row.id > 0]
        assert len(rows) <= count
        self.flying += rows
        assert numbers(self.flying) == sorted(numbers(self.flying))

    @rule(data=st.data())
    def ack(self, data) -> None:
        if self.flying:
            row = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
            assert self.box.ack(row.id)
            self.acked += 1

    @rule()
    def give_back(self) -> None:
        self.box.give_back(row.id for row in self.flying)
        self.flying = []

    @invariant()
    def every_row_is_somewhere(self) -> None:
        box = self.box
        assert self.put_ == self.acked + box.dropped + box.size
        assert box.size <= 5
        assert box._queue.bytes <= 5 * (20 + ROW_BYTES)
        noted = [*box.told, *box._gaps._open.values()]
        assert sum(entry.count for entry in noted) == box.dropped


AgainstAModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestAgainstAModel = AgainstAModel.TestCase
