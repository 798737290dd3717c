"""The pictures over the whole record: rate, quality, intervals, and the shapes of beats."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from .report_events import ORDER
from .report_strips import KINDS
from .report_study import Span
from .report_svg import (
    WIDTH_MM,
    clock,
    curve,
    line,
    number,
    paper,
    rect,
    svg,
    text,
    ticks,
    time_ticks,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .report_events import Episode
    from .report_study import Study

    Reals = NDArray[np.float64]

LEFT_MM, RIGHT_MM = 11.0, 3.0
RATE_MM, LANE_MM = 40.0, 4.2
BINS = 360
LANE_CELLS = 690  # 0.25 mm each
SQUARE_MM = 58.0
CELL_S = 0.01  # of the picture of pairs
BIN_S = 0.02  # of the histogram


def trend(study: Study, episodes: Sequence[Episode]) -> str:
    """Heart rate, events, premature beats and quality on one axis of time."""
    seconds = max(study.facts.seconds, 1.0)
    width = WIDTH_MM - LEFT_MM - RIGHT_MM

    def x(at_s: float) -> float:
        return LEFT_MM + at_s / seconds * width

    parts = _rate(study)
    y = RATE_MM + 3
    if episodes:
        parts.append(text(LEFT_MM - 1.5, y + 3, "events", "end axis"))
        spans = [
            Span(e.begin_s, seconds if e.end_s is None else e.end_s, e.priority) for e in episodes
        ]
        for begin, end, priority in _lane(spans, seconds, ORDER):
            size = (width * (end - begin), LANE_MM - 0.8)
            parts.append(rect(LEFT_MM + width * begin, y, size, f"event {priority}"))
        y += LANE_MM
    if study.named:
        for label in ("S", "V"):
            parts.append(text(LEFT_MM - 1.5, y + 3, label, f"end axis {KINDS[label]}"))
            times = np.array([b.at_s for b in study.beats if b.label == label])
            parts += _density(times, seconds, y, KINDS[label])
            y += LANE_MM
    parts.append(text(LEFT_MM - 1.5, y + 3, "quality", "end axis"))
    for begin, end, state in _lane(study.quality, seconds, ("missing", "bad", "limited", "good")):
        size = (width * (end - begin), LANE_MM - 0.8)
        parts.append(rect(LEFT_MM + width * begin, y, size, f"q-{state}"))
    y += LANE_MM + 1
    for at_s in time_ticks(seconds):
        parts.append(line(x(at_s), 0, x(at_s), y - 1, "rule"))
        kind = "axis" if not at_s else "mid axis" if at_s < 0.96 * seconds else "end axis"
        parts.append(text(x(at_s), y + 2.4, clock(at_s), kind))
    return svg(WIDTH_MM, y + 3.5, parts, "trend")


def _lane(
    spans: Sequence[Span], seconds: float, gravest: Sequence[str]
) -> list[tuple[float, float, str]]:
    """Begin and end as shares of the record, and state: where several hold, the gravest."""
    cells = np.full(LANE_CELLS, len(gravest))
    for span in spans:
        first = int(span.begin_s / seconds * LANE_CELLS)
        last = max(first + 1, int(np.ceil(span.end_s / seconds * LANE_CELLS)))
        cells[first:last] = np.minimum(cells[first:last], gravest.index(span.state))
    edges = [0, *(np.flatnonzero(np.diff(cells)) + 1).tolist(), LANE_CELLS]
    return [
        (begin / LANE_CELLS, end / LANE_CELLS, gravest[cells[begin]])
        for begin, end in pairwise(edges)
        if cells[begin] < len(gravest)
    ]


def _rate(study: Study) -> list[str]:
    """Mean rate of each bin as a line, smallest to largest as a band."""
    pairs = np.array(study.intervals).reshape(-1, 2)
    if not len(pairs):
        return [text(LEFT_MM + 4, RATE_MM / 2, "no two beats in a row", "axis")]
    seconds = max(study.facts.seconds, 1.0)
    bins = max(1, min(BINS, int(seconds / 5)))
    place = np.minimum((pairs[:, 0] / seconds * bins).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = 60 * counts / np.bincount(place, pairs[:, 1], minlength=bins)
    low, high = np.full(bins, np.inf), np.full(bins, -np.inf)
    np.minimum.at(low, place, 60 / pairs[:, 1])
    np.maximum.at(high, place, 60 / pairs[:, 1])
    bottom = 10 * np.floor(max(0, np.percentile(low[counts > 0], 2) - 5) / 10)
    top = 10 * np.ceil((np.percentile(high[counts > 0], 98) + 5) / 10)
    top = max(top, bottom + 40)

    def y(bpm: Reals | float) -> Reals:
        inside = np.clip(np.asarray(bpm, np.float64), bottom, top)
        return np.asarray(2 + (RATE_MM - 3) * (top - inside) / (top - bottom))

    width = WIDTH_MM - LEFT_MM - RIGHT_MM
    at = LEFT_MM + (np.arange(bins) + 0.5) / bins * width
    parts = []
    for bpm in ticks(bottom, top - (top - bottom) / 12, 6):  # above stands the unit
        parts.append(line(LEFT_MM, float(y(bpm)), WIDTH_MM - RIGHT_MM, float(y(bpm)), "rule"))
        parts.append(text(LEFT_MM - 1.5, float(y(bpm)) + 0.9, number(bpm), "end axis"))
    parts.append(text(0, 3.2, "bpm", "axis"))
    step = width / bins
    parts += [
        rect(at[n] - step / 2, float(y(high[n])), (step, float(y(low[n]) - y(high[n]))), "range")
        for n in np.flatnonzero(counts)
    ]
    return [*parts, curve(at, y(np.where(counts > 0, mean, np.nan)), "rate")]


def _density(times: Reals, seconds: float, y: float, kind: str) -> list[str]:
    """How many beats fall into each bin, as bars of a lane."""
    if not len(times):
        return []
    bins = max(1, min(BINS, int(seconds / 5)))
    counts = np.bincount(np.minimum((times / seconds * bins).astype(int), bins - 1), minlength=bins)
    width = (WIDTH_MM - LEFT_MM - RIGHT_MM) / bins
    tall = (LANE_MM - 0.8) / max(counts.max(), 3)
    base = y + LANE_MM - 0.8
    return [
        rect(
            LEFT_MM + n * width, base - tall * counts[n], (max(width, 0.3), tall * counts[n]), kind
        )
        for n in np.flatnonzero(counts)
    ]


def poincare(study: Study) -> str:
    """Each interval against the one before (Poincare), darker where there are many."""
    lengths = np.array([beat.rr_s or np.nan for beat in study.beats])
    if len(lengths) < 3:
        return _empty("too few intervals")
    before, after = lengths[:-1], lengths[1:]
    both = np.isfinite(before) & np.isfinite(after)
    low, high = _range(lengths)
    cells = np.stack([before[both], after[both]], axis=1)
    cells = np.floor(cells / CELL_S).astype(int)
    kept, counts = np.unique(
        cells[(cells * CELL_S >= low).all(1) & (cells * CELL_S < high).all(1)],
        axis=0,
        return_counts=True,
    )
    scale = (SQUARE_MM - 12) / (high - low)
    parts = _frame(low, high, "interval before, s", "interval, s")
    parts.append(line(10, SQUARE_MM - 10, SQUARE_MM - 2, 2, "rule"))
    for (a, b), count in zip(kept.tolist(), counts.tolist(), strict=True):
        x = 10 + (a * CELL_S - low) * scale
        y = SQUARE_MM - 10 - (b * CELL_S + CELL_S - low) * scale
        size = number(max(CELL_S * scale, 0.45))
        dark = min(1.0, 0.35 + 0.65 * np.log1p(count) / np.log1p(max(counts.max(), 2)))
        parts.append(
            f'<rect x="{number(x)}" y="{number(y)}" width="{size}" height="{size}" '
            f'class="pair" opacity="{dark:.2f}"/>'
        )
    return svg(SQUARE_MM, SQUARE_MM, parts)


def histogram(study: Study) -> str:
    """How often intervals of each length are."""
    lengths = np.array([rr_s for _, rr_s in study.intervals])
    if len(lengths) < 2:
        return _empty("too few intervals")
    low, high = _range(lengths)
    counts, edges = np.histogram(lengths, np.arange(low, high + BIN_S, BIN_S))
    scale = (SQUARE_MM - 12) / (high - low)
    parts = _frame(low, high, "interval, s", "")
    tall = (SQUARE_MM - 14) / max(counts.max(), 1)
    base = SQUARE_MM - 10
    for count, edge in zip(counts.tolist(), edges.tolist(), strict=False):
        if count:
            size = (max(BIN_S * scale - 0.12, 0.2), tall * count)
            parts.append(rect(10 + (edge - low) * scale, base - tall * count, size, "bar"))
    parts.append(text(9, 5, f"{counts.max()}", "end axis"))
    return svg(SQUARE_MM, SQUARE_MM, parts)


def shapes(medians: Sequence[tuple[str, int, Reals, float]]) -> str:
    """The median beat of each class: (class, beats in it, (samples,) in mV, samples per second).

    The R peak stands at a third of the window; 50 mm/s and 10 mm/mV.
    """
    parts = [paper(0, SQUARE_MM, SQUARE_MM)]
    if not medians:
        return _empty("no beats")
    low = min(float(beat.min()) for _, _, beat, _ in medians)
    high = max(float(beat.max()) for _, _, beat, _ in medians)
    gain = next(g for g in (10.0, 5.0, 2.5, 1.0) if (high - low) * g < SQUARE_MM - 12 or g == 1.0)
    middle = SQUARE_MM / 2 + 2 + (high + low) / 2 * gain
    for row, (label, count, beat, rate_hz) in enumerate(medians):
        at = 4 + np.arange(len(beat)) / rate_hz * 50
        kind = KINDS.get(label, "n")
        parts.append(curve(at, middle - beat * gain, f"shape {kind}"))
        words = f"{label or 'beats'} (median of {count})"
        parts.append(text(2, 4 + 3.4 * row, words, f"lead {kind}"))
    parts.append(text(SQUARE_MM - 1, SQUARE_MM - 1.2, f"50 mm/s, {gain:g} mm/mV", "end axis"))
    return svg(SQUARE_MM, SQUARE_MM, parts)


def _range(lengths: Reals) -> tuple[float, float]:
    """Round limits that leave out less than one interval in a hundred."""
    there = lengths[np.isfinite(lengths)]
    low = max(0.0, np.floor((np.percentile(there, 0.5) - 0.08) * 10) / 10)
    high = np.ceil((np.percentile(there, 99.5) + 0.08) * 10) / 10
    return float(low), float(max(high, low + 0.4))


def _frame(low: float, high: float, below: str, beside: str) -> list[str]:
    """Axes of a square picture over seconds."""
    scale = (SQUARE_MM - 12) / (high - low)
    parts = [
        line(10, SQUARE_MM - 10, SQUARE_MM - 2, SQUARE_MM - 10, "axes"),
        line(10, 2, 10, SQUARE_MM - 10, "axes"),
    ]
    for at in ticks(low, high, 5):
        x = 10 + (at - low) * scale
        parts.append(text(x, SQUARE_MM - 6.4, number(at), "mid axis"))
        parts.append(line(x, SQUARE_MM - 10, x, SQUARE_MM - 9.2, "axes"))
        if beside:
            parts.append(text(8.6, SQUARE_MM - 9 - (at - low) * scale, number(at), "end axis"))
    parts.append(text(SQUARE_MM / 2 + 4, SQUARE_MM - 2.4, below, "mid axis"))
    if beside:
        parts.append(
            f'<text class="mid axis" transform="translate(2.8 {SQUARE_MM / 2 - 4}) rotate(-90)">'
            f"{beside}</text>"
        )
    return parts


def _empty(why: str) -> str:
    return svg(SQUARE_MM, SQUARE_MM, [text(SQUARE_MM / 2, SQUARE_MM / 2, why, "mid axis")])
