"""How much a beat differs from its template, in few numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from edge_runtime.frame import Signal

SHAPE_FEATURES = (
    "1 - correlation with the template in the QRS complex, -0.12 to 0.12 s",
    "difference / template there, root mean square",
    "width of the QRS complex / the template's",
    "largest deflection / the template's",
    "1 - correlation where the P wave is, -0.28 to -0.08 s",
    "difference / a tenth of the template's largest deflection there, root mean square",
    "1 - correlation where the T wave is, 0.16 to 0.44 s",
)
_TOP = 2.0  # every feature is limited to 0..2


def shape_features(beat: Signal, template: Signal, peak: int, rate_hz: float) -> Signal:
    """(7,) float32 from two (samples,) windows with the R peak at `peak`; see SHAPE_FEATURES."""

    def part(start_s: float, stop_s: float) -> slice:
        start, stop = round(start_s * rate_hz), round(stop_s * rate_hz)
        return slice(max(0, peak + start), max(0, peak + stop))

    qrs, p, t = part(-0.12, 0.12), part(-0.28, -0.08), part(0.16, 0.44)
    top = max(float(np.abs(template).max()), 1e-3)
    largest = float(np.abs(beat[qrs]).max(initial=0.0))
    values = (
        _unlike(beat[qrs], template[qrs]),
        _rms(beat[qrs] - template[qrs]) / max(_rms(template[qrs]), 1e-3),
        _width(beat[qrs]) / max(_width(template[qrs]), 1e-3),
        largest / top,
        _unlike(beat[p], template[p]),
        _rms(beat[p] - template[p]) / (0.1 * top),
        _unlike(beat[t], template[t]),
    )
    return np.clip(np.asarray(values, np.float32), 0.0, _TOP)


def _rms(part: Signal) -> float:
    return float(np.sqrt(np.mean(np.square(part)))) if part.size else 0.0


def _unlike(one: Signal, other: Signal) -> float:
    """1 - Pearson's correlation; 1 when either is flat or not in the window."""
    if not one.size:
        return 1.0
    a, b = one - one.mean(), other - other.mean()
    size = _rms(a) * _rms(b)
    return 1.0 - float(np.mean(a * b)) / size if size > 1e-9 else 1.0


def _width(part: Signal) -> float:
    """Area of the rectified complex over its height, in samples."""
    if not part.size:
        return 0.0
    rectified = np.abs(part - np.median(part))
    return float(rectified.sum() / max(float(rectified.max()), 1e-6))
