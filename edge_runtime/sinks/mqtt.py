"""Sink `mqtt`: publishes results to a broker, and loses none that its memory can hold."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from typing import Literal

from edge_runtime.errors import BadOptionError, SinkError
from edge_runtime.frame import Identity, Info, Result
from edge_runtime.mqtt.login import Login, parse_url
from edge_runtime.mqtt.sender import Counters, Plan, Sender
from edge_runtime.mqtt.session import Terms
from edge_runtime.outbox import MemoryOutbox
from edge_runtime.wire import Encoder, Topics

WEEK_S = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of the results so far. A repeat after a lost connection is published twice."""

    published: int
    acknowledged: int
    dropped: int
    refused: int
    reconnects: int
    waiting: int


class Mqtt:
    """Publishes `<prefix>/<device>/<pipeline>/<source>/result`, and `status` and `info` retained.

    Results wait in memory while there is no broker; a restart of the process empties it. A result
    that leaves more than two seconds late says `historical`.

    Args:
        url: mqtt://, mqtts://, ws:// or wss://, host, and port if not the usual one.
        username: name at the broker; the password comes from `password` or `password_file`.
        password: better from the environment or a file than from the run file.
        password_file: its first line, for secrets that the service manager hands over.
        client_id: at the broker; "" is edge-run-<device>-<pipeline>.
        qos: 0 hands each result to the network once; 1 and 2 repeat it until the broker
            acknowledges. After a reconnect a repeat is possible with each; its id is the same.
        keepalive_s: a dead connection is noticed within one and a half of it.
        protocol: the version of MQTT; "auto" is 5, and 3.1.1 where that is not spoken.
        ca_file: PEM; the broker's authority, if the system does not know it.
        cert_file: PEM; our certificate, for brokers that want one; with key_file.
        key_file: PEM, without a passphrase, readable by its owner only.
        prefix: first levels of every topic.
        window: results in flight, at most.
        outbox_rows: results that wait, at most; then the oldest are dropped and counted.
        outbox_mb: memory for them, at most.
        drain_s: how long `close` may take to deliver what waits.
        expiry_s: an MQTT 5 broker drops a result that no subscriber fetched for so long; 0 never.
        allow_insecure: permit a broker on the network without TLS, or without a user.

    Raises:
        BadOptionError: an option is impossible, or careless without allow_insecure.
    """

    def __init__(
        self,
        *,
        identity: Identity,
        url: str = "mqtt://localhost:1883",
        username: str = "",
        password: str = "",
        password_file: str = "",
        client_id: str = "",
        qos: Literal[0, 1, 2] = 1,
        keepalive_s: int = 30,
        protocol: Literal["auto", "5", "3.1.1"] = "auto",
        ca_file: str = "",
        cert_file: str = "",
        key_file: str = "",
        prefix: str = "edge",
        window: int = 20,
        outbox_rows: int = 50_000,
        outbox_mb: float = 32.0,
        drain_s: float = 10.0,
        expiry_s: int = WEEK_S,
        allow_insecure: bool = False,
    ) -> None:
        _check_range("qos", qos, 0, 2)
        _check_range("keepalive_s", keepalive_s, 1, 65535)
        _check_range("window", window, 1, 1000)
        _check_range("outbox_rows", outbox_rows, window, 100_000_000)
        _check_range("drain_s", drain_s, 0, 3600)
        _check_range("expiry_s", expiry_s, 0, 2**32 - 2)
        self._login = Login(
            address=parse_url(url),
            username=username,
            password=password,
            password_file=password_file,
            ca_file=ca_file,
            cert_file=cert_file,
            key_file=key_file,
            allow_insecure=allow_insecure,
        )
        self._topics = Topics(identity, prefix)
        self._encoder = Encoder(identity)
        self._outbox = MemoryOutbox(rows_max=outbox_rows, bytes_max=int(outbox_mb * 1e6))
        name = client_id or f"edge-run-{identity.device}-{identity.pipeline}"
        self._terms = Terms(client_id=name, keepalive_s=keepalive_s)
        self._plan = Plan(self._topics, qos, window, expiry_s, protocol)
        self._drain_s = drain_s
        self._sender: Sender | None = None
        self._closed = False

    @property
    def protocol_in_use(self) -> str:
        """The version of MQTT, 5 or 3.1.1; empty before the first connection."""
        return self._sender.protocol if self._sender else ""

    @property
    def delivery(self) -> Delivery:
        """The counters, now; they stay readable after `close`."""
        counters = self._sender.counters if self._sender else Counters()
        return Delivery(
            published=counters.published,
            acknowledged=counters.acknowledged,
            dropped=self._outbox.dropped,
            refused=counters.refused,
            reconnects=counters.reconnects,
            waiting=self._outbox.size,
        )

    def open(self) -> None:
        """Start connecting. Raises ConfigError for an unreadable password file or certificate."""
        self._sender = Sender(self._login, self._terms, self._plan, self._outbox)
        self._sender.start()

    def publish(self, result: Result) -> None:
        """Accept a result. Raises SinkError only when the sender thread died of a bug."""
        sender = self._running()
        payload = self._encoder.result(result)
        self._outbox.put(self._topics.result(result.source), payload, result.model.version)
        sender.wake()

    def announce(self, info: Info) -> None:
        """Publish what runs here, now and after every reconnect."""
        self._running().announce(functools.partial(self._encode, info))

    def ready(self) -> bool:
        """False while one more result would push another out."""
        return not self._outbox.full

    def close(self) -> None:
        """Deliver what waits, publish `stopped`, leave. Raises SinkError for what was lost."""
        if self._sender is None or self._closed:
            return
        self._closed = True
        self._sender.stop(self._drain_s)
        done = self.delivery
        lost = done.waiting + done.dropped + done.refused
        if lost:
            why = f" ({self._sender.cause})" if done.waiting and self._sender.cause else ""
            raise SinkError(
                f"{self._login.address}: {lost} results not delivered{why}: {done.waiting} still "
                f"wait, {done.dropped} dropped, {done.refused} refused"
            )

    def _running(self) -> Sender:
        if self._sender is None or self._sender.ended:
            raise SinkError(f"{self._login.address}: the sender is not running")
        return self._sender

    def _encode(self, info: Info, protocol: str) -> bytes:
        return self._encoder.info(info, time.time_ns(), protocol)


def _check_range(key: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise BadOptionError(key, f"{value} is not within {least:g} and {most:g}")
