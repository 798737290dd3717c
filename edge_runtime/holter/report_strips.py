"""Strips on millimetre paper, 25 mm/s and 10 mm/mV, and the full disclosure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .report_study import beats_between, spans_between
from .report_svg import WIDTH_MM, bars, clock, curve, line, number, paper, rect, svg, text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .report_read import Window
    from .report_study import SeenBeat, Study

MM_PER_S, MM_PER_MV = 25.0, 10.0
STRIP_S = 7.0
PULSE_MM = 7.0  # the calibration pulse and the space around it
HEAD_MM, FOOT_MM = 7.0, 4.0
LEAST_MV, MOST_MV = 1.5, 3.5  # of a lead's band
LINE_MM = 7.0  # of the full disclosure
MARGIN_MM = 14.0
KINDS = {"N": "n", "S": "s", "V": "v", "F": "v", "?": "q", "Q": "q", "": "n"}


class Caption(NamedTuple):
    """What stands above a strip; `mark` is the stretch that it is about."""

    title: str
    detail: str = ""
    priority: str = ""
    mark: tuple[float, float] | None = None


def strip(window: Window, beats: Sequence[SeenBeat], caption: Caption) -> str:
    """A piece of the signal with its beats, as a figure."""
    bands = [_band(column) for column in window.data.T] if window.data is not None else []
    height = HEAD_MM + sum(high - low for low, high in bands) * MM_PER_MV + FOOT_MM
    sheet = height - HEAD_MM - FOOT_MM
    parts = [paper(HEAD_MM, PULSE_MM + STRIP_S * MM_PER_S, sheet)]
    if caption.mark:
        parts.append(_marked(window, caption.mark, sheet))
    top = HEAD_MM
    for lead, (low, high) in enumerate(bands):
        zero = top + high * MM_PER_MV
        parts += _trace(window, lead, zero)
        top += (high - low) * MM_PER_MV
    parts += _beats(window, beats)
    parts += _seconds(window, height)
    head = f'<figcaption><b class="{caption.priority}">{escape(caption.title)}</b>'
    detail = f" <span>{escape(caption.detail)}</span>" if caption.detail else ""
    return (
        f'<figure class="strip">{head}{detail}</figcaption>{svg(WIDTH_MM, height, parts)}</figure>'
    )


def _band(column: NDArray[np.float32]) -> tuple[float, float]:
    """The lowest and the highest millivolt that a lead's band shows, in halves."""
    there = column[np.isfinite(column)]
    if not len(there):
        return -LEAST_MV / 2, LEAST_MV / 2
    low = np.floor(float(np.percentile(there, 0.3)) * 2 - 0.2) / 2
    high = np.ceil(float(np.percentile(there, 99.7)) * 2 + 0.2) / 2
    if high - low > MOST_MV:
        middle = round(float(np.median(there)) * 2) / 2
        low, high = max(low, middle - MOST_MV / 2), min(high, middle + MOST_MV / 2)
        low, high = np.floor(low * 2) / 2, np.floor(low * 2) / 2 + MOST_MV
    while high - low < LEAST_MV:
        low, high = (low - 0.5, high) if high - low < LEAST_MV - 0.5 else (low, high + 0.5)
    return float(low), float(high)


def _trace(window: Window, lead: int, zero: float) -> list[str]:
    """One lead: its pulse of 1 mV and 0.2 s, its name, its curve."""
    if window.data is None:
        return []
    samples = window.data[:, lead].astype(np.float64)
    low, high = _band(window.data[:, lead])
    x = PULSE_MM + np.arange(len(samples)) / window.rate_hz * MM_PER_S
    y = zero - np.clip(samples, low, high) * MM_PER_MV
    base = (
        zero
        - min(max(float(np.nanmedian(samples)) if np.isfinite(samples).any() else 0, low), high - 1)
        * MM_PER_MV
    )
    pulse = f"M0.5 {number(base)}h1v-10h5v10h0.5"
    return [
        f'<path class="pulse" d="{pulse}"/>',
        curve(x, y, "trace"),
        text(PULSE_MM + 1, zero - high * MM_PER_MV + 3.2, window.leads[lead], "lead"),
    ]


def _marked(window: Window, mark: tuple[float, float], height: float) -> str:
    begin = max(mark[0], window.begin_s) - window.begin_s
    end = min(mark[1], window.end_s) - window.begin_s
    at = PULSE_MM + begin * MM_PER_S
    return rect(at, HEAD_MM, (max((end - begin) * MM_PER_S, 0.6), height), "marked")


def _beats(window: Window, beats: Sequence[SeenBeat]) -> list[str]:
    """The class above each beat, the interval in ms between two."""
    parts = []
    shown = beats_between(beats, window.begin_s, window.end_s)
    for beat in shown:
        x = PULSE_MM + (beat.at_s - window.begin_s) * MM_PER_S
        parts.append(line(x, HEAD_MM - 1, x, HEAD_MM + 0.6, "tick"))
        parts.append(
            text(x, HEAD_MM - 1.6, beat.label or "|", f"mid beat {KINDS.get(beat.label, 'q')}")
        )
        if beat.rr_s and beat.rr_s * MM_PER_S > 9 and beat.at_s - beat.rr_s > window.begin_s:
            middle = x - beat.rr_s * MM_PER_S / 2
            parts.append(text(middle, HEAD_MM - 1.6, f"{1000 * beat.rr_s:.0f}", "mid rr"))
    return parts


