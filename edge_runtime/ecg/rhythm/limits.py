"""The limits of all rules, with their sources."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.errors import BadOptionError


@dataclass(frozen=True, slots=True)
class Limits:
    """Adjustable limits.

    Extremes, asystole and tachycardia of ventricular beats are those of the 2015 challenge on
    false alarms (Clifford et al., Computing in Cardiology 42, 2015).
    """

    low_bpm: float = 50.0
    high_bpm: float = 120.0
    extreme_low_bpm: float = 40.0  # over 5 beats
    extreme_high_bpm: float = 140.0  # over 17 beats
    pause_s: float = 2.0
    asystole_s: float = 4.0
    pvc_per_minute: int = 10
    vt_beats: int = 5
    vt_bpm: float = 100.0
    af_enter: float = 0.7
    af_leave: float = 0.4
    af_least_s: float = 30.0
    st_mv: float = 0.1
    st_s: float = 30.0

    def __post_init__(self) -> None:
        """Raises BadOptionError for a limit that no rule can use."""
        for key in ("extreme_low_bpm", "vt_bpm", "st_mv", "st_s", "af_least_s"):
            if not getattr(self, key) > 0:
                raise BadOptionError(key, "must be above 0")
        if not 0 < self.low_bpm < self.high_bpm:
            raise BadOptionError("low_bpm", f"must be above 0 and below high_bpm {self.high_bpm:g}")
        if not self.extreme_low_bpm <= self.low_bpm:
            raise BadOptionError("extreme_low_bpm", f"must not be above low_bpm {self.low_bpm:g}")
        if not self.extreme_high_bpm >= self.high_bpm:
            raise BadOptionError("extreme_high_bpm", f"must be at least high_bpm {self.high_bpm:g}")
        if not 1.0 <= self.pause_s <= self.asystole_s:
            raise BadOptionError(
                "pause_s", f"must be 1 or more, and at most asystole_s {self.asystole_s:g}"
            )
        if not self.asystole_s <= 30:
            raise BadOptionError("asystole_s", "must be at most 30 seconds")
        if not 0 < self.pvc_per_minute <= 300:
            raise BadOptionError("pvc_per_minute", "must be 1 to 300")
        if not 3 <= self.vt_beats <= 60:
            raise BadOptionError("vt_beats", "must be 3 to 60")
        if not 0 < self.af_leave < self.af_enter < 1:
            raise BadOptionError("af_enter", f"must be above af_leave {self.af_leave:g}, below 1")
