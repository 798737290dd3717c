"""What a subscriber is told: results, statuses, announcements, gaps and alerts.

Named tuples, as the values of `frame.py`, with whose types they are filled. Times are nanoseconds
since 1970, UTC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from .frame import BackendInfo, Info, Latency, ModelInfo, Quality
    from .outcome import Outcome


class ReceivedResult(NamedTuple):
    """What a model said of one frame. A number that was not finite there is NaN here."""

    device: str
    pipeline: str
    source: str
    id: str  # unique for ever
    seq: int
    timestamp_ns: int
    model: ModelInfo
    backend: BackendInfo
    latency_ms: Latency
    outcome: Outcome
    historical: bool  # it left its device more than two seconds after it was made
    source_state: str = "live"
    quality: Quality | None = None


class Status(NamedTuple):
    """`online`, `stopped` (left in good order) or `offline` (vanished)."""

    device: str
    pipeline: str
    state: str


class Announcement(NamedTuple):
    """What a pipeline is made of now. `protocol` is the version of MQTT that it uses."""

    device: str
    pipeline: str
    timestamp_ns: int
    info: Info
    protocol: str


class Gap(NamedTuple):
    """Results that were made and will not come, all of one source and one run.

    `count` of the frames `first_seq`..`last_seq` are meant, accepted within `first_ns`..`last_ns`;
    results of the others have come or will. The ids of a run's results begin with `run`.
    """

    device: str
    pipeline: str
    source: str
    id: str
    run: str
    first_seq: int
    last_seq: int
    count: int  # type: ignore[assignment] # a gap has one; tuple.count is not missed
    first_ns: int
    last_ns: int
    reason: str  # full, age, disk, refused or rejected


class Alert(NamedTuple):
    """Something that a person should know of a pipeline; `cleared` when it is over."""

    device: str
    pipeline: str
    id: str
    timestamp_ns: int
    kind: str
    text: str
    cleared: bool


Event: TypeAlias = ReceivedResult | Status | Announcement | Gap | Alert
