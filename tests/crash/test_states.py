"""The outbox's file after power cuts at every operation: nothing lost, nothing invented."""

from __future__ import annotations

import os

import pytest

from ..needs import program
from .campaign import Campaign

JOBS = min(2, os.cpu_count() or 1)


def campaign(wanted: int, *words: str) -> Campaign:
    program("gcc", "gcc")
    found = Campaign(wanted, words)
    found.run(JOBS)
    assert found.total("states") >= wanted
    return found


def test_p10_a_power_cut_at_any_operation_loses_and_damages_nothing():
    found = campaign(20_000)

    assert not found.violations, found.violations[:5]
    assert found.total("points") > 5_000
    assert found.total("posix") > 0


def test_p10_durability_process_loses_nothing_to_a_kill_and_is_not_damaged_by_a_power_cut():
    found = campaign(1_500, "--store", "process")

    assert not found.violations, found.violations[:5]


def test_p12_p13_a_power_cut_after_failing_operations_loses_and_damages_nothing():
    found = campaign(5_000, "--faults")

    assert not found.violations, found.violations[:5]


@pytest.mark.parametrize(
    ("setting", "harm"), [("NORMAL", {"lost"}), ("OFF", {"lost", "corrupt", "damaged"})]
)
def test_p10_the_check_has_teeth(setting: str, harm: set[str]):
    found = campaign(600, "--store", setting, "--budget", "200")

    text = "".join(found.violations)
    seen = {word for word in harm if f"'{word}" in text or f'"{word}' in text}
    assert seen == harm
    if setting == "NORMAL":  # a log without its end is whole all the same
        assert "corrupt" not in text
        assert "damaged" not in text
