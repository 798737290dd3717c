"""What goes over the wire: topics, and results and announcements as JSON bytes.

    <prefix>/<device>/<pipeline>/<source>/result    a result, by result.schema.json
    <prefix>/<device>/<pipeline>/<source>/event     what a monitor found: a result of that kind
    <prefix>/<device>/<pipeline>/status             retained: online, stopped or offline
    <prefix>/<device>/<pipeline>/info               retained, by info.schema.json
    <prefix>/<device>/<pipeline>/<source>/gap       results that were let go, by gap.schema.json
    <prefix>/<device>/<pipeline>/alert              for a person, by alert.schema.json
    <prefix>/<device>/<pipeline>/ack                to the pipeline: ids that a subscriber has
    <prefix>/<device>/<pipeline>/command/<verb>     to the pipeline; see docs/commands.md

The schemas lie beside this module. Times are RFC 3339 in UTC with nine decimals. JSON has no
word for NaN and infinity: such a number is null. Scores, pixels and seconds have seven
significant digits, latencies three decimals, tensor values as many as their type holds.
"""

from __future__ import annotations

from json.encoder import encode_basestring as quote
from typing import TYPE_CHECKING

from .errors import BadOptionError
from .times import rfc3339
from .wire_outcome import number, outcome_json, quality_json

if TYPE_CHECKING:
    from .frame import (
        BackendInfo,
        Identity,
        Info,
        Latency,
        ModelInfo,
        Result,
    )
    from .update_state import ShadowReport, UpdateState

SCHEMA = 1
ONLINE, STOPPED, OFFLINE = "online", "stopped", "offline"

_LIVE = b"false}"  # how the encoding of a live result ends
_HISTORICAL = b"true}"
_MAX_LEVEL = 128  # characters; a topic stays far below the 65,535 bytes that MQTT allows


def check_level(key: str, value: str) -> None:
    """Check that a name can be one level of an MQTT topic.

    Raises BadOptionError naming `key` for an empty or overlong name and for the characters that
    MQTT reserves or forbids (MQTT 5.0, sections 1.5.4 and 4.7).
    """
    if not value:
        raise BadOptionError(key, "is empty; it names a level of the MQTT topic")
    if len(value) > _MAX_LEVEL:
        raise BadOptionError(key, f"has {len(value)} characters; at most {_MAX_LEVEL} are allowed")
    for sign in value:
        if sign in "+#/" or sign < " " or "\x7f" <= sign <= "\x9f" or "\ud800" <= sign <= "\udfff":
            raise BadOptionError(key, f"{value!r} holds {sign!r}, which a topic level may not")


class Topics:
    """Where one pipeline publishes.

    `prefix` may have several levels. Raises BadOptionError for a name that is no topic level.
    """

    def __init__(self, identity: Identity, prefix: str = "edge") -> None:
        for level in prefix.split("/"):
            check_level("prefix", level)
        if prefix.startswith("$"):
            raise BadOptionError("prefix", "topics that start with $ belong to the broker")
        check_level("device", identity.device)
        check_level("pipeline", identity.pipeline)
        self.prefix = prefix
        self._root = f"{prefix}/{identity.device}/{identity.pipeline}"
        self.status = f"{self._root}/status"
        self.info = f"{self._root}/info"
        self.alert = f"{self._root}/alert"
        self.ack = f"{self._root}/ack"
        self.command = f"{self._root}/command"

    def result(self, source: str) -> str:
        """The topic of one source's results."""
        return f"{self._root}/{source}/result"

    def event(self, source: str) -> str:
        """The topic of what monitors find in one source."""
        return f"{self._root}/{source}/event"

    def gap(self, source: str) -> str:
        """Where it is told which results of a source were let go."""
        return f"{self._root}/{source}/gap"


