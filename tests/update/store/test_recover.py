"""Recovery is a pure function: every store that can be is tried."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import get_args

import pytest

from edge_runtime.update.store import recover, steps
from edge_runtime.update.store.journal import FACTORY, Installed, Journal, Quarantined, State
from edge_runtime.update.store.journal_file import WITH_CANDIDATE, DamagedError, decoded, encoded
from edge_runtime.update.store.recover import Seen

OLDER, OLD, NEW = (Installed(mark * 64, "m", mark, number) for number, mark in enumerate("abc", 1))


def everything():
    """Each state, with each choice of models, each set of slots, each damage."""
    for state, active, previous, factory, alone in product(
        get_args(State), (FACTORY, OLD), (None, FACTORY, OLDER), (True, False), (True, False)
    ):
        candidate = NEW if state in WITH_CANDIDATE else None
        for blocked in (False, True):
            quarantine = (Quarantined(OLDER.digest, OLDER.counter, "by-hand"),) if blocked else ()
            journal = Journal(state, active, previous, candidate, floor=(("m", 2),),
                              quarantine=quarantine)  # fmt: skip
            for health in product(("whole", "damaged", "missing"), repeat=3):
                yield journal, dict(zip((OLDER, OLD, NEW), health, strict=True)), factory, alone


def seen(health: dict[Installed, str], factory: bool, alone: bool) -> Seen:
    slots = {model.digest: word for model, word in health.items() if word != "missing"}
    return Seen(frozenset(slots), lambda digest: slots[digest] == "whole", factory, alone)


def test_p05_p15_recovery_ends_on_a_whole_model_wherever_there_is_one_and_twice_is_once():
    tried = 0
    for journal, health, factory, alone in everything():
        plan = recover.plan(journal, seen(health, factory, alone))
        tried += 1

        live = plan.journal.live
        is_whole = factory if live == FACTORY else health[live] == "whole"
        assert is_whole != plan.lost
        if plan.lost:  # there was none that could be trusted
            rest = [journal.active, journal.previous, FACTORY]
            assert not any(
                (factory if model == FACTORY else health[model] == "whole")
                for model in rest
                if model is not None and not steps.is_quarantined(journal, model)
            )
        assert plan.journal.floor == journal.floor
        assert set(journal.quarantine) <= set(plan.journal.quarantine)
        left = {model: "missing" if model.digest in plan.aside else word
                for model, word in health.items()}  # fmt: skip
        left = {model: word if model.digest in plan.keep else "missing"
                for model, word in left.items()}  # fmt: skip
        again = recover.plan(plan.journal, seen(left, factory, alone))
        assert (again.journal, again.links, again.keep) == (plan.journal, plan.links, plan.keep)
    assert tried == 9 * 2 * 3 * 2 * 2 * 2 * 27


def test_p06_what_a_rollback_needs_is_kept_in_every_state():
    for journal, health, factory, alone in everything():
        if "damaged" in health.values() or "missing" in health.values() or not factory:
            continue
        plan = recover.plan(journal, seen(health, factory, alone))

        needed = {plan.journal.active, plan.journal.previous, plan.journal.live} - {None, FACTORY}
        assert {model.digest for model in needed} <= plan.keep
        assert plan.journal.live == journal.live
        assert not plan.aside


@pytest.mark.parametrize("state", get_args(State))
def test_steps_out_of_their_order_are_refused(state: State):
    journal = Journal(state, OLD, OLDER, NEW if state in WITH_CANDIDATE else None)
    may = {
        "verified": {"staged"},
        "validated": {"verified"},
        "rejected": {"fetching", "staged", "verified", "validated"},
        "approved": {"validated"},
        "on_trial": {"validated"},
        "started": {"trial"},
        "committed": {"trial"},
        "fetching": set(get_args(State)) - {"trial"},
        "staged": set(get_args(State)) - {"trial"},
    }
    words = {"validated": ("ok",), "rejected": ("slow",), "fetching": (NEW,), "staged": (NEW,)}
    for name, states in may.items():
        step = getattr(steps, name)
        if state in states:
            assert step(journal, *words.get(name, ())).floor == journal.floor or name == "committed"
        else:
            with pytest.raises(steps.UpdateError) as refused:
                step(journal, *words.get(name, ()))
            assert refused.value.reason in ("order", "on-trial")


def test_p05_a_rollback_by_hand_can_be_taken_back_and_others_cannot():
    journal = Journal("committed", OLD, OLDER, floor=(("m", 2),))

    back = steps.rolled_back(journal, steps.BY_HAND)
    forth = steps.rolled_back(back, steps.BY_HAND)
    revoked = steps.rolled_back(journal, "revoked")

    assert (back.active, back.previous) == (OLDER, OLD)
    assert steps.is_quarantined(back, OLD)
    assert (forth.active, forth.previous) == (OLD, OLDER)
    assert not steps.is_quarantined(forth, OLD)
    assert (revoked.active, revoked.previous) == (OLDER, None)
    assert steps.rolled_back(revoked, "revoked").active == FACTORY
    with pytest.raises(steps.UpdateError) as nothing:
        steps.rolled_back(Journal(), steps.BY_HAND)
    assert nothing.value.reason == "no-previous"


def test_a10_a_commit_never_lowers_a_floor():
    trial = Journal("trial", OLD, None, NEW, floor=(("m", 9), ("other", 4)))

    assert steps.committed(trial).floor == (("m", 9), ("other", 4))
    assert dict(steps.committed(replace(trial, floor=())).floor) == {"m": NEW.counter}


def test_the_quarantine_has_an_end_and_keeps_the_latest():
    journal = Journal()
    for counter in range(1, 100):
        model = Installed(f"{counter:064x}", "m", "1", counter)
        journal = steps.rejected(steps.fetching(journal, model), "slow")

    assert len(journal.quarantine) == steps.MOST_QUARANTINED
    assert journal.quarantine[-1].counter == 99


WHOLE = encoded(Journal("trial", OLD, OLDER, NEW, floor=(("m", 2),), time_floor=5,
                        quarantine=(Quarantined(OLD.digest, 1, "worse"),)))  # fmt: skip


def test_a_journal_comes_back_as_it_was():
    assert encoded(decoded(WHOLE)) == WHOLE


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (WHOLE, b""),
        (WHOLE, b"\0" * len(WHOLE)),
        (WHOLE, b"null"),
        (WHOLE, b"[" * 100_000),
        (b'"format": 1', b'"format": 2'),
        (b'"format": 1', b'"format": 1, "format": 1'),
        (b'"format": 1', b'"format": 1, "more": 1'),
        (b'"starts": 0', b'"starts": -1'),
        (b'"starts": 0', b'"starts": true'),
        (b'"starts": 0', b'"starts": 0.0'),
        (b'"starts": 0', b'"starts": NaN'),
        (b'"starts": 0', b'"starts": 9223372036854775808'),
        (b'"trial"', b'"tried"'),
        (b'"trial"', b'"idle"'),
        (b'"trial"', b'["trial"]'),
        (b"a" * 64, b"A" * 64),
        (b"a" * 64, b"../" * 21 + b"a"),
        (b'"approved": false', b'"approved": 0'),
        (b'"worse"', b"null"),
        (b'"m",\n   2', b'"m",\n   2,\n   3'),
    ],
)
def test_a_journal_that_is_anything_else_is_damage(old: bytes, new: bytes):
    content = WHOLE.replace(old, new)
    assert content != WHOLE

    with pytest.raises(DamagedError):
        decoded(content)
