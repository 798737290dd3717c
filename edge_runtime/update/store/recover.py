"""What a store must do after any end of the process before it: pure, and the same when repeated.

The journal decides; the links follow it. Whatever the journal needs must lie there whole, by its
hash; what does not is set aside, and the next best model takes its place: the model before the
trial, the previous one, the factory model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from . import steps
from .journal import FACTORY, Installed, Journal


class Links(NamedTuple):
    """To which digest each leads; "" where there is none."""

    active: str = ""
    previous: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What lies in the store. `is_whole` hashes a slot; `alone`: no other process is updating."""

    slots: frozenset[str]
    is_whole: Callable[[str], bool]
    factory: bool  # it exists
    alone: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, in this order; `lost`: there is no model at all."""

    aside: tuple[str, ...]  # damaged slots, or what stands in their place
    journal: Journal
    links: Links
    keep: frozenset[str]  # slots; the others go
    lost: bool


def plan(journal: Journal, seen: Seen) -> Plan:
    """From what the journal says and what is there to what shall be."""
    damaged: list[str] = []

    def is_there(model: Installed) -> bool:
        if not model.digest:
            return seen.factory
        if model.digest not in seen.slots or not seen.is_whole(model.digest):
            damaged.append(model.digest)
        return model.digest not in damaged

    if journal.state == "trial" and not is_there(journal.live):
        journal = steps.rolled_back(journal, "damaged", quarantine=False)
    if seen.alone and journal.candidate is not None:
        journal = _resumed(journal, seen.slots)
    lost = False
    if journal.state != "trial" and not is_there(journal.active):
        journal, lost = _fallen(journal, is_there)
    return Plan(tuple(dict.fromkeys(damaged)), journal, links(journal), kept(journal), lost)


def links(journal: Journal) -> Links:
    previous = journal.previous.digest if journal.previous else ""
    return Links(journal.live.digest, previous)


def kept(journal: Journal) -> frozenset[str]:
    """The slots that something may still need: never collected."""
    models = [journal.active, journal.previous]
    if journal.state in ("staged", "verified", "validated", "trial"):
        models.append(journal.candidate)
    return frozenset(model.digest for model in models if model is not None and model.digest)


def rebuilt(known: Journal | None, found: Links, is_whole: Callable[[str], bool]) -> Journal:
    """In place of a journal that is lost: the last that the history holds, else from the links."""
    if known is not None:
        return replace(known, reason="journal-lost")
    whole = (Installed(digest) for digest in found if digest and is_whole(digest))
    return Journal(active=next(whole, FACTORY), reason="journal-lost")


def _resumed(journal: Journal, slots: frozenset[str]) -> Journal:
    """A candidate half laid out is fetched again; one without its slot is none."""
    if journal.state == "staged":
        return replace(journal, state="fetching")
    if journal.state in ("verified", "validated") and (
        journal.candidate is None or journal.candidate.digest not in slots
    ):
        return steps.dropped(journal, "slot-lost")
    return journal


def _fallen(journal: Journal, is_there: Callable[[Installed], bool]) -> tuple[Journal, bool]:
    before = journal.previous
    for model in (before, FACTORY):
        if (
            model is not None
            and model.digest != journal.active.digest
            and not steps.is_quarantined(journal, model)
            and is_there(model)
        ):
            return steps.fallen(journal, model, "damaged"), False
    return steps.fallen(journal, FACTORY, "damaged"), True
