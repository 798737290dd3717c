"""What the outbox promises: order, a bound, and a count of every loss."""

from __future__ import annotations

import logging
import threading
import time

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge_runtime.errors import BadOptionError
from edge_runtime.outbox import ROW_BYTES, MemoryOutbox, Outbox


def outbox(rows_max: int = 100, bytes_max: int = 10**6) -> MemoryOutbox:
    return MemoryOutbox(rows_max=rows_max, bytes_max=bytes_max)


def fill(box: Outbox, count: int, start: int = 0, size: int = 3) -> None:
    for number in range(start, start + count):
        box.put("t", str(number).encode().ljust(size))


def payloads(rows) -> list[int]:
    return [int(row.payload) for row in rows]


def test_rows_leave_in_the_order_in_which_they_came():
    box = outbox()
    fill(box, 5)

    assert payloads(box.take(2)) == [0, 1]
    assert payloads(box.take(10)) == [2, 3, 4]
    assert box.take(10) == []


def test_a_row_counts_until_it_is_acknowledged():
    box = outbox()
    fill(box, 2)

    rows = box.take(2)
    assert (box.size, box.waiting) == (2, 0)
    box.ack(rows[1].id)
    assert (box.size, box.size_bytes) == (1, 3 + ROW_BYTES)
    box.ack(rows[0].id)
    assert (box.size, box.size_bytes) == (0, 0)


def test_acknowledging_twice_or_a_stranger_changes_nothing():
    box = outbox()
    fill(box, 2)
    row = box.take(1)[0]

    box.ack(row.id)
    box.ack(row.id)
    box.ack(999)

    assert box.size == 1


def test_a_lost_connection_puts_rows_back_in_front():
    box = outbox()
    fill(box, 6)
    rows = box.take(4)
    box.ack(rows[1].id)

    box.rewind()

    assert payloads(box.take(10)) == [0, 2, 3, 4, 5]


def test_a_full_outbox_drops_the_oldest_and_counts_it(caplog):
    box = outbox(rows_max=3)
    with caplog.at_level(logging.WARNING):
        fill(box, 5)

    assert payloads(box.take(10)) == [2, 3, 4]
    assert box.dropped == 2
    assert len(caplog.records) == 1  # the first loss is told, the others are counted


def test_bytes_bound_it_as_well_as_rows():
    box = outbox(bytes_max=10 * (100 + ROW_BYTES))
    fill(box, 50, size=100)

    assert box.size == 10
    assert box.size_bytes == 10 * (100 + ROW_BYTES)
    assert box.dropped == 40


def test_rows_in_flight_are_not_dropped_under_the_hands_of_the_sender():
    box = outbox(rows_max=3)
    fill(box, 3)
    taken = box.take(2)

    fill(box, 4, start=3)

    box.rewind()
    assert payloads(box.take(10)) == [*payloads(taken), 6]


def test_a_row_larger_than_the_outbox_is_lost_and_the_rest_lives_on():
    box = outbox(bytes_max=1000)
    box.put("t", b"x" * 2000)

    assert (box.size, box.dropped) == (0, 1)
    assert not box.full  # or a recorded stream would wait for ever
    fill(box, 1)
    assert payloads(box.take(1)) == [0]


@pytest.mark.parametrize(("rows_max", "bytes_max"), [(4, 10**6), (10**6, 4 * (50 + ROW_BYTES))])
def test_it_is_full_just_before_one_more_row_pushes_another_out(rows_max: int, bytes_max: int):
    box = outbox(rows_max, bytes_max)
    while not box.full:
        fill(box, 1, size=50)

    assert (box.size, box.dropped) == (4, 0)
    fill(box, 1, size=50)
    assert box.dropped == 1


def test_it_keeps_the_version_and_the_time_of_a_row():
    box = outbox()
    box.put("a/b", b"1", "1.2.0")
    box.put("a/b", b"2")

    first, second = box.take(2)

    assert (first.topic, first.version, second.version) == ("a/b", "1.2.0", "")
    assert 0 < first.accepted_ns <= second.accepted_ns
    assert first.id != second.id


@pytest.mark.parametrize(
    ("limits", "key"),
    [
        ({"rows_max": 0, "bytes_max": 999}, "outbox_rows"),
        ({"rows_max": 1, "bytes_max": 0}, "outbox_mb"),
    ],
)
def test_a_bound_without_room_for_a_row_is_refused(limits: dict, key: str):
    with pytest.raises(BadOptionError) as caught:
        MemoryOutbox(**limits)
    assert caught.value.key == key


def test_two_threads_lose_nothing_and_keep_the_order():
    total, taken = 10_000, []
    box = outbox(rows_max=total, bytes_max=10**8)

    def consume() -> None:
        rounds, until = 0, time.monotonic() + 30
        while len(taken) < total and time.monotonic() < until:
            rows, rounds = box.take(7), rounds + 1
            if rounds % 3 == 0:
                box.rewind()
                continue
            for row in rows:
                box.ack(row.id)
            taken.extend(rows)

    consumer = threading.Thread(target=consume)
    consumer.start()
    fill(box, total)
    consumer.join()

    assert payloads(taken) == list(range(total))
    assert (box.size, box.size_bytes, box.dropped) == (0, 0, 0)


class AgainstAModel(RuleBasedStateMachine):
    """Any sequence of calls: nothing is lost that is not counted, nothing is invented."""

    def __init__(self) -> None:
        super().__init__()
        self.box = outbox(rows_max=5, bytes_max=5 * (20 + ROW_BYTES))
        self.put_, self.acked = 0, 0
        self.flying: list = []

    @rule(size=st.integers(1, 40))
    def put(self, size: int) -> None:
        self.box.put("t", str(self.put_).encode().ljust(size))
        self.put_ += 1

    @rule(count=st.integers(0, 4))
    def take(self, count: int) -> None:
        rows = self.box.take(count)
        assert len(rows) <= count
        self.flying += rows
        assert payloads(self.flying) == sorted(payloads(self.flying))

    @rule(data=st.data())
    def ack(self, data) -> None:
        if self.flying:
            row = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
            self.box.ack(row.id)
            self.acked += 1

    @rule()
    def rewind(self) -> None:
        self.box.rewind()
        self.flying = []

    @invariant()
    def every_row_is_somewhere(self) -> None:
        assert self.put_ == self.acked + self.box.dropped + self.box.size
        assert self.box.size == self.box.waiting + len(self.flying)
        assert self.box.size <= 5
        assert self.box.size_bytes <= 5 * (20 + ROW_BYTES)


AgainstAModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestAgainstAModel = AgainstAModel.TestCase
