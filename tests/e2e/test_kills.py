"""P11, M05, M06: nothing that was accepted is lost by SIGKILL, whatever happens to the broker."""

from __future__ import annotations

import pytest

from tests.kills import campaign

KILLS = 200


@pytest.mark.timeout(600)
def test_p11_two_hundred_kills_lose_nothing_and_keep_the_order():
    tallies = campaign(KILLS, lanes=4, seed=11)

    assert [trouble for tally in tallies for trouble in tally.troubles] == []
    assert sum(tally.kills for tally in tallies) == KILLS
    assert all(tally.accepted and tally.arrived and tally.broker_faults for tally in tallies)
