"""The numbers behind the quality of a signal: limits, and the fitted coefficients of the score."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .quality_indices import Indices


@dataclass(frozen=True, slots=True)
class QualitySettings:
    """Limits of the states."""

    good: float = 0.7  # from this score on the signal is good
    bad: float = 0.5  # below this score it is bad: the rate is more likely wrong than right
    margin: float = 0.1  # a better state needs this much more than its limit
    mains_hz: Literal[0, 50, 60] = 0  # where to look for hum; 0 looks at both
    flat_s: float = 1.0  # one value for so long is no signal
    masked_db: float = 12.0  # below it noise may pass for beats
    margin_db: float = 1.0  # to leave a bad state takes this much more
    clipped: float = 0.005  # share of samples on plateaus from which beats have lost their tops
    baseline: float = 0.02  # share of the power above 1 Hz below which shapes are bent
    hum: float = 0.5  # power of the mains over that of the signal from which shapes are hidden
    tone: float = 0.5  # share of the power in one narrow band: flutter or fibrillation, not noise
    silence_mv: float = 0.15  # smaller deflections are no QRS (as monitors have it, IEC 60601-2-27)
    quiet_s: float = 3.0  # no beat and no deflection for so long: asystole or a pause, not noise


@dataclass(frozen=True, slots=True)
class QualityModel:
    """A logistic regression on `terms`; made by `python benchmarks/quality.py DATA --fit`."""

    constant: float = -6.874
    agreement: float = 2.354
    baseline: float = 1.278
    likeness: float = 0.207
    contrast: float = 1.891
    steadiness: float = 2.979
    spacing: float = 7.744
    snr_db: float = 1.705

    def score(self, indices: Indices) -> float:
        """The probability that the rate and the beats of a window are right."""
        weights = (
            self.agreement,
            self.baseline,
            self.likeness,
            self.contrast,
            self.steadiness,
            self.spacing,
            self.snr_db,
        )
        weighted = (w * term for w, term in zip(weights, terms(indices), strict=True))
        return 1 / (1 + math.exp(-self.constant - sum(weighted)))


def terms(indices: Indices) -> tuple[float, ...]:
    """The indices as the score weighs them: what is near 1 by how near it is.

    A beat between two is the more suspect the more noise there is, from 28 dB to 14 dB.
    """
    noisy = min(max((28 - indices.snr_db) / 14, 0), 1)
    return (
        _nearness(indices.agreement, 0.02),
        indices.baseline,
        _nearness(indices.likeness, 0.01),
        indices.contrast,
        indices.steadiness,
        math.log(min(max(indices.spacing / 0.8, 0.25), 1)) * noisy,
        indices.snr_db / 20,
    )


def _nearness(value: float, least: float) -> float:
    return -math.log10(max(1 - value, least))
