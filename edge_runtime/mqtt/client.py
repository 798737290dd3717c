"""A paho client made to our rules, and what it says in words that help."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from paho.mqtt.client import Client
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

    from .login import Login

Version: TypeAlias = Literal["5", "3.1.1"]

CONNECT_TIMEOUT_S = 5.0  # for TCP, and again for TLS

# Reason codes of MQTT 5.0, section 2.4.
_UNSUPPORTED_VERSION, _TAKEN_OVER = 132, 142
_HOPELESS = frozenset({133, 134, 135, 138, 140})  # client id, login, rights, banned, method


class LinkDownError(Exception):
    """There is no connection. `hopeless` says that only a person can change that."""

    def __init__(self, cause: str, *, hopeless: bool = False) -> None:
        super().__init__(cause)
        self.hopeless = hopeless


class NotSpokenError(LinkDownError):
    """The broker may not speak this version of MQTT; `sure` when it said so itself."""

    def __init__(self, cause: str, *, sure: bool = False) -> None:
        super().__init__(cause)
        self.sure = sure


def make(
    login: Login, password: str, context: ssl.SSLContext | None, client_id: str, version: Version
) -> Client:
    """A client that never reconnects, queues or starts a thread by itself."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

    protocols = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=protocols[version],
        transport="websockets" if login.address.websocket else "tcp",
        reconnect_on_failure=False,
    )
    client.connect_timeout = CONNECT_TIMEOUT_S
    client.max_inflight_messages = 0  # the owner keeps the window
    if login.address.websocket:
        client.ws_set_options(path=login.address.path)
    if context is not None:
        client.tls_set_context(context)
    if login.username:
        client.username_pw_set(login.username, password)
    return client


def dial(client: Client, login: Login, keepalive_s: int) -> None:
    """Connect TCP and TLS and send CONNECT. Raises LinkDownError."""
    address = login.address
    try:
        # paho pings after one keepalive and gives up after two: after 1.5 of ours.
        client.connect(address.host, address.port, max(1, keepalive_s * 3 // 4))
    except ssl.SSLError as exc:
        cause = getattr(exc, "verify_message", "") or exc.reason or str(exc)
        said = cause.replace("_", " ").lower()
        raise LinkDownError(f"TLS failed: {said}", hopeless=True) from exc
    except socket.gaierror as exc:
        raise LinkDownError(f"no such host ({exc.strerror})") from exc
    except OSError as exc:
        if exc.errno == errno.ECONNREFUSED:
            raise LinkDownError("nothing listens there (connection refused)") from exc
        said = exc.strerror or str(exc) or type(exc).__name__
        raise LinkDownError(f"out of reach ({said.lower()})") from exc
    except UnicodeError as exc:
        raise LinkDownError("its name is not one that a host can have", hopeless=True) from exc


def tune(descriptor: int, keepalive_s: int) -> None:
    """Send small packets at once, and notice within a keepalive that nothing gets through."""
    with socket.socket(fileno=os.dup(descriptor)) as twin:  # the options are the connection's
        twin.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            limit_ms = keepalive_s * 1000
            twin.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, limit_ms)


def refusal(code: ReasonCode) -> LinkDownError:
    """What a broker that refused to connect us said."""
    cause = f"it refused: {str(code).lower()}"
    if code.value == _UNSUPPORTED_VERSION:
        return NotSpokenError(cause, sure=True)
    return LinkDownError(cause, hopeless=code.value in _HOPELESS)


def farewell(code: ReasonCode, client_id: str) -> LinkDownError:
    """What a broker that sent us away said."""
    if code.value == _TAKEN_OVER:
        cause = f"another client connected as '{client_id}': give each its own client_id"
        return LinkDownError(cause, hopeless=True)
    return LinkDownError(f"it hung up: {str(code).lower()}")


def json_properties(expiry_s: int, version: str) -> Properties:
    """What MQTT 5 says of a JSON message: its type, its life, the model's version."""
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    extra: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    extra.PayloadFormatIndicator = 1
    extra.ContentType = "application/json"
    if expiry_s:
        extra.MessageExpiryInterval = expiry_s
    if version:
        extra.UserProperty = ("model-version", version)
    packed = extra.pack()
    # paho packs anew for each message, which costs more than to encode a result; ours stay.
    object.__setattr__(extra, "pack", lambda: packed)
    made: Properties = extra
    return made
