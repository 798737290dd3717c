"""Which pieces of the signal a report shows: evidence of events, extremes, premature beats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .report_events import ORDER, Episode, said
from .report_read import Window
from .report_strips import STRIP_S, Caption
from .report_study import Study, extremes
from .report_svg import clock

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Reals = NDArray[np.float64]

MOST_OF_A_KIND = 3
MOST_STRIPS = 36
BEATS_OF_A_CLASS = 60
_BEFORE_S, _AFTER_S = 0.3, 0.6  # of a beat whose shape is shown
_LEAD_IN_S = 2.0

Piece = tuple[Caption, Window]


def strips(study: Study, found: Sequence[Episode]) -> list[Piece]:
    """The start, the slowest and the fastest stretch, then what rules found, gravest first."""
    made = [_piece(study, Caption("Start of the record"), 0.0)]
    ends = extremes(study.beats)
    if ends is not None:
        for name, (bpm, at_s) in zip(("Slowest", "Fastest"), ends, strict=True):
            title = f"{name} rate: {bpm:.0f} bpm over 8 intervals"
            made.append(_piece(study, Caption(title), at_s - STRIP_S + 0.5))
    shown: Counter[str] = Counter()
    graded = sorted(found, key=lambda e: (ORDER.index(e.priority), e.begin_s))
    for episode in graded:
        shown[episode.name] += 1
        if shown[episode.name] <= MOST_OF_A_KIND and len(made) < MOST_STRIPS:
            made.append(_evidence(study, episode))
    for label, name in (("V", "Ventricular beat"), ("S", "Supraventricular beat")):
        beats = [beat for beat in study.beats if beat.label == label]
        for beat in beats[:: max(1, len(beats) // MOST_OF_A_KIND)][:MOST_OF_A_KIND]:
            if len(made) < MOST_STRIPS:
                detail = f"by the model, at {clock(beat.at_s)}"
                made.append(_piece(study, Caption(name, detail), beat.at_s - STRIP_S / 2))
    return made


def _evidence(study: Study, episode: Episode) -> Piece:
    limits = f"; limit: {said(episode.limits)}" if episode.limits else ""
    detail = f"{clock(episode.begin_s)}, {said(episode.values)}{limits}; rule {episode.rule}"
    end_s = episode.end_s if episode.end_s is not None else study.facts.seconds
    mark = (episode.begin_s, end_s)
    return _piece(
        study, Caption(episode.title, detail, episode.priority, mark), episode.begin_s - _LEAD_IN_S
    )


def _piece(study: Study, caption: Caption, begin_s: float) -> Piece:
    begin_s = max(0.0, min(begin_s, study.facts.seconds - STRIP_S))
    return caption, Window(begin_s, begin_s + STRIP_S)


def beat_windows(study: Study) -> list[tuple[str, Window]]:
    """Beats of each class, spread over the record."""
    made: list[tuple[str, Window]] = []
    for label in ("N", "S", "V", ""):
        beats = [beat for beat in study.beats if beat.label == label]
        spread = beats[:: max(1, len(beats) // BEATS_OF_A_CLASS)][:BEATS_OF_A_CLASS]
        begins = [max(0.0, beat.at_s - _BEFORE_S) for beat in spread]
        made += [(label, Window(begin, begin + _BEFORE_S + _AFTER_S)) for begin in begins]
    return made


def medians(windows: Sequence[tuple[str, Window]]) -> list[tuple[str, int, Reals, float]]:
    """(class, beats, median beat of the first lead in mV about its level, samples per second)."""
    made = []
    for label in dict.fromkeys(name for name, _ in windows):
        held = [w for name, w in windows if name == label and w.data is not None]
        whole = [w.data[:, 0] for w in held if w.data is not None and np.isfinite(w.data).all()]
        if len(whole) < 2:
            continue
        length = min(map(len, whole))
        beats = np.stack([beat[:length] - np.median(beat) for beat in whole])
        middle = np.asarray(np.median(beats, axis=0), np.float64)
        made.append((label, len(whole), middle, held[0].rate_hz))
    return made
