"""When confirmations go, and what is not kept of them."""

from __future__ import annotations

import pytest

from edge_runtime.mqtt import confirmations
from edge_runtime.mqtt.confirmations import DELAY_S, IDS_MAX, Confirmations


def test_the_thread_is_woken_for_the_first_id_and_for_each_full_message():
    held = Confirmations()

    woken = [number for number in range(2 * IDS_MAX) if held.add("edge/d/p", str(number))]

    assert woken == [0, IDS_MAX - 1, 2 * IDS_MAX - 1]


def test_an_id_waits_for_others_but_not_longer_than_it_may():
    held = Confirmations()
    assert held.due_in_s(1.0) == 1.0
    held.add("edge/d/p", "1")

    assert 0.0 < held.due_in_s(1.0) <= DELAY_S
    assert held.due_in_s(0.01) <= 0.01
    assert not held.settled


def test_ids_beyond_what_is_held_without_a_connection_are_left_to_the_repeat(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(confirmations, "HELD_MAX", 3)
    held = Confirmations()
    for number in range(5):
        held.add("edge/d/p", str(number))

    assert held._next(all_now=True) == ("edge/d/p", ["0", "1", "2"])
    assert held.settled
