"""What each step of an update makes of the journal: pure, and none out of its order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from edge_runtime.errors import UpdateError

from .journal import FACTORY, Installed, Journal, Quarantined, State

BY_HAND = "by-hand"  # a reason to roll back that a person may take back
STARTS = 3  # of the pipeline during a trial; the last one of them rolls back
MOST_QUARANTINED = 32  # the oldest go first


def fetching(journal: Journal, release: Installed, job: str = "") -> Journal:
    _not_on_trial(journal)
    return replace(
        journal, state="fetching", candidate=release, approved=False, starts=0, reason="", job=job
    )


def staged(journal: Journal, release: Installed) -> Journal:
    job = journal.job if journal.candidate == release else ""
    return replace(fetching(journal, release, job), state="staged")


def verified(journal: Journal) -> Journal:
    _candidate(journal, "staged")
    return replace(journal, state="verified")


def validated(journal: Journal, summary: str) -> Journal:
    _candidate(journal, "verified")
    return replace(journal, state="validated", reason=summary)


def rejected(journal: Journal, reason: str, *, quarantine: bool = True) -> Journal:
    """`quarantine`: the digest itself is at fault, not what became of it on the way."""
    candidate = _candidate(journal, "fetching", "staged", "verified", "validated")
    ended = replace(journal, state="rejected", candidate=None, approved=False, reason=reason)
    return _quarantined(ended, candidate, reason) if quarantine else ended


def approved(journal: Journal) -> Journal:
    _candidate(journal, "validated")
    return replace(journal, approved=True)


def on_trial(journal: Journal) -> Journal:
    _candidate(journal, "validated")
    return replace(journal, state="trial", starts=0, reason="")


def started(journal: Journal) -> Journal:
    """One more start during the trial; rolls back at the last that is allowed."""
    _candidate(journal, "trial")
    starts = journal.starts + 1
    if starts >= STARTS:
        return rolled_back(replace(journal, starts=starts), "restarts")
    return replace(journal, starts=starts)


def committed(journal: Journal) -> Journal:
    candidate = _candidate(journal, "trial")
    floor = dict(journal.floor)
    floor[candidate.name] = max(floor.get(candidate.name, 0), candidate.counter)
    same = candidate.digest == journal.active.digest  # the same bytes under a later counter
    return replace(
        journal,
        state="committed",
        active=candidate,
        previous=journal.previous if same else journal.active,
        candidate=None,
        approved=False,
        starts=0,
        reason="",
        floor=tuple(sorted(floor.items())),
    )


def rolled_back(journal: Journal, reason: str, *, quarantine: bool = True) -> Journal:
    """Off trial: back to the active model. Otherwise from the active to the previous one.

    What a person rolled back stays as the previous model, so that it can be taken back.
    Raises UpdateError("no-previous") when the factory model is live.
    """
    ended = replace(
        journal, state="rolled_back", candidate=None, approved=False, starts=0, reason=reason
    )
    if journal.state == "trial" and journal.candidate is not None:
        return _quarantined(ended, journal.candidate, reason) if quarantine else ended
    target = FACTORY if journal.previous is None else journal.previous
    if not journal.active.digest and (not target.digest or reason != BY_HAND):
        raise UpdateError("the factory model is live: nothing to go back to", reason="no-previous")
    ended = replace(ended, active=target, previous=journal.active if reason == BY_HAND else None)
    if reason == BY_HAND:
        ended = _lifted(ended, target)
    return _quarantined(ended, journal.active, reason)


def dropped(journal: Journal, reason: str) -> Journal:
    """Without the candidate, which is lost and may be fetched again."""
    _candidate(journal, "fetching", "staged", "verified", "validated")
    return replace(journal, state="idle", candidate=None, approved=False, starts=0, reason=reason)


def fallen(journal: Journal, to: Installed, reason: str) -> Journal:
    """On another model, because the active one is damaged."""
    return replace(journal, active=to, previous=None, reason=reason)


def is_quarantined(journal: Journal, model: Installed) -> bool:
    return any(
        (one.digest, one.counter) == (model.digest, model.counter) for one in journal.quarantine
    )


def _quarantined(journal: Journal, model: Installed, reason: str) -> Journal:
    if not model.digest:
        return journal
    others = _without(journal.quarantine, model)
    entries = (*others, Quarantined(model.digest, model.counter, reason))
    return replace(journal, quarantine=entries[-MOST_QUARANTINED:])


def _lifted(journal: Journal, model: Installed) -> Journal:
    return replace(journal, quarantine=tuple(_without(journal.quarantine, model)))


def _without(entries: Iterable[Quarantined], model: Installed) -> list[Quarantined]:
    return [one for one in entries if (one.digest, one.counter) != (model.digest, model.counter)]


def _candidate(journal: Journal, *states: State) -> Installed:
    if journal.state not in states or journal.candidate is None:
        raise UpdateError(
            f"the update is {journal.state}: this needs {' or '.join(states)}", reason="order"
        )
    return journal.candidate


def _not_on_trial(journal: Journal) -> None:
    if journal.state == "trial":
        raise UpdateError("a model is on trial: wait for its verdict", reason="on-trial")
