"""The seam of the demo: a show knows one generated stream, its truth, and how to picture it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .hearing import Heard
from .ink import GREY, Line, Pen, Span

DEVICE = "demo"
PREFIX = "edge"


@dataclass(frozen=True, slots=True)
class Canvas:
    """Where a picture goes, and the wall time that it is of."""

    width: int
    height: int
    now_ns: int
    pen: Pen


class Show(Protocol):
    """One kind of demo. Everything is computed from results that were heard and from the seed."""

    kind: str
    model: str  # the name of a shipped model
    seconds: float

    def run_file(self, url: str) -> str:
        """The run file of the pipeline, publishing to the broker at `url`."""
        ...

    def live(self, time_ns: int) -> None:
        """The pipeline announced, at this wall time, that its source is open."""
        ...

    def happened_ns(self, heard: Heard) -> int:
        """Wall time of what a result speaks of."""
        ...

    def hear(self, heard: Heard) -> None:
        """Take a result that is no repeat."""
        ...

    def picture(self, canvas: Canvas) -> list[Line]:
        """The live view: at most `canvas.height` lines."""
        ...

    def facts(self, pen: Pen) -> list[tuple[str, Line]]:
        """What a person would ask right now: short names, and a line for each."""
        ...

    def line(self) -> str:
        """The same in one line of text."""
        ...

    def age_name(self) -> str:
        """From what to what `happened_ns` and reception measure."""
        ...

    def per_frame(self) -> str:
        """How results relate to frames, for the summary."""
        ...

    def report(self, *, complete: bool) -> list[str]:
        """The score against the truth; `complete` when the stream was heard to its end."""
        ...


def rows(facts: Sequence[tuple[str, Line]]) -> list[Line]:
    """Facts as lines: names in one column."""
    width = max((len(name) for name, _ in facts), default=0)
    return [(Span(f"{name:<{width}}  ", GREY), *text) for name, text in facts]
