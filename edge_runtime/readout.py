"""What a manifest says of a model's outputs: `[[output]]`, `[[head]]` and `[postprocess]`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .errors import BadOptionError
from .interfaces import Quantisation
from .tables import Table

Activation = Literal["none", "softmax", "sigmoid"]
Kind = Literal["classification", "heads", "detection", "anchors", "keypoints", "beats", "tensors"]


@dataclass(frozen=True, slots=True)
class QuantisationEntry:
    """real = scale * (stored - zero_point), where the weights file does not say it itself."""

    scale: float
    zero_point: int

    def value(self) -> Quantisation:
        return Quantisation((self.scale,), (self.zero_point,))


@dataclass(frozen=True, slots=True)
class OutputEntry:
    """What one output tensor means; listed in any order, found by name (or position "0", "1")."""

    name: str
    meaning: Literal[
        "scores", "boxes", "classes", "count", "keypoints", "anchors", "state", "other"
    ]
    quantisation: QuantisationEntry | None = None


@dataclass(frozen=True, slots=True)
class HeadEntry:
    """One task of a network of several: the scores of `output` from `first` on, one per label.

    `activation` is over these scores alone. `report` is "best", the best class when its score is
    at least `threshold`, or "all", every class whose score is.
    """

    name: str
    output: str  # an [[output]] of meaning "scores", by its name there
    labels: tuple[str, ...]
    report: Literal["best", "all"]
    first: int = 0
    activation: Activation = "none"
    threshold: float = 0.0

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise BadOptionError("name", "is empty")
        if not self.labels or not all(label.strip() for label in self.labels):
            raise BadOptionError("labels", "name every class of the head, in order")
        if len(set(self.labels)) < len(self.labels):
            raise BadOptionError("labels", "names one twice")
        if self.first < 0:
            raise BadOptionError("first", f"{self.first} is below 0")

    @property
    def end(self) -> int:
        """Behind its last score."""
        return self.first + len(self.labels)


@dataclass(frozen=True, slots=True)
class PostprocessEntry:
    """How outputs become a result.

    classification: `activation`, `top_k`, `threshold`; `groups` reports sums of classes instead.
    heads:          nothing here: each [[head]] has its own labels, activation and threshold.
    detection:      outputs boxes, classes, scores, count; NMS is in the graph when there is a
                    `count`, else boxes are filtered here with `iou`.
    anchors:        raw `anchors` and `scores`, decoded with the grid in `strides`, then NMS.
    keypoints:      one pose of (y, x, score) rows; `names` gives the points.
    beats:          `labels`, `threshold`: a beat below it is labelled `unsure`.
    """

    kind: Kind
    labels: str = ""  # file beside the manifest, one label a line
    groups: str = ""  # such a file too: the group of each class, an empty line for none
    activation: Activation = "none"
    top_k: int = 5
    threshold: float = 0.0
    iou: float = 0.5
    max_results: int = 100
    box_order: Literal["yxyx", "xyxy", "cxcywh", ""] = ""
    box_units: Literal["relative", "pixels", ""] = ""
    class_offset: int = 0
    background: bool = False  # index 0 means "nothing" and is never reported
    names: tuple[str, ...] = ()
    strides: tuple[int, ...] = ()
    anchors_per_cell: tuple[int, ...] = ()
    unsure: str = ""
    class_bias: tuple[float, ...] = ()  # beats: added to the log-scores, chosen per weights file


def check_heads(table: Table, heads: Sequence[HeadEntry], outputs: Sequence[OutputEntry]) -> None:
    """Check a manifest's heads against each other and its outputs; `table` is the whole file.

    Whether the last score of an output has a head is known when the weights are.

    Raises ConfigError for heads without the kind and the kind without heads, a name twice, an
    output that is not listed or has no head, and a score that is in two heads or in none.
    """
    rules = table.child("postprocess")
    if (rules.values["kind"] == "heads") != bool(heads):
        raise rules.error("kind", "'heads' and [[head]] go together: one is without the other")
    if not heads:
        return
    for key in rules.without("kind").values:
        raise rules.error(key, "belongs into each [[head]]")
    scores = [entry.name for entry in outputs if entry.meaning == "scores"]
    where = dict(zip(heads, table.children("head"), strict=True))
    names: set[str] = set()
    ends = dict.fromkeys(scores, 0)
    for head in sorted(heads, key=lambda head: head.first):
        if head.name in names:
            raise where[head].error("name", f"'{head.name}' stands twice")
        if head.output not in ends:
            listed = ", ".join(f"'{name}'" for name in scores) or "none"
            raise where[head].error(
                "output",
                f"'{head.output}' is no [[output]] of meaning \"scores\"; there are: {listed}",
            )
        if head.first != ends[head.output]:
            raise where[head].error("first", _misfit(head, ends[head.output]))
        names.add(head.name)
        ends[head.output] = head.end
    for entry, part in zip(outputs, table.children("output"), strict=True):
        if ends.get(entry.name) == 0:
            raise part.error("name", f"no [[head]] reads the scores of '{entry.name}'")


def _misfit(head: HeadEntry, free: int) -> str:
    what = "is in two heads" if head.first < free else "is in no head"
    return f"score {min(head.first, free)} of output '{head.output}' {what}: each is in one"
