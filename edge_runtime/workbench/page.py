"""The live view of `edge-run watch`: an overview as styled lines of a given width and height.

From WIDE columns on a pipeline is one line; below, its model and last result stand on a second.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from edge_runtime.demo.ink import CYAN, GREEN, GREY, RED, YELLOW, Colour, Line, Span
from edge_runtime.lines import event_line, plain

from .overview import Overview, Pipeline

WIDE = 120
NOTES_MAX = 3  # lines below a pipeline that say what is not as it should be
NAME_MAX, MODEL_MAX, BACKEND_MAX = 28, 24, 20
LAST_SHARE = 3  # the last events have at least a third of the height

_NUMBERS = (7, 6, 8, 5, 7, 5)  # columns of each
_STATUS: dict[str, Colour] = {"online": GREEN, "stopped": YELLOW, "offline": RED}


@dataclass(frozen=True, slots=True)
class Heading:
    """What stands above the table: where from, what was counted, and what is wrong."""

    origin: str
    summary: str
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """Where the page goes, and the time that it shows."""

    width: int
    height: int
    now_ns: int

    @property
    def wide(self) -> bool:
        return self.width >= WIDE


class _Widths(NamedTuple):
    """Columns of the texts in the table: as wide as what stands in them, to a limit."""

    name: int
    model: int
    backend: int


def page(overview: Overview, heading: Heading, view: View) -> list[Line]:
    """At most `view.height` lines of at most `view.width` columns."""
    named = sorted(overview.pipelines.items())
    widths = _Widths(
        _widest("PIPELINE", [name for name, _ in named], NAME_MAX),
        _widest("MODEL", [pipeline.model for _, pipeline in named], MODEL_MAX),
        _widest("RUNS ON", [pipeline.backend for _, pipeline in named], BACKEND_MAX),
    )
    top = _top(overview, heading, view, widths)
    room = max(0, view.height - len(top) - 2)  # a blank line and a heading before the last events
    blocks = [_block(name, pipeline, view, widths) for name, pipeline in named]
    table = _fitting(blocks, room - min(len(overview.last), room // LAST_SHARE), view.width)
    left = room - len(table)
    last = list(overview.last)[-left:] if left > 0 else []
    below: list[Line] = [(), (Span(cut("LAST", view.width), GREY),)] if last else []
    below += [(Span(cut(event_line(event), view.width)),) for event in last]
    return [*top, *table, *below][: max(0, view.height)]


def _fitting(blocks: list[list[Line]], height: int, width: int) -> list[Line]:
    """As many pipelines as have room, and how many have none."""
    if sum(map(len, blocks)) <= height:
        return [line for block in blocks for line in block]
    lines: list[Line] = []
    for shown, block in enumerate(blocks):
        if len(lines) + len(block) >= height:
            more = cut(f"and {len(blocks) - shown} pipelines more", width)
            return [*lines, (Span(more, GREY),)]
        lines += block
    return lines


def _top(overview: Overview, heading: Heading, view: View, widths: _Widths) -> list[Line]:
    count = len(overview.pipelines)
    pipelines = "1 pipeline" if count == 1 else f"{count} pipelines"
    counts = f"{pipelines}, {overview.rate.at(view.now_ns):.1f} results/s; {heading.summary}"
    names = ("/S", "AGE", "RESULTS", "HIST.", "REPEATS", "LOST", "MODEL", "RUNS ON", "SAYS")
    columns = f"{fit('PIPELINE', widths.name)}  STATUS {_cells(names, view, widths)}"
    lines: list[Line] = [
        (Span(cut(f"edge-run watch  {plain(heading.origin)}", view.width), CYAN, bold=True),),
        (Span(cut(plain(counts), view.width)),),
    ]
    if heading.trouble:
        lines.append((Span(cut(plain(heading.trouble), view.width), YELLOW),))
    return [*lines, (), (Span(cut(columns, view.width), GREY),)]


def _block(name: str, pipeline: Pipeline, view: View, widths: _Widths) -> list[Line]:
    """The lines of one pipeline."""
    cells = (
        f"{pipeline.rate.at(view.now_ns):.1f}",
        _age(pipeline, view.now_ns),
        str(pipeline.results),
        str(pipeline.historical),
        str(pipeline.repeats),
        str(pipeline.lost),
        pipeline.model,
        pipeline.backend,
        pipeline.last_text,
    )
    start = cut(f"{fit(name, widths.name)}  ", view.width)
    status = cut(f"{pipeline.status:<7}", view.width - width_of(start))
    rest = cut(_cells(cells, view, widths), max(0, view.width - widths.name - 9))
    lines: list[Line] = [(Span(start), Span(status, _STATUS.get(pipeline.status)), Span(rest))]
    if not view.wide:
        runs = f"{pipeline.model} on {pipeline.backend}: " if pipeline.model else ""
        lines.append((Span(cut(f"  {runs}{pipeline.last_text}", view.width)),))
    notes = [cut(f"  ! {note}", view.width) for note in pipeline.notes[:NOTES_MAX]]
    return [*lines, *((Span(note, YELLOW),) for note in notes)]


def _cells(cells: Sequence[str], view: View, widths: _Widths) -> str:
    """What follows name and status: numbers flush right, then texts if there is room."""
    numbers = "  ".join(cell.rjust(width) for cell, width in zip(cells, _NUMBERS, strict=False))
    if not view.wide:
        return numbers
    model, backend, says = cells[-3:]
    return f"{numbers}  {fit(model, widths.model)}  {fit(backend, widths.backend)}  {says}"


def _widest(head: str, texts: Sequence[str], most: int) -> int:
    return min(most, max(map(width_of, (head, *texts))))


def _age(pipeline: Pipeline, now_ns: int) -> str:
    """Since the last result came."""
    if pipeline.last is None:
        return "-"
    seconds = max(0, now_ns - pipeline.last_ns) / 1e9
    if seconds < 100:
        return f"{seconds:.1f}s"
    return f"{seconds / 60:.0f}min" if seconds < 6000 else f"{seconds / 3600:.0f}h"


def width_of(text: str) -> int:
    """Columns on a terminal: two for East Asian wide characters, none for combining ones."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def cut(text: str, width: int) -> str:
    """As much of a text as has room."""
    if text.isascii():
        return text[:width]
    used = 0
    for position, character in enumerate(text):
        used += _columns(character)
        if used > width:
            return text[:position]
    return text


def fit(text: str, width: int) -> str:
    """A text of exactly so many columns."""
    kept = cut(text, width)
    return kept + " " * (width - width_of(kept))


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
