"""What a subscriber knows: results and announcements as they come from the broker."""

from __future__ import annotations

import calendar
import json
import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final
from urllib.parse import urlsplit

from edge_runtime.errors import EdgeRunError, MissingExtraError
from edge_runtime.outcome import Beat, Label

if TYPE_CHECKING:
    import paho.mqtt.client as paho
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Heard:
    """One result as it came; `received_ns` is wall time."""

    id: str
    source: str
    seq: int
    timestamp_ns: int
    received_ns: int
    latency_ms: float  # capture to result
    inference_ms: float
    beats: tuple[Beat, ...] = ()
    labels: tuple[Label, ...] = ()


@dataclass(frozen=True, slots=True)
class About:
    """What the pipeline announced of itself."""

    model: str
    version: str
    backend: str
    delegate: str
    degraded: str
    protocol: str
    states: tuple[str, ...]  # one for each source: opening, live, lost, ended
    timestamp_ns: int


def parse_result(payload: bytes, received_ns: int) -> Heard:
    """A result of `wire.Encoder.result`. Raises ValueError, KeyError, TypeError for others."""
    told = json.loads(payload)
    took, outcome = told["latency_ms"], told["result"]
    return Heard(
        id=told["id"],
        source=told["source"],
        seq=told["seq"],
        timestamp_ns=parse_time(told["timestamp"]),
        received_ns=received_ns,
        latency_ms=took["capture_to_result"],
        inference_ms=took["inference"],
        beats=tuple(map(_beat, outcome.get("beats", ()))),
        labels=tuple(Label(**item) for item in outcome.get("labels", ())),
    )


def parse_info(payload: bytes) -> About:
    """An announcement of `wire.Encoder.info`. Raises ValueError, KeyError, TypeError."""
    told = json.loads(payload)
    model, backend = told["model"], told["backend"]
    return About(
        model=model["name"],
        version=model["version"],
        backend=backend["kind"],
        delegate=backend["delegate"],
        degraded=backend.get("degraded", ""),
        protocol=told["protocol"],
        states=tuple(source["state"] for source in told["sources"]),
        timestamp_ns=parse_time(told["timestamp"]),
    )


def _beat(told: dict[str, Any]) -> Beat:
    rest = {key: value for key, value in told.items() if key != "timestamp"}
    return Beat(timestamp_ns=parse_time(told["timestamp"]), **rest)


def parse_time(text: str) -> int:
    """Nanoseconds since 1970 of "2026-11-21T09:30:00.123456789Z"."""
    whole, _, rest = text.removesuffix("Z").partition(".")
    second = calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))
    return second * 1_000_000_000 + int(rest.ljust(9, "0")[:9] or 0)


@final
class Subscriber:
    """An MQTT client that knows the broker's address and a topic, and nothing of the pipeline.

    A context manager; entering it returns once the broker has granted the subscription, so
    nothing that is published later can be missed. Raises EdgeRunError when that fails.
    """

    def __init__(self, url: str, topic: str) -> None:
        self._url = urlsplit(url)
        self._topic = topic
        self._granted = threading.Event()
        self._messages: queue.SimpleQueue[tuple[str, bytes, int]] = queue.SimpleQueue()
        self.about: About | None = None
        self.status = ""

    def __enter__(self) -> Subscriber:
        self._client = _client()
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        try:
            self._client.connect(self._url.hostname or "127.0.0.1", self._url.port or 1883)
        except OSError as exc:
            raise EdgeRunError(f"the demo cannot reach its own broker: {exc}") from exc
        self._client.loop_start()
        if not self._granted.wait(CONNECT_TIMEOUT_S):
            self.__exit__()
            raise EdgeRunError("the demo's own broker does not grant a subscription")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def take(self, timeout_s: float) -> Heard | None:
        """The next result; None when there was none in time. Status and info are kept aside."""
        deadline = time.monotonic() + timeout_s
        while True:
            left_s = deadline - time.monotonic()
            try:
                topic, payload, received_ns = self._messages.get(timeout=max(left_s, 1e-4))
            except queue.Empty:
                return None
            heard = self._sort(topic.rpartition("/")[2], payload, received_ns)
            if heard is not None:
                return heard

    def _sort(self, what: str, payload: bytes, received_ns: int) -> Heard | None:
        try:
            if what == "result":
                return parse_result(payload, received_ns)
            if what == "info":
                self.about = parse_info(payload)
            elif what == "status":
                self.status = payload.decode("utf-8", "replace")
        except (ValueError, KeyError, TypeError):
            return None  # a result that cannot be read is missed by the tally: it counts as lost
        return None

    def _on_connect(
        self,
        client: paho.Client,
        userdata: object,  # noqa: ARG002 - paho's signature
        flags: paho.ConnectFlags,  # noqa: ARG002
        reason: ReasonCode,  # noqa: ARG002
        properties: Properties | None,  # noqa: ARG002
    ) -> None:
        client.subscribe(self._topic, qos=1)

    def _on_subscribe(
        self,
        client: paho.Client,  # noqa: ARG002 - paho's signature
        userdata: object,  # noqa: ARG002
        mid: int,  # noqa: ARG002
        reasons: list[ReasonCode],
        properties: Properties | None,  # noqa: ARG002
    ) -> None:
        if reasons and not reasons[0].is_failure:
            self._granted.set()

    def _on_message(
        self,
        client: paho.Client,  # noqa: ARG002 - paho's signature
        userdata: object,  # noqa: ARG002
        message: paho.MQTTMessage,
    ) -> None:
        self._messages.put((message.topic, bytes(message.payload), time.time_ns()))


def _client() -> paho.Client:
    try:
        import paho.mqtt.client as paho
        from paho.mqtt.enums import CallbackAPIVersion
    except ImportError as exc:
        raise MissingExtraError("the demo", "all", exc) from exc
    return paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
