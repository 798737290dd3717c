"""Which inputs become golden vectors: clear cases of the data, and the edges of what can come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from edge_runtime.frame import Array
from edge_runtime.manifest import InputEntry, Manifest

from ..data.cases import Cases

Arrays = Mapping[str, Array]

REAL = 12  # cases of the data; more where the model has more classes
MOST = 32


def choose_real(
    cases: Cases, values: Sequence[Array], scores: int | None, manifest: Manifest, seed: int
) -> list[int]:
    """Rows of the data: of each class that the source gives, in turn, clear ones by chance.

    Those lead by at least the median of their class; where labels are known, right answers go
    first. `scores` is the position of the scores among `values`, the source's outputs; None for a
    task without classes, which has any rows.
    """
    random = np.random.default_rng(seed)
    whole = [np.isfinite(array).reshape(len(cases), -1).all(axis=1) for array in values]
    usable = np.flatnonzero(np.all(whole, axis=0))
    if scores is None:
        return sorted(random.permutation(usable)[:REAL].tolist())
    flat = values[scores].reshape(len(cases), -1)
    tops, lead = flat.argmax(axis=1), leads(flat)
    wrong = np.zeros(len(cases), bool)
    if cases.labels is not None:
        wrong = tops + manifest.postprocess.class_offset != cases.labels
    queues: list[list[int]] = []
    for top in random.permutation(np.unique(tops[usable])):
        rows = usable[tops[usable] == top]
        clear = random.permutation(rows[lead[rows] >= np.median(lead[rows])])
        queues.append(sorted(clear.tolist(), key=lambda row: bool(wrong[row])))
    wanted = min(max(REAL, len(queues)), MOST)
    longest = max((len(queue) for queue in queues), default=0)
    turns = [queue[turn] for turn in range(longest) for queue in queues if turn < len(queue)]
    return sorted(turns[:wanted])


def leads(values: Array) -> Array:
    """By how much the largest value of each row is ahead of the next; infinity for a single one."""
    flat = values.reshape(len(values), -1)
    if flat.shape[1] < 2:
        return np.full(len(flat), np.inf)
    best = np.partition(flat, -2, axis=1)[:, -2:]
    return np.asarray(best[:, 1] - best[:, 0])


def edge_cases(manifest: Manifest, cases: Cases, seed: int) -> Iterator[tuple[str, Arrays]]:
    """Name and inputs of one case each; what equals one before it is not given again.

    Zeros; every input at its least, at its largest, and half-way; uniform noise between these.
    A picture's least and largest values are those of pixels 0 and 255, another input's are those
    in the data. Constants and states stay what they are.
    """
    random = np.random.default_rng(seed)
    ends = {entry.name: _ends(entry, cases.inputs[entry.name]) for entry in manifest.input}
    made = {
        "zeros": {name: np.zeros_like(low) for name, (low, _) in ends.items()},
        "least": {name: low for name, (low, _) in ends.items()},
        "largest": {name: high for name, (_, high) in ends.items()},
        "half-way": {name: (low + high) / 2 for name, (low, high) in ends.items()},
        "noise": {name: random.uniform(low, high) for name, (low, high) in ends.items()},
    }
    seen: set[bytes] = set()
    for name, arrays in made.items():
        whole = {entry.name: _steady(entry, arrays, cases) for entry in manifest.input}
        content = b"".join(array.tobytes() for array in whole.values())
        if content not in seen:
            seen.add(content)
            yield name, whole


def _ends(entry: InputEntry, real: Array) -> tuple[Array, Array]:
    """The least and the largest value at each place of one case."""
    shape = real.shape[1:]
    if entry.kind != "image":
        return np.full(shape, real.min(), np.float32), np.full(shape, real.max(), np.float32)
    along = (-1, 1, 1) if entry.layout == "NCHW" else (1, 1, -1)
    mean = np.array(entry.mean, np.float32).reshape(along)
    std = np.array(entry.std, np.float32).reshape(along)
    black, white = (
        np.broadcast_to((np.float32(pixel) - mean) / std, shape) for pixel in (0.0, 255.0)
    )
    return np.minimum(black, white), np.maximum(black, white)


def _steady(entry: InputEntry, arrays: Arrays, cases: Cases) -> Array:
    fixed = entry.kind in ("constant", "state")
    chosen = cases.inputs[entry.name][0] if fixed else arrays[entry.name]
    return np.asarray(chosen, np.float32)
