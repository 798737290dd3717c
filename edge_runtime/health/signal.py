"""Whether a signal is alive: electrodes off, flat lines, clipping, gaps and settling."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.ecg.leads import canonical_lead, derivation
from edge_runtime.ecg.runs import EqualRuns, FlagRuns
from edge_runtime.errors import BadOptionError, ConfigError
from edge_runtime.frame import Frame, Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Flags = NDArray[np.bool_]

_RAIL_SHARE = 0.999  # a sample this close to the rail stands at it
_CLIP_S = 1.0  # clipping is counted over so much signal


class SignalHealth:
    """The state of a signal source by its samples, once per frame.

    `flat`: a lead gave exactly one value for `flat_s`. `lead-off`: a lead stood at its rail for
    `flat_s`, as a front end does whose electrode has fallen off. `clipped`: a lead was at its rail
    for `clip_share` of the last second. Frames of these three are not usable. `gap`: samples are
    missing; `settling`: the source has just been opened, or is back from one of the three. Both
    last `settle_s`, and their frames are usable. A heart that stands still is none of these: its
    converter still shows noise of a count or two.

    A source whose protocol has a lead-off flag says so itself (`LeadOffError`).

    Args:
        leads: the leads to watch, by any spelling; none named means all. For a limb lead that is
            derived, those that it is derived from.
        flat_s: how long a lead may give one value.
        rail_mv: the largest value, of either sign, that the converter can give; 0 when it is not
            known: then nothing is called clipped, and an electrode that is off shows as flat.
        clip_share: share of the last second at the rail from which on a lead is clipped.
        settle_s: how long filters and detectors need after a start, a loss or a gap.
    """

    def __init__(
        self,
        *,
        leads: tuple[str, ...] = (),
        flat_s: float = 1.0,
        rail_mv: float = 0.0,
        clip_share: float = 0.2,
        settle_s: float = 1.5,
    ) -> None:
        if not 0.1 <= flat_s <= 60:
            raise BadOptionError("flat_s", "must be 0.1 to 60 seconds")
        if not 0 <= rail_mv < math.inf:
            raise BadOptionError("rail_mv", "must be 0 (not known) or a value in mV")
        if not 0 < clip_share <= 1:
            raise BadOptionError("clip_share", "must be above 0 and at most 1")
        if not 0 <= settle_s <= 60:
            raise BadOptionError("settle_s", "must be 0 to 60 seconds")
        self._leads = tuple(canonical_lead(name) for name in leads)
        self._flat_s, self._settle_s, self._clip_share = flat_s, settle_s, clip_share
        self._rail_mv = rail_mv * _RAIL_SHARE or math.inf
        self.restart()

    def restart(self) -> None:
        """The source was opened anew."""
        self._last: Frame | None = None
        self._watched: list[tuple[str, int, _Lead]] = []  # name, column
        self._settling = ("settling", "")
        self._steady = 0  # samples since the source became usable

    def __call__(self, frame: Frame) -> Verdict:
        """Raises ConfigError when a lead to watch is not there."""
        rate_hz = frame.rate_hz
        if not rate_hz or frame.data.ndim != 2 or not len(frame.data):
            return Verdict("live")  # no signal: not for this judge
        gap = self._gap(frame)
        if gap is not None or self._last is None or frame.leads != self._last.leads:
            self._begin(frame)
        if gap is not None:
            self._settling, self._steady = ("gap", gap), 0
        self._last = frame
        found = [
            (name, *lead.take(frame.data[:, column], rate_hz, self._rail_mv))
            for name, column, lead in self._watched
        ]
        bad = self._bad(found)
        if bad is not None:
            self._settling, self._steady = ("settling", "back from " + bad.state), 0
            return bad
        self._steady += len(frame.data)
        if self._steady <= self._settle_s * rate_hz:
            return Verdict(*self._settling)
        return Verdict("live")

    def _bad(self, found: list[tuple[str, float, float, float]]) -> Verdict | None:
        """The gravest of the leads: standing at the rail, then flat, then clipped."""
        for name, _, railed_s, _ in found:
            if railed_s >= self._flat_s:
                self._forget_rails()
                return Verdict("lead-off", f"{name} stands at its rail: check the electrode", False)
        for name, still_s, _, _ in found:
            if still_s >= self._flat_s:
                return Verdict("flat", f"{name} does not change: check cable and electrode", False)
        for name, _, _, share in found:
            if share >= self._clip_share:
                return Verdict("clipped", f"{name} is beyond its range: lower the gain", False)
        return None

    def _forget_rails(self) -> None:
        for _, _, lead in self._watched:
            lead.forget_rail()

    def _gap(self, frame: Frame) -> str | None:
        """What is missing before this frame; None when nothing is."""
        last = self._last
        if last is None or frame.seq == last.seq + 1:
            return None
        length_s = len(last.data) / (last.rate_hz or math.inf)
        missing_s = (frame.monotonic_ns - last.monotonic_ns) / 1e9 - length_s
        return f"{missing_s:.2f} s are missing" if missing_s > 0 else "samples are missing"

    def _begin(self, frame: Frame) -> None:
        there = [canonical_lead(name) for name in frame.leads]
        there += [f"lead {column + 1}" for column in range(len(there), frame.data.shape[1])]
        wanted: set[str] = set()
        for name in self._leads:
            try:
                wanted.update((name,) if name in there else derivation(name, there))
            except LookupError as exc:
                has = ", ".join(there)
                raise ConfigError(
                    f"{frame.source}: health: leads: there is no {name}; it has {has}"
                ) from exc
        self._watched = [
            (name, column, _Lead())
            for column, name in enumerate(there)
            if name in wanted or not wanted
        ]


class _Lead:
    """What is remembered of one lead."""

    def __init__(self) -> None:
        self._still, self._railed = EqualRuns(), FlagRuns()
        self._recent: Flags = np.zeros(0, np.bool_)  # of the last second: whether at the rail

    def take(
        self, samples: NDArray[np.float32], rate_hz: float, rail_mv: float
    ) -> tuple[float, float, float]:
        """Longest time of one value and at the rail in s, share of the last second at the rail."""
        still_s = self._still(samples) / rate_hz
        if math.isinf(rail_mv):
            return still_s, 0.0, 0.0
        at_rail = np.abs(samples) >= rail_mv
        second = max(1, round(_CLIP_S * rate_hz))
        self._recent = np.concatenate([self._recent, at_rail])[-second:]
        share = np.count_nonzero(self._recent) / second
        return still_s, self._railed(at_rail) / rate_hz, share

    def forget_rail(self) -> None:
        """What stood at the rail was no clipping: the electrode was off."""
        self._recent = self._recent[:0]
