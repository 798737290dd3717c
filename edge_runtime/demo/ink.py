"""Styled text for a terminal: spans in, strings with escape sequences out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Colour = tuple[int, int, int]  # red, green, blue, each 0..255
Depth = Literal[0, 8, 256, 16777216]  # how many colours the terminal can show; 0 is no styling

GREEN: Colour = (80, 200, 120)
YELLOW: Colour = (230, 190, 60)
RED: Colour = (240, 90, 90)
CYAN: Colour = (90, 190, 220)
GREY: Colour = (150, 150, 150)


@dataclass(frozen=True, slots=True)
class Span:
    """A run of characters of one look; None is the terminal's own colour."""

    text: str
    colour: Colour | None = None
    ground: Colour | None = None
    bold: bool = False


Line = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Pen:
    """What a terminal can show."""

    depth: Depth = 0
    unicode: bool = True


def pen_for(environment: Mapping[str, str], encoding: str | None, *, terminal: bool) -> Pen:
    """What the environment says of the output; see https://no-color.org for NO_COLOR."""
    wide = (encoding or "").lower().replace("-", "") == "utf8"
    if environment.get("NO_COLOR") or not terminal:
        return Pen(0, wide)
    if environment.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return Pen(16777216, wide)
    term = environment.get("TERM", "")
    return Pen(256 if "256color" in term else 16777216 if "direct" in term else 8, wide)


def line(*parts: str | Span) -> Line:
    """A line of plain strings and spans."""
    return tuple(Span(part) if isinstance(part, str) else part for part in parts)


def fill(text: str) -> Line:
    """A line of plain text."""
    return (Span(text),)


def clip(spans: Line, width: int) -> Line:
    """The first `width` characters of a line."""
    kept: list[Span] = []
    for span in spans:
        if width <= 0:
            break
        text = span.text[:width]
        kept.append(Span(text, span.colour, span.ground, span.bold))
        width -= len(text)
    return tuple(kept)


def pad(spans: Line, width: int) -> Line:
    """A line cut or filled with blanks to exactly `width` characters."""
    cut = clip(spans, width)
    missing = width - length(cut)
    return (*cut, Span(" " * missing)) if missing else cut


def length(spans: Line) -> int:
    """How many characters a line has."""
    return sum(len(span.text) for span in spans)


def beside(left: Sequence[Line], right: Sequence[Line], width: int) -> list[Line]:
    """Two blocks next to each other, the left one `width` wide."""
    rows = max(len(left), len(right))
    lefts = [*left, *[()] * (rows - len(left))]
    rights = [*right, *[()] * (rows - len(right))]
    return [(*pad(a, width), *b) for a, b in zip(lefts, rights, strict=True)]


def plain(lines: Iterable[Line]) -> list[str]:
    """The characters alone."""
    return ["".join(span.text for span in spans).rstrip() for spans in lines]


def painted(lines: Iterable[Line], pen: Pen) -> list[str]:
    """Lines as the terminal wants them; every one ends in its own colours."""
    if pen.depth == 0:
        return plain(lines)
    return [_painted(spans, pen.depth) for spans in lines]


def _painted(spans: Line, depth: Depth) -> str:
    parts: list[str] = []
    for span in spans:
        codes = ["1"] if span.bold else []
        if span.colour is not None:
            codes.append(_code(span.colour, depth, 30))
        if span.ground is not None:
            codes.append(_code(span.ground, depth, 40))
        parts.append(f"\x1b[{';'.join(codes)}m{span.text}\x1b[0m" if codes else span.text)
    return "".join(parts)


def _code(colour: Colour, depth: Depth, base: int) -> str:
    """The parameters of SGR (ECMA-48, 8.3.117) that set a colour; `base` 30 is text, 40 ground."""
    red, green, blue = colour
    if depth == 16777216:
        return f"{base + 8};2;{red};{green};{blue}"
    if depth == 256:
        return f"{base + 8};5;{_cube(red, green, blue)}"
    if max(colour) - min(colour) < 40:  # no hue: bright black keeps it quiet
        return str(base + 60)
    middle = (max(colour) + min(colour)) / 2
    return str(base + (red > middle) + 2 * (green > middle) + 4 * (blue > middle))


def _cube(red: int, green: int, blue: int) -> int:
    """The nearest of xterm's 240 fixed colours: a 6x6x6 cube and 24 greys."""
    if max(red, green, blue) - min(red, green, blue) < 10:
        grey = (red + green + blue) // 3
        return 16 if grey < 8 else 231 if grey > 246 else 232 + round((grey - 8) / 247 * 24)
    steps = [
        0 if value < 48 else 1 if value < 115 else (value - 35) // 40
        for value in (red, green, blue)
    ]
    return 16 + 36 * steps[0] + 6 * steps[1] + steps[2]
