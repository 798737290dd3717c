"""Sink `sparkplug`: results as metrics of a Sparkplug B edge node, for SCADA and historians."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edge_runtime import state as states
from edge_runtime.errors import BadOptionError, SinkError
from edge_runtime.frame import Identity, Info, Result, SourceState
from edge_runtime.mqtt.login import Login, parse_url
from edge_runtime.mqtt.terms import Terms
from edge_runtime.outcome import Events
from edge_runtime.wire import check_level

if TYPE_CHECKING:
    from edge_runtime.sparkplug.sender import Sender


class Sparkplug:
    """An edge node of Sparkplug B 3.0: this pipeline, with each of its sources as a device.

    Sparkplug knows QoS 0 only for data: a result that was on the network when a connection broke
    may be lost. Results wait in memory while there is no broker or no primary host, and then go as
    historical ones; a restart empties it. For results that must not be lost, put sink `mqtt`
    beside it. See docs/sparkplug.md.

    Args:
        url: mqtt:// or mqtts://, ws:// or wss://, host, and port if not the usual one.
        group: the Group ID.
        node: the Edge Node ID; "" is <device>-<pipeline>. No other node of the group has it.
        primary_host: the Host Application to wait for before anything is published; "" is none.
        username: name at the broker; the password comes from `password` or `password_file`.
        password: better from the environment or a file than from the run file.
        password_file: its first line, for secrets that the service manager hands over.
        client_id: at the broker; "" is edge-run-<device>-<pipeline>-sparkplug.
        keepalive_s: a dead connection is noticed within one and a half of it.
        ca_file: PEM; the broker's authority, if the system does not know it.
        cert_file: PEM; our certificate, for brokers that want one; with key_file.
        key_file: PEM, without a passphrase, readable by its owner only.
        rows: results that wait, at most; then the oldest are dropped and counted.
        drain_s: how long `close` may take to deliver what waits.
        state: folder for the birth number; "" is that of the service manager or user.
        allow_insecure: permit a broker on the network without TLS, or without a user.

    Raises:
        BadOptionError: an option is impossible, or careless without allow_insecure.
    """

    def __init__(
        self,
        *,
        identity: Identity,
        url: str = "mqtt://localhost:1883",
        group: str = "edge-run",
        node: str = "",
        primary_host: str = "",
        username: str = "",
        password: str = "",
        password_file: str = "",
        client_id: str = "",
        keepalive_s: int = 30,
        ca_file: str = "",
        cert_file: str = "",
        key_file: str = "",
        rows: int = 10_000,
        drain_s: float = 5.0,
        state: str = "",
        allow_insecure: bool = False,
    ) -> None:
        for key, low, value, high in (
            ("keepalive_s", 1, keepalive_s, 65535),
            ("rows", 1, rows, 10_000_000),
            ("drain_s", 0, drain_s, 3600),
        ):
            if not low <= value <= high:
                raise BadOptionError(key, f"{value} is not within {low} and {high}")
        self._group, self._node = group, node or f"{identity.device}-{identity.pipeline}"
        check_level("group", self._group)
        check_level("node", self._node)
        if primary_host:
            check_level("primary_host", primary_host)
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
        name = f"edge-run-{identity.device}-{identity.pipeline}-sparkplug"
        self._terms = Terms(client_id or name, keepalive_s)
        self._host, self._rows, self._drain_s = primary_host, rows, drain_s
        self._folder = states.folder(identity, state)
        self._told = False  # whether the pipeline was announced
        self._sender: Sender | None = None
        self._closed = False

    def open(self) -> None:
        """Start connecting. Raises ConfigError for what cannot be used, MissingExtraError."""
        from edge_runtime.sparkplug import payload
        from edge_runtime.sparkplug.counter import Counter
        from edge_runtime.sparkplug.host import PrimaryHost
        from edge_runtime.sparkplug.node import Node
        from edge_runtime.sparkplug.sender import Sender
        from edge_runtime.sparkplug.waiting import Waiting

        payload.load()
        self._waiting = Waiting(self._rows)
        self._sender = Sender(
            self._login,
            self._terms,
            node=Node(self._group, self._node, lambda: time.time_ns() // 1_000_000),
            counter=Counter(self._folder, self._group, self._node),
            host=PrimaryHost(self._host),
            waiting=self._waiting,
        )
        self._sender.start()

    def publish(self, result: Result) -> None:
        """Accept a result; events have no metric, and go to other sinks only.

        Raises SinkError only when the sender thread died of a bug.
        """
        if isinstance(result.outcome, Events):
            return
        sender = self._running()
        if not self._told:
            states = (SourceState(result.source, "live"),)
            self.announce(Info(result.model, result.backend, states))
        self._waiting.put(result)
        sender.wake()

    def announce(self, info: Info) -> None:
        """Births and deaths, now and after every reconnect."""
        self._told = True
        self._running().announce(info)

    def ready(self) -> bool:
        """False while one more result would push another out."""
        return self._sender is None or not self._waiting.full

    def close(self) -> None:
        """Deliver what waits, publish NDEATH, leave. Raises SinkError for what was lost."""
        if self._sender is None or self._closed:
            return
        self._closed = True
        self._sender.stop(self._drain_s)
        left, dropped = len(self._waiting), self._waiting.dropped
        if left + dropped:
            why = f" ({self._sender.cause})" if left and self._sender.cause else ""
            raise SinkError(
                f"{self._login.address}: {left + dropped} results not delivered{why}: {left} still "
                f"wait, {dropped} dropped"
            )

    def _running(self) -> Sender:
        if self._sender is None or self._sender.ended:
            raise SinkError(f"{self._login.address}: the sender is not running")
        return self._sender