class Encoder:
    """Makes the JSON of one pipeline; keeps the parts that stay the same from frame to frame."""

    def __init__(self, identity: Identity) -> None:
        self._who = f'"device":{quote(identity.device)},"pipeline":{quote(identity.pipeline)}'
        self._sources: dict[str, str] = {}
        self._model: ModelInfo | None = None
        self._backend: BackendInfo | None = None
        self._what = ""

    def result(self, result: Result) -> bytes:
        """A live result. `as_historical` turns it into a replayed one."""
        if result.model is not self._model or result.backend is not self._backend:
            self._model, self._backend = result.model, result.backend
            self._what = f'"model":{_model(result.model)},"backend":{_backend(result.backend)}'
        source = self._sources.get(result.source)
        if source is None:
            source = f'{self._who},"source":{quote(result.source)},"seq":'
            self._sources[result.source] = source
        text = (
            f'{{"schema":{SCHEMA},"id":{quote(result.id)},{source}{result.seq},'
            f'"timestamp":"{rfc3339(result.timestamp_ns)}",{self._what},'
            f'"latency_ms":{_latency(result.latency_ms)},'
            f'"result":{outcome_json(result.outcome)}{_trust(result)},"historical":false}}'
        )
        return text.encode("utf-8", "replace")

    def info(self, info: Info, timestamp_ns: int, protocol: str) -> bytes:
        """An announcement; `protocol` is the MQTT version in use, "5" or "3.1.1"."""
        sources = ",".join(
            f'{{"name":{quote(state.name)},"state":{quote(state.state)},'
            f'"detail":{quote(state.detail)}}}'
            for state in info.sources
        )
        text = (
            f'{{"schema":{SCHEMA},{self._who},"timestamp":"{rfc3339(timestamp_ns)}",'
            f'"model":{_model(info.model)},"backend":{_backend(info.backend)},'
            f'"sources":[{sources}],"protocol":{quote(protocol)}{_update(info.update)}}}'
        )
        return text.encode("utf-8", "replace")


def _update(update: UpdateState | None) -> str:
    """Where an update stands, where models are updated."""
    if update is None:
        return ""
    shadow = f',"shadow":{_shadow(update.shadow)}' if update.shadow else ""
    return (
        f',"update":{{"state":{quote(update.state)},"name":{quote(update.name)},'
        f'"version":{quote(update.version)},"counter":{update.counter},'
        f'"reason":{quote(update.reason)}{shadow}}}'
    )


def _shadow(report: ShadowReport) -> str:
    samples = ",".join(
        f'{{"source":{quote(item.source)},"seq":{item.seq},'
        f'"timestamp":"{rfc3339(item.timestamp_ns)}","live":{quote(item.live)},'
        f'"candidate":{quote(item.candidate)}}}'
        for item in report.samples
    )
    return (
        f'{{"frames":{report.frames},"agreement":{number(report.agreement)},'
        f'"latency_ratio":{number(report.latency_ratio)},"samples":[{samples}]}}'
    )


def as_historical(payload: bytes) -> bytes:
    """The same result, marked as replayed; `payload` is from `Encoder.result`."""
    return payload[: -len(_LIVE)] + _HISTORICAL if payload.endswith(_LIVE) else payload


def _model(model: ModelInfo) -> str:
    return (
        f'{{"name":{quote(model.name)},"version":{quote(model.version)},'
        f'"sha256":{quote(model.sha256)}}}'
    )


def _backend(backend: BackendInfo) -> str:
    degraded = f',"degraded":{quote(backend.degraded)}' if backend.degraded else ""
    return f'{{"kind":{quote(backend.kind)},"delegate":{quote(backend.delegate)}{degraded}}}'


def _latency(took: Latency) -> str:
    total = took.capture_to_result + took.preprocess + took.inference + took.postprocess
    if total - total != 0.0:  # a NaN or an infinity is among them
        return _odd_latency(took)
    return (
        f'{{"capture_to_result":{took.capture_to_result:.3f},"preprocess":{took.preprocess:.3f},'
        f'"inference":{took.inference:.3f},"postprocess":{took.postprocess:.3f}}}'
    )


def _odd_latency(took: Latency) -> str:
    names = ("capture_to_result", "preprocess", "inference", "postprocess")
    return f"{{{','.join(f'{quote(name)}:{number(getattr(took, name))}' for name in names)}}}"


def _trust(result: Result) -> str:
    """What the signal was like, where that was judged and where it is not as usual."""
    quality = f',"quality":{quality_json(result.quality)}' if result.quality else ""
    return quality if result.state == "live" else f'{quality},"source_state":{quote(result.state)}'