def _seconds(window: Window, height: float) -> list[str]:
    parts = []
    for second in range(int(np.ceil(window.begin_s)), int(window.end_s) + 1):
        x = PULSE_MM + (second - window.begin_s) * MM_PER_S
        if x < PULSE_MM + STRIP_S * MM_PER_S - 10:
            parts.append(line(x, height - FOOT_MM, x, height - FOOT_MM + 1, "tick"))
            parts.append(text(x + 0.6, height - 0.8, clock(second), "axis"))
    return parts


def full_disclosure(study: Study) -> tuple[list[str], str]:
    """A picture for every half page of lines, and what their scale is."""
    facts = study.facts
    line_s = 60.0 if facts.seconds <= 6 * 3600 else 120.0
    gain = _gain(study)
    lines = int(np.ceil(facts.seconds / line_s))
    per_picture = 18
    pictures = [
        _lines(study, first, min(first + per_picture, lines), line_s, gain)
        for first in range(0, lines, per_picture)
    ]
    scale = f"{line_s:g} s a line, {gain:g} mm/mV, lead {facts.analysed}"
    return pictures, scale


def _gain(study: Study) -> float:
    """Millimetres per millivolt, round, so that nearly all of the signal fits a line."""
    if study.overview is None:
        return 5.0
    low, high = study.overview.between(0, study.facts.seconds)
    there = low <= high
    if not there.any():
        return 5.0
    height = float(np.median((high.astype(float) - low)[there])) / 1000
    tall = float(np.percentile((high.astype(float) - low)[there], 95)) / 1000
    fitting = 0.8 * LINE_MM / max(tall, height, 0.1)
    return next(
        (gain for gain in (10.0, 5.0, 4.0, 3.0, 2.5, 2.0, 1.5, 1.0) if gain <= fitting), 0.5
    )


def _lines(study: Study, first: int, last: int, line_s: float, gain: float) -> str:
    parts: list[str] = []
    for row, number_ in enumerate(range(first, last)):
        begin_s = number_ * line_s
        middle = (row + 0.5) * LINE_MM + 1
        parts += _line(study, begin_s, line_s, middle, gain)
    return svg(WIDTH_MM, (last - first) * LINE_MM + 2, parts, "disclosure")


def _line(study: Study, begin_s: float, line_s: float, middle: float, gain: float) -> list[str]:
    width = WIDTH_MM - MARGIN_MM
    end_s = begin_s + line_s

    def x(at_s: float) -> float:
        return MARGIN_MM + (at_s - begin_s) / line_s * width

    parts = [text(0, middle + 0.8, clock(begin_s), "axis")]
    for span in spans_between(study.quality, begin_s, end_s):
        if span.state in ("bad", "missing"):
            left, right = x(max(span.begin_s, begin_s)), x(min(span.end_s, end_s))
            parts.append(rect(left, middle - LINE_MM / 2, (right - left, LINE_MM), span.state))
    low, high = _columns(study, begin_s, min(end_s, study.facts.seconds), round(line_s / 60))
    if len(low):
        top, bottom = middle - high * gain, middle - low * gain
        reach = LINE_MM * 0.75
        top = np.clip(top, middle - reach, middle + reach)
        bottom = np.clip(bottom, middle - reach, middle + reach)
        span_mm = width * (min(end_s, study.facts.seconds) - begin_s) / line_s
        parts.append(bars(MARGIN_MM, span_mm, top, bottom, "full"))
    return [*parts, *_dots(study, begin_s, end_s, (x, middle - LINE_MM / 2 + 0.9))]


def _dots(
    study: Study, begin_s: float, end_s: float, place: tuple[Callable[[float], float], float]
) -> list[str]:
    """A dot over each premature beat, one path for each class."""
    x, y = place
    beats = beats_between(study.beats, begin_s, end_s)
    parts = []
    for label in ("S", "V"):
        times = [beat.at_s for beat in beats if beat.label == label]
        if times:
            marks = "".join(f"M{number(x(at_s))} {number(y)}h0" for at_s in times)
            parts.append(f'<path class="dot {KINDS[label]}" d="{marks}"/>')
    return parts


def _columns(
    study: Study, begin_s: float, end_s: float, merge: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest millivolt of each column about the middle of the line; nan where none."""
    if study.overview is None:
        return np.empty(0), np.empty(0)
    low, high = (side.astype(np.float64) for side in study.overview.between(begin_s, end_s))
    low[low > high], high[np.isnan(low)] = np.nan, np.nan
    high[np.isnan(low)] = np.nan
    if merge > 1 and len(low) >= merge:
        whole = len(low) // merge * merge
        low = np.fmin.reduce(low[:whole].reshape(-1, merge), axis=1)
        high = np.fmax.reduce(high[:whole].reshape(-1, merge), axis=1)
    centre = float(np.nanmedian((low + high) / 2)) if np.isfinite(low).any() else 0.0
    return (low - centre) / 1000, (high - centre) / 1000
