"""How irregular the intervals of half a minute are, and whether P waves stand before the beats.

Plain statistics, made to bear ectopic beats and false detections: the intervals are those from
one beat of the usual QRS shape to the next; one unusual beat between two is left out and the
time over it halved (an early beat and its compensatory pause are two usual intervals); over more
than one there is no interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .heartbeat import HeartBeat, Wave

    Reals = NDArray[np.float64]
    Flags = NDArray[np.bool_]

FEATURES = (
    "Shannon entropy of changes from interval to interval (bins of 5 % of the usual), 0 to 1",
    "largest share of intervals that differ by at most 10 % of the usual one",
    "share of changes above 10 % of the usual interval",
    "share of changes below 4 %",
    "usual rate, beats/s",
    "median correlation of the signal before the QRS complex with its median over beats",
    "log of that median's size over the QRS complex's",
)
LEAST = 12  # intervals, and beats with their signal
_ALIKE = 0.8  # correlation of a QRS complex with the median one
_QRS_S = 0.08  # of the complex on each side of the R peak
_P_FROM_S, _P_TO_S = 0.26, 0.06  # before the R peak


def features(beats: Sequence[HeartBeat]) -> Reals | None:
    """(7,) as FEATURES; None when there are too few usual beats or too little of their signal."""
    there = [beat for beat in beats if beat.wave is not None]
    if len(there) < LEAST:
        return None
    usual = _usual(beats, there)
    intervals = usual_intervals(beats, usual)
    waves = [beat.wave for beat in compress(beats, usual) if beat.wave is not None]
    if min(len(intervals), len(waves)) < LEAST:
        return None
    middle = float(np.median(intervals))
    changes = np.diff(intervals) / middle
    likeness, size = _p_waves(waves)
    return np.array(
        [
            _entropy(changes),
            _largest_share(intervals / middle),
            float(np.mean(np.abs(changes) > 0.10)),
            float(np.mean(np.abs(changes) < 0.04)),
            1.0 / middle,
            likeness,
            float(np.log(size + 0.01)),
        ]
    )


def reaches(wave: Wave) -> bool:
    """Whether it holds all that is looked at here."""
    before, after = wave.peak, len(wave.data) - wave.peak
    return before >= round(_P_FROM_S * wave.rate_hz) and after >= round(_QRS_S * wave.rate_hz)


def usual_intervals(beats: Sequence[HeartBeat], usual: Sequence[bool]) -> Reals:
    """(n,) seconds from one usual beat to the next, halved over one that is not."""
    found: list[float] = []
    since_s, steps = 0.0, 9  # far from a usual beat
    for beat, is_usual in zip(beats, usual, strict=True):
        since_s, steps = (0.0, 9) if beat.rr_s is None else (since_s + beat.rr_s, steps + 1)
        if is_usual:
            if steps <= 2:
                found.append(since_s / steps)
            since_s, steps = 0.0, 0
    return np.array(found)


def _usual(beats: Sequence[HeartBeat], there: Sequence[HeartBeat]) -> list[bool]:
    """Not called ventricular, and a QRS complex like the median one, where there is a signal."""
    cut = np.stack([_part(beat.wave, -_QRS_S, _QRS_S) for beat in there if beat.wave is not None])
    cut -= cut.mean(axis=1, keepdims=True)
    alike = iter((_likeness(cut, np.median(cut, axis=0)) > _ALIKE).tolist())
    return [(beat.wave is None or next(alike)) and beat.label != "V" for beat in beats]


def _entropy(changes: Reals) -> float:
    """Shannon, Bell Syst Tech J 27:379 (1948), over the largest that so many changes can have."""
    bins = np.bincount(np.clip((changes + 0.6) / 0.05, 0, 24).astype(int), minlength=25)
    shares = bins[bins > 0] / len(changes)
    return float(-(shares * np.log(shares)).sum() / np.log(min(len(changes), 25)))


def _largest_share(relative: Reals) -> float:
    ordered = np.sort(relative)
    counts = np.searchsorted(ordered, ordered + 0.1, side="right") - np.arange(len(ordered))
    return float(counts.max() / len(ordered))


def _p_waves(waves: Sequence[Wave]) -> tuple[float, float]:
    """Median correlation with the median shape before the QRS, and its size over the QRS's."""
    cut = np.stack([_part(wave, -_P_FROM_S, -_P_TO_S) for wave in waves])
    ramp = np.linspace(-1, 1, cut.shape[1])
    cut -= cut.mean(axis=1, keepdims=True)
    cut -= np.outer(cut @ ramp / (ramp @ ramp), ramp)
    middle = np.median(cut, axis=0)
    complexes = [float(np.ptp(_part(wave, -_P_TO_S, _P_TO_S))) for wave in waves]
    size = float(np.ptp(middle)) / max(float(np.median(complexes)), 1e-3)
    return float(np.median(_likeness(cut, middle))), size


def _part(wave: Wave, start_s: float, stop_s: float) -> Reals:
    start, stop = round(start_s * wave.rate_hz), round(stop_s * wave.rate_hz)
    return wave.data[wave.peak + start : wave.peak + stop].astype(np.float64)


def _likeness(rows: Reals, shape: Reals) -> Reals:
    """Correlation of each row with a shape; all are without mean."""
    sizes = np.linalg.norm(rows, axis=1) * np.linalg.norm(shape)
    return np.asarray(rows @ shape / np.maximum(sizes, 1e-9), np.float64)
