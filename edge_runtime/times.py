"""Times as text."""

from __future__ import annotations

import functools
import time


def rfc3339(timestamp_ns: int) -> str:
    """Nanoseconds since 1970 as "2026-11-21T09:30:00.123456789Z"."""
    second, ns = divmod(timestamp_ns, 1_000_000_000)
    return f"{_second(second)}.{ns:09d}Z"


@functools.lru_cache(maxsize=8)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
