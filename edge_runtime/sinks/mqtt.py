"""Sink `mqtt`: publishes results to a broker, and loses none that it has accepted."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edge_runtime import state as states
from edge_runtime import wire
from edge_runtime.commands.options import CommandOptions
from edge_runtime.encoding import Encoding, encode
from edge_runtime.errors import BadOptionError
from edge_runtime.frame import Identity, Info, Result
from edge_runtime.mqtt.homeassistant import HomeAssistant, HomeAssistantOptions
from edge_runtime.mqtt.login import Login, parse_url
from edge_runtime.mqtt.plan import Plan
from edge_runtime.mqtt.publisher import Delivery, Publisher
from edge_runtime.mqtt.terms import Terms
from edge_runtime.outbox.options import Limits
from edge_runtime.outcome import Beats, Events

if TYPE_CHECKING:
    from edge_runtime.commands.commands import Commands

WEEK_S = 7 * 24 * 3600
_VERDICTS = ("rolled_back", "rejected")
SESSION_S = 60  # a command that comes while the link is down waits so long: as it may live


class Mqtt:
    """Publishes `<prefix>/<device>/<pipeline>/<source>/result`, and `status` and `info` retained.

    Results wait in a file while there is no broker, and survive what `[sink.outbox]` says. One
    that leaves more than two seconds late says `historical`. What is let go leaves a record on
    `<source>/gap`; what a person should mend is said on `alert`. See docs/reliability.md.

    Args:
        url: mqtt://, mqtts://, ws:// or wss://, host, and port if not the usual one.
        fallback_urls: brokers to turn to while that one is out of reach.
        username: name at the broker; the password comes from `password` or `password_file`.
        password: better from the environment or a file than from the run file.
        password_file: its first line, for secrets that the service manager hands over.
        client_id: at the broker; "" is edge-run-<device>-<pipeline>.
        qos: 0 hands each result to the network once; 1 and 2 repeat it until the broker
            acknowledges. After a reconnect a repeat is possible with each; its id is the same.
        keepalive_s: a dead connection is noticed within one and a half of it.
        protocol: the version of MQTT; "auto" is 5, and 3.1.1 where that is not spoken.
        encoding: of everything but `status`; "cbor" and "msgpack" need an extra of that name.
        ca_file: PEM; the broker's authority, if the system does not know it.
        crl_file: PEM; certificates that the authority has revoked.
        cert_file: PEM; our certificate, for brokers that want one; with key_file.
        key_file: PEM, without a passphrase, readable by its owner only.
        alpn: protocols to offer inside TLS, for brokers that share port 443 with others.
        server_name: the name in the broker's certificate, if it is not the host of the URL.
        prefix: first levels of every topic.
        window: results in flight, at most; so many may come twice after a crash.
        drain_s: how long `close` may take to deliver what waits.
        expiry_s: an MQTT 5 broker drops a result that no subscriber fetched for so long; 0 never.
        state: folder for what must outlive the process; "" is that of the service manager or user.
        outbox: how much may wait, where, and what it survives.
        commands: which commands are obeyed; without this table none.
        home_assistant: announce the pipeline to Home Assistant; without this table not.
        allow_insecure: permit a broker on the network without TLS, or without a user.

    Raises:
        BadOptionError: an option is impossible, or careless without allow_insecure.
    """

    def __init__(
        self,
        *,
        identity: Identity,
        url: str = "mqtt://localhost:1883",
        fallback_urls: tuple[str, ...] = (),
        username: str = "",
        password: str = "",
        password_file: str = "",
        client_id: str = "",
        qos: Literal[0, 1, 2] = 1,
        keepalive_s: int = 30,
        protocol: Literal["auto", "5", "3.1.1"] = "auto",
        encoding: Encoding = "json",
        ca_file: str = "",
        crl_file: str = "",
        cert_file: str = "",
        key_file: str = "",
        alpn: tuple[str, ...] = (),
        server_name: str = "",
        prefix: str = "edge",
        window: int = 20,
        drain_s: float = 5.0,
        expiry_s: int = WEEK_S,
        state: str = "",
        outbox: Limits = Limits(),  # noqa: B008 - frozen
        commands: CommandOptions | None = None,
        home_assistant: HomeAssistantOptions | None = None,
        allow_insecure: bool = False,
    ) -> None:
        _check_range("qos", qos, 0, 2)
        _check_range("keepalive_s", keepalive_s, 1, 65535)
        _check_range("window", window, 1, 1000)
        if outbox.rows_max < window:
            raise BadOptionError("outbox", f"rows: {outbox.rows_max} are less than the window")
        _check_range("drain_s", drain_s, 0, 3600)
        _check_range("expiry_s", expiry_s, 0, 2**32 - 2)
        if home_assistant and encoding != "json":
            raise BadOptionError("encoding", "Home Assistant reads JSON only")
        login = Login(
            address=parse_url(url),
            others=tuple(parse_url(other) for other in fallback_urls),
            username=username,
            password=password,
            password_file=password_file,
            ca_file=ca_file,
            crl_file=crl_file,
            cert_file=cert_file,
            key_file=key_file,
            alpn=alpn,
            server_name=server_name,
            allow_insecure=allow_insecure,
        )
        topics = wire.Topics(identity, prefix)
        listens = bool((commands and commands.verbs) or outbox.confirm) and qos < 2
        terms = Terms(
            client_id=client_id or f"edge-run-{identity.device}-{identity.pipeline}",
            keepalive_s=keepalive_s,
            session_expiry_s=SESSION_S if listens else 0,
        )
        confirm_s = outbox.confirm_s if outbox.confirm else 0.0
        plan = Plan(topics, qos, window, expiry_s, protocol, encoding, confirm_s)
        folder = states.folder(identity, state)
        self._limits = outbox
        self._encoding: Encoding = encoding
        self._drain_s = drain_s
        self._alarmed = ("", "")  # kind and text of the last verdict that was told
        self._publisher = Publisher(
            identity, login=login, terms=terms, plan=plan, limits=outbox, folder=folder
        )
        self._commands = self._obey(identity, commands, folder, prefix) if commands else None
        self._home = HomeAssistant(home_assistant, identity, topics) if home_assistant else None

    @property
    def protocol_in_use(self) -> str:
        """The version of MQTT, 5 or 3.1.1; empty before the first connection."""
        return self._publisher.protocol

    @property
    def delivery(self) -> Delivery:
        """The counters, now; they stay readable after `close`."""
        return self._publisher.delivery

    @property
    def outbox_path(self) -> Path | None:
        """Its file, if it has one."""
        return self._publisher.path

    def open(self) -> None:
        """Find what waits since the last run, and start connecting.

        Raises ConfigError for an outbox that another process has, a folder where none can be, an
        unreadable password file or certificate, and an encoding without its extra.
        """
        encode(b"{}", self._encoding)  # or the extra is missing
        if self._commands:
            self._commands.open()
        self._publisher.open([item for item in (self._commands, self._home) if item is not None])

    def publish(self, result: Result) -> None:
        """Accept a result. Raises SinkError only when the sender thread died of a bug."""
        urgent = isinstance(result.outcome, Beats | Events)
        keep = self._limits.keeps(result.source, beats=urgent)
        self._publisher.put(result, keep=keep, urgent=urgent)

    def announce(self, info: Info) -> None:
        """Publish what runs here, now and after every reconnect; a model taken back is an alert."""
        self._publisher.announce(info)
        update = info.update
        if update is None or not update.news or update.state not in _VERDICTS:
            return
        kind = f"update-{update.state.replace('_', '-')}"
        text = f"model {update.name} {update.version}: {update.reason}"
        if (kind, text) != self._alarmed:
            self._alarmed = (kind, text)
            self._publisher.alarm(kind, text)

    def ready(self) -> bool:
        """False while one more result would push another out."""
        return not self._publisher.full

    def close(self) -> None:
        """Deliver what waits, publish `stopped`, leave.

        Raises UndeliveredError for what the next start will deliver, SinkError for what is lost.
        """
        try:
            self._publisher.close(self._drain_s)
        finally:
            if self._commands:
                self._commands.close()

    def _obey(
        self, identity: Identity, options: CommandOptions, folder: Path, prefix: str
    ) -> Commands:
        from edge_runtime.commands.commands import Commands
        from edge_runtime.commands.verbs import standard

        verbs = standard(self._publisher.announce_again, lambda: asdict(self.delivery))
        return Commands(identity, options, verbs, folder, prefix=prefix)


def _check_range(key: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise BadOptionError(key, f"{value} is not within {least:g} and {most:g}")
