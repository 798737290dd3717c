"""What a pipeline says in Sparkplug: the metrics of its node, and those of one source's results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from edge_runtime import __version__
from edge_runtime.outcome import Beats, Detections, Keypoints, Labels

from .payload import Type, Value

if TYPE_CHECKING:
    from edge_runtime.frame import Info, Result
    from edge_runtime.outcome import Detection, Label, Outcome

LABELS_MAX = 100  # that get a metric of their own


class Reading(NamedTuple):
    """A new value of a metric, and when it was captured."""

    name: str
    value: Value
    timestamp_ms: int


def of_node(info: Info) -> dict[str, str]:
    """Name -> value of what does not change while the pipeline runs; all are strings."""
    return {
        "Properties/Software": f"edge-run {__version__}",
        "Model/Name": info.model.name,
        "Model/Version": info.model.version,
        "Model/SHA-256": info.model.sha256,
        "Backend/Kind": info.backend.kind,
        "Backend/Delegate": info.backend.delegate,
        "Backend/Degraded": info.backend.degraded,
    }


def of_results(info: Info) -> dict[str, Type]:
    """Name -> type of everything that one source's results may say."""
    found = {
        "Result/Id": Type.STRING,
        "Result/Sequence": Type.INT64,
        "Latency/Total ms": Type.DOUBLE,
        "Latency/Inference ms": Type.DOUBLE,
    }
    labels = [_folded(label) for label in info.labels[:LABELS_MAX]]
    if info.heads:
        return found | _of_heads(info)
    if info.task in ("classification", "detection", "beats"):
        found |= {"Label": Type.STRING, "Score": Type.DOUBLE}
    if info.task == "classification":
        found |= {f"Scores/{label}": Type.DOUBLE for label in labels}
    elif info.task == "detection":
        found |= {"Count": Type.UINT32, **{f"Counts/{label}": Type.UINT32 for label in labels}}
    elif info.task == "beats":
        found |= {"Time": Type.DATE_TIME, "Heart rate bpm": Type.DOUBLE, "RR s": Type.DOUBLE}
    elif info.task == "keypoints":
        found["Score"] = Type.DOUBLE
    return found


def _of_heads(info: Info) -> dict[str, Type]:
    best: dict[str, Type] = {}
    scores: list[str] = []
    for head, labels in info.heads.items():
        folder = f"Heads/{_folded(head)}"
        best |= {f"{folder}/Label": Type.STRING, f"{folder}/Score": Type.DOUBLE}
        scores += [f"{folder}/Scores/{_folded(label)}" for label in labels]
    return best | dict.fromkeys(scores[:LABELS_MAX], Type.DOUBLE)


def read(result: Result, info: Info) -> Iterator[Reading]:
    """What a result says; names that `of_results` does not have are among it."""
    captured_ms = result.timestamp_ns // 1_000_000
    yield Reading("Result/Id", result.id, captured_ms)
    yield Reading("Result/Sequence", result.seq, captured_ms)
    yield Reading("Latency/Total ms", result.latency_ms.capture_to_result, captured_ms)
    yield Reading("Latency/Inference ms", result.latency_ms.inference, captured_ms)
    if isinstance(result.outcome, Beats):
        for beat in result.outcome.beats:
            beat_ms = beat.timestamp_ns // 1_000_000
            yield Reading("Label", beat.label, beat_ms)
            yield Reading("Score", beat.score, beat_ms)
            yield Reading("Time", beat_ms, beat_ms)
            yield Reading("Heart rate bpm", beat.rate_bpm, beat_ms)
            yield Reading("RR s", beat.rr_s, beat_ms)
    else:
        for name, value in _said(result.outcome, info):
            yield Reading(name, value, captured_ms)


def _said(outcome: Outcome, info: Info) -> Iterator[tuple[str, Value]]:
    if isinstance(outcome, Labels) and info.heads:
        for head, names in info.heads.items():
            folder = f"Heads/{_folded(head)}/"
            found = tuple(label for label in outcome.labels if label.head == head)
            yield from _labels(found, names, folder)
    elif isinstance(outcome, Labels):
        yield from _labels(outcome.labels, info.labels)
    elif isinstance(outcome, Detections):
        yield from _best(outcome.detections[0] if outcome.detections else None)
        yield "Count", len(outcome.detections)
        counts = Counter(found.label for found in outcome.detections)
        for label in info.labels:
            yield f"Counts/{_folded(label)}", counts[label]
    elif isinstance(outcome, Keypoints) and outcome.keypoints:
        total = sum(point.score for point in outcome.keypoints)
        yield "Score", total / len(outcome.keypoints)
    elif isinstance(outcome, Keypoints):
        yield "Score", None


def _labels(
    found: Sequence[Label], names: Sequence[str], folder: str = ""
) -> Iterator[tuple[str, Value]]:
    yield from _best(found[0] if found else None, folder)
    scores = {label.label: label.score for label in found}
    for name in names:  # what is not among the best has no known score
        yield f"{folder}Scores/{_folded(name)}", scores.get(name)


def _best(found: Label | Detection | None, folder: str = "") -> Iterator[tuple[str, Value]]:
    yield f"{folder}Label", found.label if found else None
    yield f"{folder}Score", found.score if found else None


def _folded(label: str) -> str:
    """A label as the last part of a name, where a slash would make a folder."""
    return label.replace("%", "%25").replace("/", "%2F")
