"""What a pipeline says of the update of its model. None of these values changes."""

from __future__ import annotations

from typing import NamedTuple


class Disagreement(NamedTuple):
    """A frame of which a candidate said something else than the live model."""

    source: str
    seq: int
    timestamp_ns: int
    live: str
    candidate: str


class ShadowReport(NamedTuple):
    """What came of running a candidate beside the live model, on live frames."""

    frames: int
    agreement: float  # 0..1, the mean over frames
    latency_ratio: float  # of the medians, candidate to live; NaN until both were measured
    samples: tuple[Disagreement, ...] = ()


class UpdateState(NamedTuple):
    """Where a model update stands.

    `state` is a word of the journal (`update.store.journal`), or `loading`, `shadow` or
    `canary` on the way from `validated` to `trial`; `name`, `version` and `counter` are those of
    the candidate. `news` is a verdict that nobody has been told yet.
    """

    state: str
    name: str = ""
    version: str = ""
    counter: int = 0
    reason: str = ""
    shadow: ShadowReport | None = None
    news: bool = False
