"""Source `mqtt`: samples that somebody publishes to a topic."""

from __future__ import annotations

from typing import Literal

from edge_runtime.errors import ConfigError, EdgeRunError, SourceLostError
from edge_runtime.mqtt.login import Login, parse_url
from edge_runtime.mqtt.receiver import Receiver, Wanted

from .byte_stream import ByteStream
from .declared import Wish, check, declare


class Mqtt(ByteStream):
    """A live source: every message holds whole lines, or packets of a front end.

    Args:
        name: how results name this source.
        topic: where the samples are published; no wildcards.
        url: mqtt://, mqtts://, ws:// or wss://, host, and port if not the usual one.
        username: name at the broker.
        password: better in EDGE_RUN_MQTT_PASSWORD, or in a file.
        password_file: its first line.
        ca_file: PEM; the broker's authority, if the system does not know it.
        cert_file: PEM; our certificate, for brokers that want one; with key_file.
        key_file: PEM, without a passphrase, readable by its owner only.
        allow_insecure: permit a broker on the network without TLS, or without a user.
        protocol: the version of MQTT; "auto" is 5, and 3.1.1 where that is not spoken.
        frontend: what is behind it, "cyton" for example, or a .toml file that describes it; empty:
            lines, and the options below say all. They go before what it says.
        rate_hz: samples per second.
        mv_per_count: millivolts at the electrodes in one count; 1 where mV are sent.
        zero_count: the count that means 0 mV; 0 where nothing says it.
        leads: names of the leads, one per column; of a front end, those to take.
        columns: which columns (cells of a line), from 0; see `serial`.
        t_us_column: the cell of a line that holds the sender's clock in microseconds.
        off_marker: the cell of a line that says that an electrode is off; see `serial`.
        range_counts: lowest and highest count there is; a line outside it was garbled.
        chunk_s: length of a frame.
        silence_s: so long without a message means that the sender is lost; 0 means never.

    Retained messages are passed over: nobody knows when they were measured.
    """

    def __init__(
        self,
        *,
        name: str,
        topic: str,
        url: str = "mqtt://127.0.0.1:1883",
        username: str = "",
        password: str = "",
        password_file: str = "",
        ca_file: str = "",
        cert_file: str = "",
        key_file: str = "",
        allow_insecure: bool = False,
        protocol: Literal["auto", "5", "3.1.1"] = "auto",
        frontend: str = "",
        rate_hz: float | None = None,
        mv_per_count: float | None = None,
        zero_count: float | None = None,
        leads: tuple[str, ...] = (),
        columns: tuple[int, ...] = (),
        t_us_column: int | None = None,
        off_marker: str | None = None,
        range_counts: tuple[float, float] | None = None,
        chunk_s: float = 0.04,
        silence_s: float = 5.0,
    ) -> None:
        single = bool(topic) and not any(sign in topic for sign in "+#\0")
        check("topic", single, "must be one topic, without + and #")
        login = Login(
            parse_url(url),
            username=username,
            password=password,
            password_file=password_file,
            ca_file=ca_file,
            cert_file=cert_file,
            key_file=key_file,
            allow_insecure=allow_insecure,
        )
        declared = declare(
            Wish(
                frontend=frontend,
                rate_hz=rate_hz,
                mv_per_count=mv_per_count,
                zero_count=zero_count,
                leads=leads,
                columns=columns,
                t_us_column=t_us_column,
                off_marker=off_marker,
                range_counts=range_counts,
            ),
            messages=True,
        )
        transport = _Subscription(login, topic, protocol)
        super().__init__(name, transport, declared, chunk_s, silence_s)


class _Subscription:
    """The payloads of a topic. See `byte_stream.Transport`."""

    hint = ""

    def __init__(self, login: Login, topic: str, protocol: Literal["auto", "5", "3.1.1"]) -> None:
        self.where = f"{login.address}/{topic}"
        self._login, self._topic, self._protocol = login, topic, protocol
        self._receiver: Receiver | None = None

    def open(self) -> None:
        """Connect and subscribe. Raises ConfigError, SourceLostError."""
        self.close()
        wanted = Wanted((self._topic,), ())
        receiver = Receiver(self._login, wanted, protocol=self._protocol)
        try:
            receiver.open()
        except ConfigError:
            raise
        except EdgeRunError as exc:
            raise SourceLostError(str(exc)) from exc
        self._receiver = receiver

    def receive(self, timeout_s: float) -> list[bytes]:
        if self._receiver is None:
            raise SourceLostError(f"{self.where}: is not open")
        arrivals = self._receiver.take(timeout_s)
        if not arrivals and self._receiver.cause:
            raise SourceLostError(f"{self.where}: {self._receiver.cause}")
        return [item.message.payload for item in arrivals if not item.message.retained]

    def send(self, raw: bytes) -> None:
        """Whoever publishes takes no commands."""

    def close(self) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.close()
