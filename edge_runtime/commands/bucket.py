"""A token bucket: so many a minute, a few more at once."""

from __future__ import annotations


class Bucket:
    """Full at first; `now_s` never goes back."""

    def __init__(self, per_minute: int, burst: int) -> None:
        self._per_s = per_minute / 60.0
        self._burst = float(burst)
        self._left = self._burst
        self._at_s = float("-inf")

    def take(self, now_s: float) -> bool:
        """Take a token, if there is one."""
        self._left = min(self._burst, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
