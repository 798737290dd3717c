"""What a file's outputs mean, case by case, read by the device's own postprocess."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge_runtime import build
from edge_runtime.errors import FrameError
from edge_runtime.frame import Array, BeatMark, Frame, Placement
from edge_runtime.interfaces import TensorSpec
from edge_runtime.manifest import Manifest
from edge_runtime.outcome import Beats, Detection, Detections, Keypoints, Labels, Outcome
from edge_runtime.postprocess.outputs import find
from edge_runtime.preprocess.quantise import quantise

from ..data.cases import Cases
from .agreement import same_objects, same_top
from .measure import Run
from .scores import NOTHING

_RANKED = 0.001  # a detection with less is not ranked: it changes no average precision to speak of
_REACHED = 0.5  # a single score, where the manifest names no threshold
_NO_NUMBER = "no number"  # what every head says where an output is NaN
_NEAR = 0.05  # of the picture's larger side: two places of a keypoint that are one


@dataclass(frozen=True, slots=True)
class Answers:
    """What one file says of every case; fields that its task does not have are None.

    `called` is the best class whatever its score, (cases,), and of a single score whether it
    reaches the threshold; `found` all detections that have a
    score, `shown` those that the manifest's threshold lets through; `points` (cases, points, 2);
    `told` what each case's heads report, "rhythm: af", and `heads` the same as numbers: of a head
    that reports its best label that one or `NOTHING`, (cases,), of any other which of its labels,
    (cases, labels) bool.
    """

    called: Array | None = None
    found: tuple[tuple[Detection, ...], ...] | None = None
    shown: tuple[tuple[Detection, ...], ...] | None = None
    points: Array | None = None
    told: tuple[frozenset[str], ...] | None = None
    heads: Mapping[str, Array] | None = None


def answers(manifest: Manifest, run: Run, cases: Cases, names: Sequence[str]) -> Answers:
    """Read the outputs of a run; `names` are those that the manifest knows them by, in order.

    Raises ConfigError when the manifest does not describe them.
    """
    rules = manifest.postprocess
    specs = tuple(replace(spec, name=name) for spec, name in zip(run.outputs, names, strict=True))
    if rules.kind in ("classification", "beats"):
        shape = find(manifest, specs, "scores").spec.shape
        single = math.prod(size or 1 for size in shape) == 1
        least = (rules.threshold or _REACHED) if single else 0.0
        every = replace(manifest, postprocess=replace(rules, threshold=least, top_k=1))
        called = [_class(one) for one in _outcomes(every, run, cases, specs)]
        return Answers(called=np.array(called, np.int64))
    if rules.kind in ("detection", "anchors"):
        low = replace(rules, threshold=min(_RANKED, rules.threshold))
        ranked = replace(manifest, postprocess=low)
        found = tuple(_objects(one) for one in _outcomes(ranked, run, cases, specs))
        shown = tuple(_objects(one) for one in _outcomes(manifest, run, cases, specs))
        return Answers(found=found, shown=shown)
    if rules.kind == "keypoints":
        places = [_places(one) for one in _outcomes(manifest, run, cases, specs)]
        return Answers(points=np.array(places))
    if rules.kind == "heads":
        outcomes = list(_outcomes(manifest, run, cases, specs))
        return Answers(told=tuple(map(_told, outcomes)), heads=_heads(manifest, outcomes))
    return Answers()


def same(first: Answers, second: Answers, runs: tuple[Run, Run], cases: Cases) -> Array:
    """Whether two files end in the same answer, (cases,) bool.

    That is the same class; the same objects; keypoints within a twentieth of the picture; the same
    labels of every head; or, for a task without any, the largest value of each output at the same
    place.
    """
    if first.called is not None and second.called is not None:
        return np.asarray(first.called == second.called)
    if first.shown is not None and second.shown is not None:
        pairs = zip(first.shown, second.shown, strict=True)
        return np.array([same_objects(one, other) for one, other in pairs])
    if first.points is not None and second.points is not None:
        sides = [
            max(place.source_width, place.source_height) if place else 1
            for place in cases.placements
        ]
        apart = np.linalg.norm(first.points - second.points, axis=-1).max(axis=-1, initial=0.0)
        return np.asarray(apart <= _NEAR * np.array(sides))
    if first.told is not None and second.told is not None:
        return np.array([one == other for one, other in zip(first.told, second.told, strict=True)])
    return same_top(runs[0].values, runs[1].values)


def same_heads(manifest: Manifest, first: Answers, second: Answers) -> dict[str, int]:
    """In how many cases each head reports the same in both; empty for a network without heads."""
    found = {}
    for head in manifest.head if first.told is not None and second.told is not None else ():
        own = {f"{head.name}: {label}" for label in head.labels} | {_NO_NUMBER}
        pairs = zip(first.told or (), second.told or (), strict=True)
        found[head.name] = sum(one & own == other & own for one, other in pairs)
    return found


def _outcomes(
    manifest: Manifest, run: Run, cases: Cases, specs: tuple[TensorSpec, ...]
) -> Iterator[Outcome | None]:
    """One outcome a case; None where the outputs hold a NaN."""
    read = build.postprocess(manifest, specs)
    nothing = np.zeros((0, 0), np.float32)
    frame = Frame(nothing, 0, 0, 0, "case", beat=BeatMark(0, None, None))
    tensors = run.tensors(run.values)
    for case in range(len(cases)):
        placement: Placement | None = cases.placements[case] if cases.placements else None
        stored = [quantise(values[case], spec) for values, spec in zip(tensors, specs, strict=True)]
        try:
            yield read(stored, frame, placement)
        except FrameError:
            yield None


def _class(outcome: Outcome | None) -> int:
    if isinstance(outcome, Labels) and outcome.labels:
        return outcome.labels[0].index
    if isinstance(outcome, Beats) and outcome.beats:
        return outcome.beats[0].index
    return NOTHING


def _told(outcome: Outcome | None) -> frozenset[str]:
    if not isinstance(outcome, Labels):
        return frozenset((_NO_NUMBER,))
    return frozenset(f"{label.head}: {label.label}" for label in outcome.labels)


def _heads(manifest: Manifest, outcomes: Sequence[Outcome | None]) -> dict[str, Array]:
    said = {head.name: np.zeros((len(outcomes), len(head.labels)), bool) for head in manifest.head}
    for case, one in enumerate(outcomes):
        for label in one.labels if isinstance(one, Labels) else ():
            said[label.head][case, label.index] = True
    best = {
        head.name: np.where(said[head.name].any(axis=1), said[head.name].argmax(axis=1), NOTHING)
        for head in manifest.head
        if head.report == "best"
    }
    return said | best


def _objects(outcome: Outcome | None) -> tuple[Detection, ...]:
    return outcome.detections if isinstance(outcome, Detections) else ()


def _places(outcome: Outcome | None) -> list[tuple[float, float]]:
    points = outcome.keypoints if isinstance(outcome, Keypoints) else ()
    return [(point.x, point.y) for point in points]
