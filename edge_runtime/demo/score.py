"""Results against the truth that the generator knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge_runtime.ecg.matching import match_beats

# The match window of ANSI/AAMI EC57, 4.3.1.
MATCH_S = 0.150


@dataclass(frozen=True, slots=True)
class TrueBeat:
    """A generated beat: the time of its R peak after the start of the signal, and its class."""

    time_s: float
    label: str


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class: `right` of `truth` were labelled so, `wrongly` others (or nothing) were too."""

    label: str
    truth: int
    right: int
    wrongly: int

    @property
    def missed(self) -> int:
        """Beats of this class that were not found, or labelled as another."""
        return self.truth - self.right

    @property
    def sensitivity(self) -> float | None:
        """Share of this class that was labelled so; None when the truth has none of it."""
        return self.right / self.truth if self.truth else None

    @property
    def predictivity(self) -> float | None:
        """Share of what was labelled so that is; None when nothing was labelled so."""
        said = self.right + self.wrongly
        return self.right / said if said else None


def pair(truth: Sequence[TrueBeat], found: Sequence[TrueBeat]) -> list[tuple[int, int]]:
    """Pairs (index in truth, index in found) within MATCH_S; both in order of time."""
    return match_beats(_microseconds(truth), _microseconds(found), round(MATCH_S * 1e6))


def _microseconds(beats: Sequence[TrueBeat]) -> list[int]:
    return [round(beat.time_s * 1e6) for beat in beats]


@dataclass(frozen=True, slots=True)
class BeatScore:
    """Found beats against true ones."""

    truth: int
    found: int  # true beats that have a result, whatever its label
    right: int  # of those, with the right label
    extra: int  # results where there is no beat
    classes: tuple[ClassScore, ...]


def score_beats(truth: Sequence[TrueBeat], found: Sequence[TrueBeat]) -> BeatScore:
    """Score beats; an unsure label counts as missed, and as an answer for no class."""
    truth = sorted(truth, key=lambda beat: beat.time_s)
    found = sorted(found, key=lambda beat: beat.time_s)
    pairs = dict(pair(truth, found))
    extra = [i for i in range(len(found)) if i not in pairs.values()]
    said = {true: found[position].label for true, position in pairs.items()}
    names = list(dict.fromkeys([*(b.label for b in truth), *(b.label for b in found)]))
    classes = tuple(
        ClassScore(
            label=name,
            truth=sum(beat.label == name for beat in truth),
            right=sum(said.get(i) == name == beat.label for i, beat in enumerate(truth)),
            wrongly=sum(label == name != truth[i].label for i, label in said.items())
            + sum(found[i].label == name for i in extra),
        )
        for name in names
    )
    right = sum(score.right for score in classes)
    return BeatScore(len(truth), len(pairs), right, len(extra), classes)


def score_labels(pairs: Iterable[tuple[str, str]]) -> tuple[ClassScore, ...]:
    """Score (true label, said label) pairs, one of each per image."""
    rows = list(pairs)
    names = sorted({name for row in rows for name in row})
    return tuple(
        ClassScore(
            label=name,
            truth=sum(true == name for true, _ in rows),
            right=sum(true == name == said for true, said in rows),
            wrongly=sum(said == name != true for true, said in rows),
        )
        for name in names
    )


def table(classes: Sequence[ClassScore], what: str) -> list[str]:
    """Rows of text: a head, and a line for each class."""
    width = max([5, *(len(score.label) for score in classes)])
    head = f"{'class':<{width}}  {what:>6}  right  missed  wrong  sensitivity  +predictivity"
    return [
        head,
        *(
            f"{score.label:<{width}}  {score.truth:>6}  {score.right:>5}  {score.missed:>6}"
            f"  {score.wrongly:>5}  {_share(score.sensitivity):>11}"
            f"  {_share(score.predictivity):>13}"
            for score in classes
        ),
    ]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
