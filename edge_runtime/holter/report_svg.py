"""Drawing in millimetres: what is drawn is as large on paper as it says."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Reals = NDArray[np.floating]

WIDTH_MM = 186.0  # of a page of A4 with margins of 12 mm
_FINE = 100  # steps of a millimetre in paths


def paper(y: float, width: float, height: float) -> str:
    """The paper of electrocardiographs: a line each millimetre, a bold one each five."""
    drawn = ""
    for kind, step in (("thin", 1), ("bold", 5)):
        upright = "".join(
            f"M{x} {number(y)}v{number(height)}" for x in range(0, int(width) + 1, step)
        )
        level = "".join(
            f"M0 {number(y + at)}h{number(width)}" for at in range(0, int(height) + 1, step)
        )
        drawn += f'<path class="{kind}" d="{upright}{level}"/>'
    return rect(0, y, (width, height), "sheet") + drawn


def number(value: float) -> str:
    """At most two decimals, and no more digits than needed."""
    return f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".")


def svg(width: float, height: float, parts: Iterable[str], kind: str = "") -> str:
    """A picture of so many millimetres."""
    w, h = number(width), number(height)
    return (
        f'<svg class="{kind}" width="{w}mm" height="{h}mm" viewBox="0 0 {w} {h}" role="img">'
        f"{''.join(parts)}</svg>"
    )


def rect(x: float, y: float, size: tuple[float, float], kind: str, title: str = "") -> str:
    """A filled rectangle."""
    inside = f"<title>{escape(title)}</title>" if title else ""
    at = f'x="{number(x)}" y="{number(y)}"'
    w, h = max(size[0], 0.0), max(size[1], 0.0)
    return f'<rect {at} width="{number(w)}" height="{number(h)}" class="{kind}">{inside}</rect>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight line."""
    return f'<path class="{kind}" d="M{number(x1)} {number(y1)}L{number(x2)} {number(y2)}"/>'


def text(x: float, y: float, words: str, kind: str = "") -> str:
    """Words that begin, or as `kind` says stand in the middle or end, at x."""
    return f'<text x="{number(x)}" y="{number(y)}" class="{kind}">{escape(words)}</text>'


def curve(x: Reals, y: Reals, kind: str) -> str:
    """A line through points; it breaks where one is not finite."""
    there = np.isfinite(x) & np.isfinite(y)
    edges = np.flatnonzero(np.diff(there, prepend=False, append=False))
    xs = np.rint(np.where(there, x, 0) * _FINE).astype(np.int64)
    ys = np.rint(np.where(there, y, 0) * _FINE).astype(np.int64)
    parts = []
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        parts.append(f"M{xs[begin]} {ys[begin]}")
        if end - begin > 1:
            steps = zip(
                np.diff(xs[begin:end]).tolist(), np.diff(ys[begin:end]).tolist(), strict=True
            )
            parts.append("l" + " ".join(f"{dx} {dy}" for dx, dy in steps).replace(" -", "-"))
    return f'<path class="{kind}" transform="scale({1 / _FINE})" d="{"".join(parts)}"/>'


def bars(x: float, width: float, high: Reals, low: Reals, kind: str) -> str:
    """A thin upright line for each pair of heights, side by side from x over `width`."""
    there = np.flatnonzero(np.isfinite(high) & np.isfinite(low))
    across = np.rint((x + width * there / max(len(high), 1)) * _FINE).astype(np.int64)
    tops = np.rint(high[there] * _FINE).astype(np.int64)
    long = np.maximum(np.rint(low[there] * _FINE).astype(np.int64) - tops, 1)
    steps = np.diff(across, prepend=0).tolist()
    drops = np.diff(tops, prepend=0)
    drops[1:] -= long[:-1]
    moves = zip(steps, drops.tolist(), long.tolist(), strict=True)
    drawn = "".join(f"m{dx} {dy}v{down}" for dx, dy, down in moves).replace(" -", "-")
    return f'<path class="{kind}" transform="scale({1 / _FINE})" d="{drawn}"/>'


def clock(at_s: float, *, tenths: bool = False) -> str:
    """Hours, minutes and seconds after the start."""
    whole = int(at_s * 10 + 0.5) / 10 if tenths else int(at_s + 0.5)
    hours, rest = divmod(whole, 3600)
    minutes, seconds = divmod(rest, 60)
    return (
        f"{int(hours):02d}:{int(minutes):02d}:{seconds:04.1f}"
        if tenths
        else (f"{int(hours):02d}:{int(minutes):02d}:{int(seconds):02d}")
    )


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round values of which at most so many lie between two."""
    span = max(high - low, 1e-9)
    for step in (m * 10.0**e for e in range(-3, 6) for m in (1, 2, 5)):
        if span / step <= most:
            return [n * step for n in range(int(np.ceil(low / step)), int(high / step) + 1)]
    return []


def time_ticks(seconds: float, most: int = 9) -> list[float]:
    """Times at which an axis over a recording is marked."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600)
    step = next((step for step in steps if seconds / step <= most), 43200)
    return [n * step for n in range(int(seconds / step) + 1)]
