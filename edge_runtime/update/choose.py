"""Which release is this device's? Decided from what was signed alone: no server, no clock, no I/O.

Every device answers for itself whether it is among the first ten per cent: by a hash of its name
and the release. So thousands need no coordinator, and a raised percentage only ever adds devices.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from .release import Release
from .store.journal import Journal

Refusal = Literal[
    "revoked",  # taken back by the maker
    "current",  # it is what runs
    "incompatible",  # made for another model, task, board, or more than this one has
    "older",  # below what was committed here once
    "quarantined",  # failed on this device
    "not-in-cohort",  # the percentage has not reached this device
    "not-yet",  # its time has not come
]


@dataclass(frozen=True, slots=True)
class Device:
    """What releases are chosen by. `model` is the name of the pipeline's model.

    `memory_mb` is what the board has; 0 is not known, and then no release that asks for some fits.
    """

    name: str
    model: str
    task: str
    profile: str
    arch: str  # as `uname -m`
    formats: tuple[str, ...]  # that this installation runs
    memory_mb: int
    version: str  # of edge-runtime


@dataclass(frozen=True, slots=True)
class Choice:
    """`release` is the one to install, None when there is nothing better than what runs.

    `refused` says a word for each that may not be installed. `revoked` is the release that runs
    now, when its maker took it back: the client rolls back at once, whatever else was chosen.
    """

    release: Release | None
    refused: tuple[tuple[Release, Refusal], ...]
    revoked: Release | None


def choose(releases: Iterable[Release], device: Device, journal: Journal, now: int) -> Choice:
    """The eligible release with the highest counter; `now` in seconds since 1970, UTC."""
    listed = sorted(releases, key=lambda release: release.counter, reverse=True)
    refused: list[tuple[Release, Refusal]] = []
    chosen, revoked, settled = None, None, False
    for release in listed:
        word = refusal(release, device, journal, now)
        if word is None and settled:
            continue  # a higher one was chosen, or runs
        if word is None:
            chosen, settled = release, True
            continue
        refused.append((release, word))
        running = release.digest == journal.active.digest
        settled = settled or word == "current"
        revoked = release if running and word == "revoked" else revoked
    return Choice(chosen, tuple(refused), revoked)


def refusal(release: Release, device: Device, journal: Journal, now: int) -> Refusal | None:
    """Why this device does not take a release; None when it may."""
    floor = dict(journal.floor).get(release.name, 0)
    failed = {(entry.digest, entry.counter) for entry in journal.quarantine}
    grounds: tuple[tuple[Refusal, bool], ...] = (
        ("revoked", bool(release.revoked)),
        ("current", release.digest == journal.active.digest),
        ("incompatible", bool(mismatch(release, device))),
        ("older", release.counter < floor and not release.allow_downgrade),
        ("quarantined", (release.digest, release.counter) in failed),
        ("not-in-cohort", not in_cohort(release, device.name)),
        ("not-yet", now < release.not_before),
    )
    return next((word for word, holds in grounds if holds), None)


def mismatch(release: Release, device: Device) -> str:
    """What of a release does not fit the device, for a person; empty when all does."""
    facts: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
        ("model", (release.name,), (device.model,)),
        ("task", (release.task,), (device.task,)),
        ("format", release.formats, device.formats),
        ("architecture", release.archs or (device.arch,), (device.arch,)),
        ("board", release.profiles or (device.profile,), (device.profile,)),
    )
    for what, wanted, have in facts:
        if not set(wanted) & set(have):
            return f"{what} {_or(wanted)}, here is {_or(have)}"
    if release.min_memory_mb > device.memory_mb:
        return f"memory of {release.min_memory_mb} MB, here are {device.memory_mb}"
    if _numbers(release.min_version) > _numbers(device.version):
        return f"edge-runtime {release.min_version}, here is {device.version}"
    return ""


def in_cohort(release: Release, device: str) -> bool:
    """Whether a rollout has reached a device: by its name, or by the percentage."""
    return device in release.devices or share(device, release) * 100 < release.percent


def share(device: str, release: Release) -> float:
    """Where a device stands in a release's order, from 0 up to and without 1.

    Uniform over devices, and new for every release, so that the first are not always the same.
    The upper 53 bits of 64: as many as a float holds, so that it never rounds up to 1.
    """
    told = f"{device}:{release.name}:{release.counter}".encode("utf-8", "surrogateescape")
    return (int.from_bytes(hashlib.sha256(told).digest()[:8], "big") >> 11) / 2**53


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version without what follows them: (1, 2) of "1.2.0.dev3"."""
    found = re.match(r"\d+(\.\d+)*", version, re.ASCII)
    numbers = [int(part) for part in found.group().split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _or(words: tuple[str, ...]) -> str:
    return " or ".join(words) or "none"
