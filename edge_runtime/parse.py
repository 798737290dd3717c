"""Messages of edge-run as events: the inverse of `wire.py`.

Keys that are not known are passed over, so that a newer device can be read; a key that is missing
or of another type, and a document that names another device, pipeline or source than its topic,
are refused.
"""

from __future__ import annotations

from collections.abc import Callable

from .encoding import decode
from .events import Alert, Announcement, Event, Gap, ReceivedResult, Status
from .frame import BackendInfo, Info, Latency, ModelInfo, SourceState
from .parse_outcome import Map, flag, items, outcome, quality_of, real, text, time_ns, whole
from .wire import OFFLINE, ONLINE, SCHEMA, STOPPED


def event_of(topic: str, payload: bytes, content_type: str = "") -> Event:
    """The event that a message tells.

    Raises ValueError for a message that is none of edge-run's, MissingExtraError for one whose
    encoding cannot be read here.
    """
    if topic.endswith("/status"):
        return _status(topic, payload)
    return event_in(topic, decode(payload, content_type))


def event_in(topic: str, document: Map) -> Event:
    """The same of a document that is decoded already; a status is none. Raises ValueError."""
    levels = topic.split("/")
    names, read = _READERS.get(levels[-1], ((), None))
    if read is None or len(levels) < len(names) + 2:
        raise ValueError("no message of edge-run has such a topic")
    try:
        if whole(document["schema"]) != SCHEMA:
            raise ValueError(f"schema {document['schema']!r} is not known")
        for name, level in zip(names, levels[-1 - len(names) : -1], strict=True):
            if document[name] != level:
                raise ValueError(f"{name} is {document[name]!r} and not as in the topic")
        return read(document)
    except KeyError as exc:
        raise ValueError(f"it has no {exc}") from exc
    except (TypeError, AttributeError, OverflowError) as exc:
        raise ValueError(str(exc)) from exc


def root_of(topic: str) -> str:
    """<prefix>/<device>/<pipeline> of any topic of edge-run."""
    root, _, kind = topic.rpartition("/")
    return root.rpartition("/")[0] if "source" in _READERS.get(kind, ((), None))[0] else root


def _status(topic: str, payload: bytes) -> Status:
    levels = topic.split("/")
    state = payload.decode("utf-8")
    if len(levels) < 4 or state not in (ONLINE, STOPPED, OFFLINE):
        raise ValueError("no status of edge-run")
    return Status(levels[-3], levels[-2], state)


def _result(document: Map) -> ReceivedResult:
    return ReceivedResult(
        document["device"],
        document["pipeline"],
        document["source"],
        text(document["id"]),
        whole(document["seq"]),
        time_ns(document["timestamp"]),
        _model(document["model"]),
        _backend(document["backend"]),
        _latency(document["latency_ms"]),
        outcome(document["result"]),
        flag(document["historical"]),
        text(document.get("source_state", "live")),
        quality_of(document["quality"]) if "quality" in document else None,
    )


def _info(document: Map) -> Announcement:
    sources = tuple(
        SourceState(text(item["name"]), text(item["state"]), text(item["detail"]))
        for item in items(document["sources"])
    )
    info = Info(_model(document["model"]), _backend(document["backend"]), sources)
    return Announcement(
        document["device"],
        document["pipeline"],
        time_ns(document["timestamp"]),
        info,
        text(document["protocol"]),
    )


def _gap(document: Map) -> Gap:
    return Gap(
        document["device"],
        document["pipeline"],
        document["source"],
        text(document["id"]),
        text(document["run"]),
        whole(document["first_seq"]),
        whole(document["last_seq"]),
        whole(document["count"]),
        time_ns(document["first"]),
        time_ns(document["last"]),
        text(document["reason"]),
    )


def _alert(document: Map) -> Alert:
    return Alert(
        document["device"],
        document["pipeline"],
        text(document["id"]),
        time_ns(document["timestamp"]),
        text(document["kind"]),
        text(document["text"]),
        flag(document["cleared"]),
    )


# What ends a topic: the levels before it that the document repeats, and what reads it.
_READERS: dict[str, tuple[tuple[str, ...], Callable[[Map], Event]]] = {
    "result": (("device", "pipeline", "source"), _result),
    "event": (("device", "pipeline", "source"), _result),
    "gap": (("device", "pipeline", "source"), _gap),
    "info": (("device", "pipeline"), _info),
    "alert": (("device", "pipeline"), _alert),
}


def _model(item: Map) -> ModelInfo:
    return ModelInfo(text(item["name"]), text(item["version"]), text(item["sha256"]))


def _backend(item: Map) -> BackendInfo:
    return BackendInfo(text(item["kind"]), text(item["delegate"]), text(item.get("degraded", "")))


def _latency(item: Map) -> Latency:
    return Latency(
        real(item["capture_to_result"]),
        real(item["preprocess"]),
        real(item["inference"]),
        real(item["postprocess"]),
    )
