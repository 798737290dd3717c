"""The states in which a power cut may leave a disk: all of them, or corners and a sample."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import product
from random import Random
from typing import NamedTuple

from .disk import NOISE, Cut, Disk, File


class State(NamedTuple):
    """What is found after a power cut: contents by path, and on which kind of disk (`Names`)."""

    files: dict[str, bytes]
    kind: str


def states(disk: Disk, budget: int, random: Random) -> Iterator[State]:
    """At most `budget` states of the disk as it is now; every one when there are no more.

    Otherwise, while there is room: the corners (each file and the names by themselves, the others
    wholly there or not at all), then a random sample of any mixture.
    """
    names = len(disk.changes)
    files = _open_files(disk)
    if 2**names * math.prod(_count(file, budget) for file in files) <= budget:
        for cuts in product(*(list(_all_cuts(file)) for file in files)):
            for chosen in _all_names(names):
                yield _state(disk, chosen, dict(zip(files, cuts, strict=True)))
        return
    corners = list(_corners(names, files))
    random.shuffle(corners)
    corners.sort(key=lambda corner: corner.rank)
    for corner in corners[: max(budget // 2, 4)]:
        yield _state(disk, corner.names, corner.cuts)
    for _ in range(budget - min(len(corners), max(budget // 2, 4))):
        share = random.choice((0.02, 0.1, 0.5, 0.9, 0.98))
        kept = tuple(number for number in range(names) if random.random() < share)
        yield _state(disk, kept, {file: _any_cut(file, random) for file in files})


def as_killed(disk: Disk) -> State:
    """What is found after the end of the process alone: everything that was done."""
    names = tuple(range(len(disk.changes)))
    return _state(disk, names, {file: _whole(file) for file in _open_files(disk)})


def _open_files(disk: Disk) -> list[File]:
    known = [*disk.after(range(len(disk.changes))).files.values(), *disk.after(()).files.values()]
    known += [change.file for change in disk.changes if change.file is not None]
    return [file for file in dict.fromkeys(known) if file.is_open]


def _state(disk: Disk, names: tuple[int, ...], cuts: dict[File, Cut]) -> State:
    found = disk.after(names)
    files = {
        path: file.after(cuts[file]) if file in cuts else file.after(Cut(0, 0))
        for path, file in found.files.items()
    }
    return State(files, found.kind)


# Every choice, where they are few.


def _all_names(names: int) -> Iterator[tuple[int, ...]]:
    for kept in product((False, True), repeat=names):
        yield tuple(number for number, there in enumerate(kept) if there)


def _count(file: File, limit: int) -> int:
    count = (sum(change.data is None for change in file.changes) + 1) * len(_tails(file))
    for versions in _versions(file).values():
        count *= len(versions)
        if count > limit:
            break
    return count


def _all_cuts(file: File) -> Iterator[Cut]:
    versions = _versions(file)
    truncations = [0, *(at + 1 for at, change in enumerate(file.changes) if change.data is None)]
    for truncated, tail, *ends in product(truncations, _tails(file), *versions.values()):
        yield Cut(0, truncated, dict(zip(versions, ends, strict=True)), tail)


def _versions(file: File) -> dict[int, list[int]]:
    """By sector: where its writes may end."""
    versions: dict[int, list[int]] = {}
    for number, change in enumerate(file.changes):
        if change.data is not None and not change.sure:
            for sector in change.sectors:
                versions.setdefault(sector, [0]).append(number + 1)
    return versions


def _tails(file: File) -> tuple[bytes | None, ...]:
    return (None, b"\0", NOISE) if file.size > len(file.base) else (None,)


# The corners, and anything, where they are many.


class _Corner(NamedTuple):
    rank: int  # lower ones first
    names: tuple[int, ...]
    cuts: dict[File, Cut]


def _corners(names: int, files: list[File]) -> Iterator[_Corner]:
    every = tuple(range(names))
    all_there, none_there = {file: _whole(file) for file in files}, {f: Cut(0, 0) for f in files}
    for rest in (all_there, none_there):
        for kept in (every, ()):
            yield _Corner(0, kept, rest)
        for number in every:
            yield _Corner(1, every[:number], rest)
            yield _Corner(1, every[:number] + every[number + 1 :], rest)
            yield _Corner(1, (number,), rest)
        for file in files:
            for rank, cut in _corner_cuts(file):
                yield _Corner(rank, every, {**rest, file: cut})


def _whole(file: File) -> Cut:
    return Cut(len(file.changes), len(file.changes))


def _corner_cuts(file: File) -> Iterator[tuple[int, Cut]]:
    count = len(file.changes)
    for tail in _tails(file):
        yield 1, Cut(0, count, {}, tail)
        yield 1, Cut(count, 0, {}, tail)
    for number, change in enumerate(file.changes):
        yield 2, Cut(number, number)  # a prefix
        if change.data is None:
            yield 1, Cut(count, number)
            continue
        sectors = change.sectors
        for tail in _tails(file):
            yield 3, Cut(0, number, dict.fromkeys(sectors, number + 1), tail)  # alone there
        yield 2, Cut(count, count, dict.fromkeys(sectors, number))  # alone absent
        for torn in {sectors[0], sectors[-1]}:
            yield 2, Cut(count, count, {torn: number})  # its first or last sector alone absent
            yield 3, Cut(number, number, {torn: number + 1})  # alone there, after a prefix


def _any_cut(file: File, random: Random) -> Cut:
    count = len(file.changes)
    truncated, tail = random.randint(0, count), random.choice(_tails(file))
    style = random.random()
    if style < 0.1:
        return _whole(file)
    if style < 0.2:
        return Cut(random.randint(0, count), truncated, {}, tail)
    share = random.choice((0.02, 0.1, 0.5, 0.9, 0.98))
    versions = _versions(file)
    if style < 0.6:  # whole writes there or not
        ends: dict[int, int] = {}
        for number, change in enumerate(file.changes):
            if change.data is not None and random.random() >= share:
                for sector in change.sectors:
                    ends[sector] = min(ends.get(sector, count), number)
        return Cut(count, truncated, ends, tail)
    pick: Callable[[list[int]], int] = random.choice
    ends = {
        sector: kept[-1] if random.random() < share else pick(kept)
        for sector, kept in versions.items()
    }
    return Cut(0, truncated, ends, tail)
