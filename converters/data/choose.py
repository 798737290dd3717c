"""Which samples are taken: all, or a seeded choice of so many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from .cases import Sample

_Numbered = tuple[int, Sample]  # with its place in the stream


def choose(
    samples: Iterable[Sample], limit: int | None, seed: int, *, balanced: bool
) -> tuple[list[Sample], int]:
    """The samples taken, in the order of the stream, and how many there were.

    Without `limit` all are taken. With it, each sample has the same chance; if `balanced`, each
    class gets the same number as far as it has so many. The same stream and seed give the same
    choice. No more than `limit` samples of a class are held (reservoir sampling, algorithm R:
    Vitter 1985, ACM Trans Math Softw 11:37).
    """
    if limit is None:
        every = list(samples)
        return every, len(every)
    random = np.random.default_rng(seed)
    held: dict[int | None, list[_Numbered]] = {}
    seen: dict[int | None, int] = {}
    total = 0
    for total, sample in enumerate(samples, start=1):
        key = sample.label if balanced else None
        seen[key] = seen.get(key, 0) + 1
        reservoir = held.setdefault(key, [])
        if len(reservoir) < limit:
            reservoir.append((total, sample))
        elif (place := int(random.integers(seen[key]))) < limit:
            reservoir[place] = (total, sample)
    taken: list[_Numbered] = []
    for key, share in quotas({key: len(found) for key, found in held.items()}, limit).items():
        rows = random.permutation(len(held[key]))[:share].tolist()
        taken += [held[key][row] for row in rows]
    return [sample for _, sample in sorted(taken, key=lambda one: one[0])], total


def quotas(counts: Mapping[int | None, int], limit: int) -> dict[int | None, int]:
    """How many to take of each class: equally many, and all of a class that has fewer.

    They add up to `limit`, or to all that there are.
    """
    shares: dict[int | None, int] = {}
    left = limit
    rising = sorted(counts, key=lambda key: (counts[key], -1 if key is None else key))
    for place, key in enumerate(rising):
        shares[key] = min(counts[key], left // (len(rising) - place))
        left -= shares[key]
    return shares
