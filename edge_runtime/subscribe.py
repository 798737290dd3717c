"""Results of any number of devices as typed events, in a few lines.

from edge_runtime.subscribe import subscribe

with subscribe("mqtts://broker", username="ward3", password_file="secret") as results:
    for event in results:
        print(event)
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from .errors import BadOptionError, MissingExtraError
from .events import Alert, Announcement, Event, Gap, ReceivedResult, Status
from .parse import event_of, root_of
from .repeats import Repeats
from .wire import check_level

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from .mqtt.receiver import Arrival, Receiver

__all__ = [
    "Alert",
    "Announcement",
    "Event",
    "Gap",
    "ReceivedResult",
    "Status",
    "Subscription",
    "subscribe",
]

log = logging.getLogger(__name__)


def subscribe(
    url: str = "mqtt://localhost:1883",
    *,
    username: str = "",
    password: str = "",
    password_file: str = "",
    ca_file: str = "",
    crl_file: str = "",
    cert_file: str = "",
    key_file: str = "",
    alpn: Sequence[str] = (),
    server_name: str = "",
    allow_insecure: bool = False,
    prefix: str = "edge",
    device: str = "+",
    pipeline: str = "+",
    client_id: str = "",
    session_expiry_s: int = 0,
    shared: str = "",
    confirm: bool = False,
    protocol: Literal["auto", "5", "3.1.1"] = "auto",
    timeout_s: float | None = None,
) -> Subscription:
    """What pipelines publish; connects when it is entered (`with`) or opened.

    Args:
        url: mqtt://, mqtts://, ws:// or wss://, host, and port if not the usual one.
        username: name at the broker.
        password: better from a file than from a program's text.
        password_file: its first line.
        ca_file: PEM; the broker's authority, if the system does not know it.
        crl_file: PEM; the certificates that it has revoked.
        cert_file: PEM; our certificate, for brokers that want one; with key_file.
        key_file: PEM, without a passphrase, readable by its owner only.
        alpn: protocols to offer inside TLS, for brokers that share port 443.
        server_name: in the broker's certificate, where that is not the URL's host.
        allow_insecure: permit a broker on the network without TLS, or without a user.
        prefix: first levels of every topic.
        device: only this one; + is any.
        pipeline: only this one; + is any.
        client_id: at the broker, another for each client; "" makes one up.
        session_expiry_s: so long the broker holds messages while nobody of that client_id is
            connected; 0 not at all.
        shared: name of a group; each result goes to one of its subscribers (needs MQTT 5).
        confirm: tell the device which results were handled; it holds each until then.
        protocol: the version of MQTT; "auto" is 5, and 3.1.1 where that is not spoken.
        timeout_s: iteration ends when nothing came for so long; None never.

    Raises:
        BadOptionError: an option is impossible, or careless without allow_insecure.
    """
    from .mqtt.login import Login, parse_url
    from .mqtt.receiver import Receiver, wanted

    names = [("device", device), ("pipeline", pipeline)]
    for key, name in [*names, *(("prefix", level) for level in prefix.split("/"))]:
        if name != "+" or key == "prefix":
            check_level(key, name)
    if shared:
        check_level("shared", shared)
    if session_expiry_s and not client_id:
        raise BadOptionError("client_id", "is needed with session_expiry_s, and stays the same")
    login = Login(
        parse_url(url),
        username=username,
        password=password,
        password_file=password_file,
        ca_file=ca_file,
        crl_file=crl_file,
        cert_file=cert_file,
        key_file=key_file,
        alpn=tuple(alpn),
        server_name=server_name,
        allow_insecure=allow_insecure,
    )
    receiver = Receiver(
        login,
        wanted(prefix, device, pipeline, shared),
        client_id=client_id,
        session_expiry_s=session_expiry_s,
        protocol=protocol,
    )
    return Subscription(receiver, confirm=confirm, timeout_s=timeout_s)


class Subscription:
    """Events, in the order in which they come, each result, gap and alert once.

    A repeat is known among the last 100,000. After the first connection it reconnects by
    itself. One thread iterates; any may close.
    """

    def __init__(self, receiver: Receiver, *, confirm: bool, timeout_s: float | None) -> None:
        self.repeats = 0
        self.unreadable = 0  # messages that are not ours
        self._receiver = receiver
        self._confirms = confirm
        self._timeout_s = timeout_s
        self._arrivals: deque[Arrival] = deque()
        self._known = Repeats()
        self._handling: tuple[str, str] | None = None  # root and id of the event given last
        self._closed = False
        self._told: set[type[Exception]] = set()

    def open(self) -> None:
        """Connect and subscribe; takes some fifteen seconds at most.

        Raises EdgeRunError for a broker that is out of reach or refuses us, ConfigError for a
        password file or a certificate that cannot be used.
        """
        self._receiver.open()

    def receive(self, timeout_s: float | None = None) -> Event | None:
        """The next event; None when there was none for `timeout_s`, and when closed.

        Asking for it says that the event before is handled.
        """
        self.handled()
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._closed:
            while self._arrivals:
                event = self._event(self._arrivals.popleft())
                if event is not None:
                    return event
            left_s = None if until is None else max(0.0, until - time.monotonic())
            self._arrivals.extend(self._receiver.take(left_s))
            if not self._arrivals:
                return None
        return None

    def handled(self) -> None:
        """The event given last is handled; for those who leave the loop after it."""
        if self._handling is not None:
            root, event_id = self._handling
            self._handling = None
            self._receiver.confirm(root, event_id)

    def close(self) -> None:
        """Send what is to be confirmed, and leave; iteration ends."""
        self._closed = True
        self._receiver.close()

    def __iter__(self) -> Iterator[Event]:
        while (event := self.receive(self._timeout_s)) is not None:
            yield event

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _event(self, arrival: Arrival) -> Event | None:
        """The event of a message, or None for a repeat and for what is none of ours."""
        message = arrival.message
        try:
            event = event_of(message.topic, message.payload, message.content_type)
        except (ValueError, MissingExtraError) as exc:
            self.unreadable += 1
            if type(exc) not in self._told:  # once, whoever floods us
                self._told.add(type(exc))
                log.warning("%r cannot be read: %.200s", message.topic, exc)
            return None
        if isinstance(event, ReceivedResult | Gap | Alert):
            return self._once(event, message.topic)
        return event

    def _once(self, event: ReceivedResult | Gap | Alert, topic: str) -> Event | None:
        root = root_of(topic)
        if self._known.hear(root, event.id):
            self.repeats += 1
            if self._confirms:  # it is handled, as all before it: the device did not hear that
                self._receiver.confirm(root, event.id)
            return None
        if self._confirms:
            self._handling = (root, event.id)
        return event
